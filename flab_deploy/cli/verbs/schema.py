"""The verb `flab schema`: what the JSON looks like that other verbs print and write."""

from __future__ import annotations

from flab_deploy.cli.output import show_text
from flab_deploy.errors import ConfigError
from flab_deploy.records.schemas import SCHEMAS, schema_file, summary_of


def schema(name: str | None = None, /) -> None:
    """Print one JSON schema, or list them all.

    Parameters
    ----------
    name
        Schema to print; all are listed, each with a line about it, if left out.
    """
    if name is None:
        width = max(map(len, SCHEMAS))
        show_text("\n".join(f"{name:<{width}}  {summary_of(name)}" for name in SCHEMAS))
        return
    if name not in SCHEMAS:
        raise ConfigError(f"no schema is called {name!r}; there are {', '.join(SCHEMAS)}")
    show_text(schema_file(name).read_text(encoding="utf-8"))
