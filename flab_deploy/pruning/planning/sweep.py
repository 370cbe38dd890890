"""The `plan --sweep` stage: one plan per budget with the same scores, and the front they make."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.checkpoint import resolve
from flab_deploy.errors import ConfigError
from flab_deploy.pruning.planning.plan import files_of, plan_record
from flab_deploy.pruning.planning.planner import Planner
from flab_deploy.pruning.planning.scores import open_scores
from flab_deploy.pruning.plot import Series, scatter_svg
from flab_deploy.records.document import as_json, write_record
from flab_deploy.records.plan import (
    SWEEP_FILE,
    PlanRecord,
    SweepFigures,
    SweepPlan,
    SweepPoint,
    SweepRecord,
)
from flab_deploy.settings.plan import PlanConfig

logger = logging.getLogger(__name__)
PLOT_FILE = "sweep.svg"


def sweep(
    model: str | Path,
    scores: Path,
    out: Path,
    reductions: Sequence[float],
    config: PlanConfig = PlanConfig(),
    *,
    force: bool = False,
) -> Artifact:
    """Plan for each of several reductions; writes `sweep.json` and the front as `sweep.svg`.

    Raises ConfigError for a budget given otherwise, and PlanError, before anything is measured, if
    one of the reductions is impossible.
    """
    configs = _configs(reductions, config)
    checkpoint = resolve(model)
    scored = open_scores(scores, checkpoint.digest)
    return run_stage(
        out,
        kind="sweep",
        module=__name__,
        config={**asdict(config), "sweep": list(reductions)},
        parents={"model": checkpoint.digest, "scores": scored.digest, **files_of(config)},
        work=lambda draft: _write_sweep(draft, Planner(checkpoint, scored, config), configs),
        force=force,
    )


def _configs(reductions: Sequence[float], config: PlanConfig) -> list[PlanConfig]:
    if config.reduction is not None or config.at_most is not None or config.paper:
        raise ConfigError("sweep sets the budgets; leave out reduction, at_most and paper")
    if not reductions:
        raise ConfigError("sweep is empty; give shares such as 0.1,0.22,0.35,0.5")
    return [replace(config, reduction=reduction) for reduction in sorted(set(reductions))]


def _write_sweep(draft: Draft, planner: Planner, configs: Sequence[PlanConfig]) -> None:
    for config in configs:
        planner.limit(config)
    plans = []
    for config in configs:
        logger.info("sweep: %.0f %% less", 100 * config.share)
        plans.append(_in_short(config.share, plan_record(planner, planner.decide(config))))
    found = SweepRecord(schema_version=1, metric=planner.config.metric, plans=tuple(plans))
    write_record(draft.path / SWEEP_FILE, found)
    (draft.path / PLOT_FILE).write_text(_plot(found), encoding="utf-8")
    draft.figures |= as_json(SweepFigures(plans=tuple(_point(plan) for plan in plans)))


def _in_short(reduction: float, plan: PlanRecord) -> SweepPlan:
    if plan.budget.metric == "paper":
        raise ConfigError("a sweep plans for budgets; leave out paper")
    return SweepPlan(
        reduction=reduction,
        budget=plan.budget,
        before=plan.before,
        after=plan.after,
        figures=plan.figures,
        predicted_kl_nats=plan.predicted_kl_nats,
        predicted_kl_parts_nats=plan.predicted_kl_parts_nats,
        contribution=plan.contribution,
        candidates=plan.candidates,
        keep_layers=plan.keep_layers,
    )


def _point(plan: SweepPlan) -> SweepPoint:
    return SweepPoint(
        reduction=plan.reduction,
        num_parameters=plan.after.num_parameters,
        num_hidden_layers=plan.after.num_hidden_layers,
        intermediate_size=plan.after.intermediate_size,
        num_key_value_heads=plan.after.num_key_value_heads,
        vocab_size=plan.after.vocab_size,
        predicted_kl_nats=plan.predicted_kl_nats,
    )


def _plot(found: SweepRecord) -> str:
    chosen = tuple((100 * plan.reduction, plan.predicted_kl_nats) for plan in found.plans)
    series = [Series(label="chosen", points=chosen, joined=True)]
    if found.metric == "parameters":
        others = tuple(
            (100 * (1 - other.num_parameters / plan.before.num_parameters), other.kl_nats)
            for plan in found.plans
            for other in plan.candidates[1:]
        )
        series.append(Series(label="also measured", points=others))
    return scatter_svg(
        "Least divergence by budget",
        f"{found.metric} removed (%)",
        "predicted divergence (nats per token)",
        series,
    )
