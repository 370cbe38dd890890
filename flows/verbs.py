"""Command-line verbs of the flows."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flab_deploy.cli import show_json
from flab_deploy.errors import ConfigError
from flab_deploy.report.rows import as_text, before_after_rows
from flows.deploy import DeployConfig
from flows.deploy import deploy as deploy_pipeline
from flows.parameters import PipelineConfig
from flows.run import run_pipeline

Flat = Parameter(name="*")
Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON document instead of a table.")
]


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
) -> None:
    """Slim, prove, ship and measure a model: every stage in order, finished ones skipped.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    out
        Run directory; started again there, a run goes on where it stopped.
    """
    result = run_pipeline(model, out, config, force=force)
    if as_json:
        digests = {name: artifact.digest for name, artifact in result.artifacts.items()}
        show_json({"run": str(result.run), "report": str(result.page), "digests": digests})
        return
    sys.stdout.write(as_text(before_after_rows(result.run)) + f"\n\nreport: {result.page}\n")


def deploy(
    *,
    cron: str | None = None,
    timezone: str | None = None,
    work_pool: str | None = None,
    parameters: Annotated[
        str, Parameter(help="Pipeline parameters to change, as a JSON object.")
    ] = "{}",
    as_json: Json = False,
) -> None:
    """Register the scheduled pipeline with the Prefect server that `flab run` would use.

    Parameters
    ----------
    cron
        When to run, in cron's five fields.
    timezone
        Time zone of `cron`, such as Europe/Berlin.
    work_pool
        Work pool whose workers run it.
    """
    try:
        chosen = json.loads(parameters)
    except ValueError as error:
        raise ConfigError(
            f'--parameters is not JSON ({error}); give an object such as \'{{"size": "small"}}\''
        ) from None
    found = asdict(
        deploy_pipeline(
            DeployConfig(cron=cron, timezone=timezone, work_pool=work_pool, parameters=chosen)
        )
    )
    if as_json:
        show_json(found)
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:<10} {value}\n")
