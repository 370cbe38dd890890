"""The verb `flab evaluate`: what one model can do."""

from __future__ import annotations

from typing import Annotated

from flab_deploy.cli.options import Flat, Force, Json, Out
from flab_deploy.cli.output import show, show_text
from flab_deploy.evaluation.claims.sentences import evaluation_text
from flab_deploy.evaluation.evaluate import evaluate as evaluate_stage
from flab_deploy.records.document import read_record
from flab_deploy.records.evaluate import REPORT_FILE, EvaluationRecord
from flab_deploy.settings.evaluate import EvaluateConfig


def evaluate(
    model: str = "reference",
    /,
    *,
    out: Out,
    config: Annotated[EvaluateConfig, Flat] = EvaluateConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Solve programming tasks and judge the answers in a sandbox: pass@1 with intervals,
    robustness, health.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    artifact = evaluate_stage(model, out, config, force=force)
    if as_json:
        show(artifact, as_json=True)
    else:
        found = evaluation_text(read_record(EvaluationRecord, artifact.path / REPORT_FILE))
        show_text(f"evaluation: {artifact.path}\n  digest {artifact.digest[:16]}\n{found}")
