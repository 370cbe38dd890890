"""The verbs `flab compare` and `flab power`: claims about what a candidate keeps. They need no
model and no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from flab_deploy.cli.options import Flat, Force, Json, Out, RequireShown, end_unless_shown
from flab_deploy.cli.output import show, show_record, show_text
from flab_deploy.evaluation.claims.compare import compare as compare_stage
from flab_deploy.evaluation.claims.power import expected_from, plan_claim, plan_text
from flab_deploy.evaluation.claims.sentences import comparison_text
from flab_deploy.records.compare import COMPARISON_FILE, ComparisonRecord
from flab_deploy.records.document import read_record
from flab_deploy.settings.compare import CompareConfig, PowerConfig


def compare(
    original: Path,
    candidate: Path,
    /,
    *,
    out: Out,
    repeat: Path | None = None,
    metric: str | None = None,
    require_shown: RequireShown = False,
    config: Annotated[CompareConfig, Flat] = CompareConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Test what a candidate kept of the original, paired problem by problem.

    Parameters
    ----------
    original
        What `flab evaluate` wrote for the original, or another harness's results:
        `samples_TASK_*.jsonl` of lm-evaluation-harness (--log_samples), `*eval_results.json` of
        EvalPlus, or of bigcode-evaluation-harness `logs.json` (humanevalpack) or a directory of
        `*.results.json` (multiple-*).
    candidate
        The same of the other model, on the same tasks.
    repeat
        A second evaluation of the original, say with another batch size: its differences are the
        noise floor.
    metric
        Of another harness's metrics, the one to compare by where several say pass or fail:
        `flab compare full/eval_results.json slim/eval_results.json --metric plus --out kept`.
    """
    artifact = compare_stage(
        original, candidate, out, config, repeat=repeat, metric=metric, force=force
    )
    found = read_record(ComparisonRecord, artifact.path / COMPARISON_FILE)
    if as_json:
        show(artifact, as_json=True)
    else:
        show_text(f"comparison: {artifact.path}\n\n{comparison_text(found)}")
    end_unless_shown(found.overall.verdict, require_shown)


def power(
    *,
    like: Path | None = None,
    config: Annotated[PowerConfig, Flat] = PowerConfig(),
    as_json: Json = False,
) -> None:
    """Say how many problems a claim of retention needs, before a model is run.

    Parameters
    ----------
    like
        An earlier comparison; pass rate, discordance and design effect are taken from it.
    """
    found = plan_claim(expected_from(like, config) if like else config)
    if as_json:
        show_record(found)
    else:
        show_text(plan_text(found))
