"""The verbs `flab run` and `flab deploy`. Prefect and what else they need is imported when they
run, so that their help is there at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Group, Parameter
from typing_extensions import TypedDict

from flab_deploy.cli.options import Flat, Json
from flab_deploy.cli.output import show_record, show_text
from flab_deploy.errors import ConfigError
from flab_deploy.settings.run import DeployConfig, PipelineConfig
from flab_deploy.settings.shared.changes import Changes, changes_type
from flows.effort import STAGES

_LEFT_OUT = "What is left out is as --size has it."

if TYPE_CHECKING:
    StageOptions: TypeAlias = Mapping[str, Changes]
else:
    # One option `--STAGE.SETTING` for every setting of every stage.
    StageOptions = TypedDict(
        "StageOptions",
        {
            stage: Annotated[
                changes_type(settings, lambda text: Parameter(help=text)),
                Parameter(group=Group(f"Settings of {stage}", help=_LEFT_OUT, sort_key=number)),
            ]
            for number, (stage, settings) in enumerate(STAGES.items())
        },
        total=False,
    )


def run(
    model: str = "reference",
    /,
    *,
    out: Path = Path("flab-run"),
    config: Annotated[PipelineConfig, Flat] = PipelineConfig(),
    force: Annotated[
        bool, Parameter(negative="", help="Repeat every stage, even those that are unchanged.")
    ] = False,
    as_json: Json = False,
    stages: Annotated[StageOptions | None, Flat] = None,
) -> None:
    """Slim, prove, ship and measure a model: every stage in order, finished ones skipped.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    out
        Run directory; started again there, a run goes on where it stopped.
    """
    from flab_deploy.records.printed.outputs import RunOutput
    from flab_deploy.report.rows import as_text, before_after_rows
    from flows.run import run_pipeline

    result = run_pipeline(model, out, config, stages=stages, force=force)
    if as_json:
        digests = {name: artifact.digest for name, artifact in result.artifacts.items()}
        show_record(RunOutput(run=str(result.run), report=str(result.page), digests=digests))
        return
    show_text(as_text(before_after_rows(result.run)) + f"\n\nreport: {result.page}")


def deploy(
    *,
    config: Annotated[DeployConfig, Flat] = DeployConfig(),
    parameters: Annotated[
        str, Parameter(help="Pipeline parameters to change, as a JSON object.")
    ] = "{}",
    as_json: Json = False,
) -> None:
    """Register the scheduled pipeline with the Prefect server that `flab run` would use."""
    from flows.deploy import deploy as deploy_pipeline

    try:
        chosen = json.loads(parameters)
    except ValueError as error:
        raise ConfigError(
            f'--parameters is not JSON ({error}); give an object such as \'{{"size": "small"}}\''
        ) from None
    found = deploy_pipeline(config, chosen)
    if as_json:
        show_record(found)
    else:
        show_text("\n".join(f"{name:<10} {value}" for name, value in vars(found).items()))
