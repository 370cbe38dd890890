"""The pipeline's parameters as the form in Prefect's UI shows them, and as command-line words.

What they mean and what they may be is declared in `flab_deploy.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args

from pydantic import ConfigDict, Field

from flab_deploy.home import flab_home
from flab_deploy.settings.run import PipelineConfig
from flab_deploy.settings.shared.bounds import Title, bounds_of, hints_of
from flab_deploy.settings.shared.changes import Changes, changes_type, docs_of
from flows.effort import STAGES, Effort, changes_in

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

REFERENCE = "reference"
UNCHANGED: Changes = {}
"""Default of a stage's parameter."""


def _about(title: str, description: str, **bounds: Any) -> Any:
    """How the form shows a parameter. Prefect keeps its own title and description of a field, but
    not over these.
    """
    return Field(**bounds, json_schema_extra={"title": title, "description": description})


Model: TypeAlias = Annotated[
    str,
    _about(
        "Model",
        "The model to slim: 'reference' (comes with the program), a hub id such as "
        "org/name@revision, or the path of a checkpoint directory on the machine that runs this.",
    ),
]
Out: TypeAlias = Annotated[
    str,
    _about(
        "Output directory",
        "Where the results go. A relative path lies under 'runs' in the program's home. "
        "Stages that are finished there and unchanged are kept, not repeated.",
    ),
]
Force: TypeAlias = Annotated[
    bool, _about("Start over", "Repeat every stage, even those that are finished and unchanged.")
]


def about(name: str) -> Any:
    """How the form shows a setting of the run, bounds included, or the settings of a stage."""
    if name in STAGES:
        purpose = (STAGES[name].__doc__ or "").splitlines()[0]
        text = f"{purpose} What is left out is as the effort has it."
        return _about(f"Settings of {name}", text)
    hint = hints_of(PipelineConfig)[name]
    titles = (extra.text for extra in get_args(hint)[1:] if isinstance(extra, Title))
    title = next(titles, name.capitalize())
    return _about(title, docs_of(PipelineConfig)[name], **bounds_of(hint))


class OfStage:
    """Beside a parameter's type: an object with the settings of one stage, all optional."""

    def __init__(self, stage: str) -> None:
        """`stage` is a key of STAGES."""
        self._type = changes_type(STAGES[stage], lambda text: Field(description=text))
        self._type.__pydantic_config__ = ConfigDict(extra="forbid")

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The schema of these settings, in place of that of any dictionary."""
        return handler.generate_schema(self._type)


def run_directory(out: str | Path) -> Path:
    """The directory that `out` names: itself if absolute, else under `runs` in the program's
    home.
    """
    path = Path(out).expanduser()
    return path if path.is_absolute() else flab_home() / "runs" / path


def command_of(model: str, out: Path, config: PipelineConfig, effort: Effort) -> list[str]:
    """The command line that makes the same run."""
    words = ["flab", "run", model, "--out", str(out)]
    for name in hints_of(PipelineConfig):
        words += _option("", name, getattr(config, name))
    for stage, changes in changes_in(config, effort).items():
        for name, value in changes.items():
            words += _option(f"{stage}.", name, value)
    return words


def _option(stage: str, name: str, value: object) -> Iterator[str]:
    """The words that set one option; none for a value that only a default can have."""
    word = name.replace("_", "-")
    if value is True:
        yield f"--{stage}{word}"
    elif value is False:
        yield f"--{stage}no-{word}"
    elif isinstance(value, tuple):
        yield from [] if value else [f"--{stage}empty-{word}"]
        for item in value:
            yield from (f"--{stage}{word}", str(item))
    elif value is not None:
        yield from (f"--{stage}{word}", str(value))
