"""Command-line verbs of the library's stages."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from flab_deploy import engines as toolchains
from flab_deploy.cli import show, show_json
from flab_deploy.evaluation.compare import CompareConfig
from flab_deploy.evaluation.compare import compare as compare_stage
from flab_deploy.evaluation.evaluate import EvaluateConfig
from flab_deploy.evaluation.evaluate import evaluate as evaluate_stage
from flab_deploy.evaluation.footprint import FootprintConfig
from flab_deploy.evaluation.footprint import footprint as footprint_stage
from flab_deploy.export import ExportConfig
from flab_deploy.export import export as export_stage
from flab_deploy.importance import ScoreConfig
from flab_deploy.importance import score as score_stage
from flab_deploy.pruning import PlanConfig
from flab_deploy.pruning import plan as plan_stage
from flab_deploy.pruning import prune as prune_stage
from flab_deploy.pruning.opens import Reopen
from flab_deploy.recovery import RecoverConfig
from flab_deploy.recovery import recover as recover_stage
from flab_deploy.report.report import report as report_stage
from flab_deploy.report.rows import as_text, before_after_rows

Out = Annotated[Path, Parameter(help="Directory to write; it appears whole or not at all.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document instead of readable lines.")]
Force = Annotated[bool, Parameter(negative="", help="Make the output again, or in place of something else.")]
Flat = Parameter(name="*")


def score(
    model: str = "reference", /, *, out: Out, config: Annotated[ScoreConfig, Flat] = ScoreConfig(),  # noqa: B008
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Measure the importance of every token, layer and FFN channel.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    show(score_stage(model, out, config, force=force), as_json=as_json)


def plan(
    model: str = "reference", /, *, scores: Path, out: Out, config: Annotated[PlanConfig, Flat] = PlanConfig(),  # noqa: B008
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Decide what to cut for a budget: tokens, layers and FFN channels, in one reviewable file.

    Parameters
    ----------
    model
        The model that was scored.
    scores
        What `flab score` wrote.
    """
    show(plan_stage(model, scores, out, config, force=force), as_json=as_json)


def prune(
    model: str = "reference", /, *, plan: Path, out: Out, reopen: Reopen = "auto", force: Force = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Cut a checkpoint along a plan; the same plan gives the same bytes.

    Parameters
    ----------
    model
        The model that was planned for.
    plan
        What `flab plan` wrote.
    reopen
        Whether to open the result in a fresh process; `auto` does unless it is too large.
    """
    show(prune_stage(model, plan, out, reopen=reopen, force=force), as_json=as_json)


def recover(
    model: str, /, *, out: Out, original: str = "reference", config: Annotated[RecoverConfig, Flat] = RecoverConfig(),  # noqa: B008
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Post-train a pruned checkpoint, loss on answers only, with the original as teacher.

    Parameters
    ----------
    model
        The pruned checkpoint, as `flab prune` wrote it.
    original
        The model it was cut from.
    """
    show(recover_stage(model, original, out, config, force=force), as_json=as_json)


def evaluate(
    model: str = "reference", /, *, out: Out, config: Annotated[EvaluateConfig, Flat] = EvaluateConfig(),  # noqa: B008
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Solve programming tasks and judge the answers in a sandbox: pass@1 with intervals, robustness, health.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    show(evaluate_stage(model, out, config, force=force), as_json=as_json)


def compare(
    original: Path, candidate: Path, /, *, out: Out, config: Annotated[CompareConfig, Flat] = CompareConfig(),  # noqa: B008
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Test what a candidate kept of the original, paired problem by problem.

    Parameters
    ----------
    original
        What `flab evaluate` wrote for the original.
    candidate
        What `flab evaluate` wrote for the other model, on the same tasks.
    """
    show(compare_stage(original, candidate, out, config, force=force), as_json=as_json)


def footprint(
    original: str, slimmed: str, /, *, out: Out, config: Annotated[FootprintConfig, Flat] = FootprintConfig(),  # noqa: B008
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Measure size, peak memory and operations per token of two checkpoints.

    Parameters
    ----------
    original
        Directory, hub id or `reference`.
    slimmed
        The smaller model.
    """
    artifact = footprint_stage(original, slimmed, out, config, force=force)
    show(artifact, as_json=as_json)


def export(
    model: str = "reference", /, *, out: Out, config: Annotated[ExportConfig, Flat] = ExportConfig(),  # noqa: B008
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Write a vLLM-ready directory and an ONNX model, each compared with the model it comes from.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    show(export_stage(model, out, config, force=force), as_json=as_json)


def report(run: Path, /, *, out: Path | None = None, force: Force = False, as_json: Json = False) -> None:
    """Write the report of a run directory: one HTML page and the same figures as JSON.

    Parameters
    ----------
    run
        Run directory; stages that have not run are shown as such.
    out
        Where to write; `report` inside the run directory if left out.
    """
    artifact = report_stage(run, out or run / "report", force=force)
    if as_json:
        show(artifact, as_json=True)
        return
    sys.stdout.write(as_text(before_after_rows(run)) + f"\n\nreport: {artifact.path / 'report.html'}\n")


def engines(action: Literal["list", "install"] = "list", name: str | None = None, /, *, as_json: Json = False) -> None:
    """List the isolated toolchains, or install one (`vllm`, `optimum`) before a run needs it.

    Parameters
    ----------
    action
        `list` or `install`.
    name
        Engine to install; all of them if left out.
    """
    if action == "install":
        for engine in [name] if name else sorted(toolchains.ENGINES):
            toolchains.install(engine)
    found = [asdict(state) for state in toolchains.status()]
    if as_json:
        show_json(found)
        return
    for state in found:
        sys.stdout.write(f"{state['name']:<8} {state['state']:<10} {state['purpose']} ({state['path']})\n")
