"""Command-line verbs of the library's stages."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from flab_deploy import engines as toolchains
from flab_deploy.cli import show, show_json
from flab_deploy.errors import ConfigError, GateFailed
from flab_deploy.evaluation.audit.data_set import as_text as audit_text
from flab_deploy.evaluation.audit.data_set import audit as audit_file
from flab_deploy.evaluation.audit.own_methods import as_text as methods_text
from flab_deploy.evaluation.audit.own_methods import prove_methods
from flab_deploy.evaluation.claims.sentences import evaluation_text
from flab_deploy.evaluation.evaluate import evaluate as evaluate_stage
from flab_deploy.export import export as export_stage
from flab_deploy.footprint import footprint as footprint_stage
from flab_deploy.importance import score as score_stage
from flab_deploy.options import DryRun, Flat, Force, Json, Out
from flab_deploy.pruning import plan as plan_stage
from flab_deploy.pruning import prune as prune_stage
from flab_deploy.pruning.cutting.opens import Reopen
from flab_deploy.pruning.planning.plan import preview as preview_plan
from flab_deploy.pruning.planning.plan import read_preview
from flab_deploy.pruning.planning.sweep import sweep as sweep_stage
from flab_deploy.pruning.table import sweep_table, table_of
from flab_deploy.records.document import as_json as record_json
from flab_deploy.records.document import read_record
from flab_deploy.records.evaluate import REPORT_FILE, EvaluationRecord
from flab_deploy.records.document import as_json as as_json_object
from flab_deploy.records.document import read_record
from flab_deploy.records.plan import SWEEP_FILE, PlanPreviewRecord, SweepRecord
from flab_deploy.recovery import recover as recover_stage
from flab_deploy.report.report import report as report_stage
from flab_deploy.report.rows import as_text, before_after_rows
from flab_deploy.settings.evaluate import EvaluateConfig
from flab_deploy.settings.export import ExportConfig
from flab_deploy.settings.footprint import FootprintConfig
from flab_deploy.settings.plan import PlanConfig
from flab_deploy.settings.recover import RecoverConfig
from flab_deploy.settings.score import ScoreConfig


def score(
    model: str = "reference",
    /,
    *,
    out: Out,
    config: Annotated[ScoreConfig, Flat] = ScoreConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure the importance of every token, layer and FFN channel.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    show(score_stage(model, out, config, force=force), as_json=as_json)


def plan(
    model: str = "reference",
    /,
    *,
    scores: Path,
    out: Path | None = None,
    config: Annotated[PlanConfig, Parameter(name="*", consume_multiple=True)] = PlanConfig(),
    sweep: str | None = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Decide what to cut for a budget: tokens, layers, FFN channels and heads, in one reviewable
    file.

    Parameters
    ----------
    model
        The model that was scored.
    scores
        What `flab score` wrote.
    out
        Directory to write; it appears whole or not at all.
    sweep
        Reductions such as 0.1,0.22,0.35,0.5: plan for each and draw the front, in place of one
        plan.
    """
    if sweep is not None and dry_run:
        raise ConfigError("--sweep and --dry-run exclude each other; leave one out")
    if dry_run:
        show_preview(preview_plan(model, scores, config), as_json=as_json)
        return
    if out is None:
        raise ConfigError("--out is missing; name a directory to write, or add --dry-run")
    if sweep is not None:
        artifact = sweep_stage(model, scores, out, shares(sweep), config, force=force)
        show_json(artifact.figures) if as_json else sys.stdout.write(
            sweep_table(read_record(SweepRecord, artifact.path / SWEEP_FILE)) + "\n"
        )
        return
    artifact = plan_stage(model, scores, out, config, force=force)
    if as_json:
        show(artifact, as_json=True)
        return
    show_preview(read_preview(artifact.path), as_json=False)
    sys.stdout.write(f"\nplan: {artifact.path}  digest {artifact.digest[:16]}\n")


def show_preview(preview: PlanPreviewRecord, *, as_json: bool) -> None:
    """Print a plan with what it takes: one JSON document, or a table."""
    if as_json:
        show_json(as_json_object(preview))
    else:
        sys.stdout.write(table_of(preview.plan, preview.cut) + "\n")


def shares(text: str) -> list[float]:
    """Comma-separated numbers. Raises ConfigError for anything else."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"sweep is {text!r}; give shares such as 0.1,0.22,0.35,0.5") from None


def prune(
    model: str = "reference",
    /,
    *,
    plan: Path,
    out: Out,
    reopen: Reopen = "auto",
    force: Force = False,
    as_json: Json = False,
) -> None:
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
    model: str,
    /,
    *,
    out: Out,
    original: str = "reference",
    config: Annotated[RecoverConfig, Flat] = RecoverConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
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
        told = evaluation_text(read_record(EvaluationRecord, artifact.path / REPORT_FILE))
        sys.stdout.write(f"evaluation: {artifact.path}\n  digest {artifact.digest[:16]}\n{told}")


def audit(
    file: Path | None = None,
    /,
    *,
    original: Path | None = None,
    reference: bool = False,
    perturbations: tuple[str, ...] = ("all",),
    num_tasks: int = 500,
    num_seeds: int = 5,
    as_json: Json = False,
) -> None:
    """Find what is broken, and what changed nothing, in a perturbed data set or in what our own
    methods make.

    Ends with 1 if there is any defect.

    Parameters
    ----------
    file
        JSON lines with task_id, prompt, canonical_solution, test and entry_point, as ReCode
        releases them.
    original
        The unperturbed data set, if the items do not carry their originals.
    reference
        Audit our own methods on reference tasks instead of a file.
    perturbations
        With `--reference`: names of methods or families, `default` or `all`.
    num_tasks
        With `--reference`: tasks that each method is given, at least.
    num_seeds
        With `--reference`: times that each task is perturbed.
    """
    if (file is None) is not reference:
        raise ConfigError("give a file to audit, or --reference for our own methods")
    if file is not None:
        found = audit_file(file, original)
        write, document, failed = audit_text(found), record_json(found), found.num_defective
    else:
        proven = prove_methods(perturbations, num_tasks, num_seeds)
        write, document, failed = methods_text(proven), record_json(proven), proven.num_broken
    if as_json:
        show_json(document)
    else:
        sys.stdout.write(write + "\n")
    if failed:
        raise GateFailed(f"{failed} items have defects")


def footprint(
    original: str,
    slimmed: str,
    /,
    *,
    out: Out,
    config: Annotated[FootprintConfig, Flat] = FootprintConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
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
    model: str = "reference",
    /,
    *,
    out: Out,
    config: Annotated[ExportConfig, Flat] = ExportConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a vLLM-ready directory and an ONNX model, each compared with the model it comes from.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    show(export_stage(model, out, config, force=force), as_json=as_json)


def report(
    run: Path, /, *, out: Path | None = None, force: Force = False, as_json: Json = False
) -> None:
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
    sys.stdout.write(
        as_text(before_after_rows(run)) + f"\n\nreport: {artifact.path / 'report.html'}\n"
    )


def engines(
    action: Literal["list", "install"] = "list",
    name: str | None = None,
    /,
    *,
    as_json: Json = False,
) -> None:
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
        sys.stdout.write(
            f"{state['name']:<8} {state['state']:<10} {state['purpose']} ({state['path']})\n"
        )
