"""Results on stdout: one JSON document, or a few readable lines."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flab_deploy.artifacts import Artifact

_LONGEST_VALUE = 100


def show(artifact: Artifact, *, as_json: bool) -> None:
    """Print a finished artifact on stdout: one JSON document, or a few readable lines."""
    document = {
        "kind": artifact.kind,
        "path": str(artifact.path),
        "digest": artifact.digest,
        "figures": artifact.figures,
    }
    if as_json:
        show_json(document)
        return
    lines = [f"{artifact.kind}: {artifact.path}", f"  digest {artifact.digest[:16]}"]
    lines += [f"  {name} {_short(value)}" for name, value in artifact.figures.items()]
    show_text("\n".join(lines))


def show_json(document: object) -> None:
    """Print one JSON document on stdout."""
    show_text(json.dumps(document, indent=2, default=str))


def show_record(found: object) -> None:
    """Print a record on stdout as one JSON document."""
    from flab_deploy.records.document import as_json  # takes pydantic, which help does not need

    show_json(as_json(found))


def show_text(text: str) -> None:
    """Print lines on stdout, with one line end after the last."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def _short(value: object) -> str:
    text = (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else f"{value:.6g}"
        if isinstance(value, float)
        else str(value)
    )
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
