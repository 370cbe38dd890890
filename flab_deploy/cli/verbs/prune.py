"""The verbs that make a model smaller: score, plan, prune, recover."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flab_deploy.cli.options import DryRun, Flat, Force, Json, Out
from flab_deploy.cli.output import show, show_json, show_record, show_text
from flab_deploy.errors import ConfigError
from flab_deploy.importance import score as score_stage
from flab_deploy.pruning import plan as plan_stage
from flab_deploy.pruning import prune as prune_stage
from flab_deploy.pruning.cutting.opens import Reopen
from flab_deploy.pruning.planning.plan import preview as preview_plan
from flab_deploy.pruning.planning.plan import read_preview
from flab_deploy.pruning.planning.sweep import sweep as sweep_stage
from flab_deploy.pruning.table import sweep_table, table_of
from flab_deploy.records.document import read_record
from flab_deploy.records.plan import SWEEP_FILE, PlanPreviewRecord, SweepRecord
from flab_deploy.recovery import recover as recover_stage
from flab_deploy.settings.plan import PlanConfig
from flab_deploy.settings.recover import RecoverConfig
from flab_deploy.settings.score import ScoreConfig
from flab_deploy.settings.shared.device import DeviceConfig


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
        if as_json:
            show_json(artifact.figures)
        else:
            show_text(sweep_table(read_record(SweepRecord, artifact.path / SWEEP_FILE)))
        return
    artifact = plan_stage(model, scores, out, config, force=force)
    if as_json:
        show(artifact, as_json=True)
        return
    show_preview(read_preview(artifact.path), as_json=False)
    show_text(f"\nplan: {artifact.path}  digest {artifact.digest[:16]}")


def show_preview(preview: PlanPreviewRecord, *, as_json: bool) -> None:
    """Print a plan with what it takes: one JSON document, or a table."""
    if as_json:
        show_record(preview)
    else:
        show_text(table_of(preview.plan, preview.cut))


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
    where: Annotated[DeviceConfig, Flat] = DeviceConfig(),
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
        Whether to open the result in a fresh process, on the CPU; `auto` does unless it is too
        large.
    """
    show(prune_stage(model, plan, out, reopen=reopen, where=where, force=force), as_json=as_json)


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
