"""The `plan --sweep` stage: one plan per budget with the same scores, and the front they make."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flab_deploy.artifacts import Artifact, Draft, Json, run_stage, write_json
from flab_deploy.checkpoint import resolve
from flab_deploy.errors import ConfigError
from flab_deploy.pruning.planning.plan import document_of, files_of, settings_of
from flab_deploy.pruning.planning.planner import Planner
from flab_deploy.pruning.planning.scores import open_scores
from flab_deploy.pruning.plot import Series, scatter_svg
from flab_deploy.settings.plan import PlanConfig

logger = logging.getLogger(__name__)
SWEEP_FILE, PLOT_FILE = "sweep.json", "sweep.svg"
_SUMMARY = (
    "budget",
    "before",
    "after",
    "figures",
    "predicted_kl_nats",
    "predicted_kl_parts_nats",
    "contribution",
    "candidates",
    "keep_layers",
)


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
        config={**settings_of(config), "sweep": list(reductions)},
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
    plans: list[dict[str, Any]] = []
    for config in configs:
        logger.info("sweep: %.0f %% less", 100 * config.share)
        document = document_of(planner, planner.decide(config))
        plans.append({"reduction": config.share, **{key: document[key] for key in _SUMMARY}})
    write_json(draft.path / SWEEP_FILE, {"metric": planner.config.metric, "plans": plans})
    chosen = [(100 * plan["reduction"], plan["predicted_kl_nats"]) for plan in plans]
    others = [
        (100 * (1 - found["num_parameters"] / planner.shape.num_parameters), found["kl_nats"])
        for plan in plans
        for found in plan["candidates"][1:]
    ]
    series = [Series(label="chosen", points=tuple(chosen), joined=True)]
    if planner.config.metric == "parameters":
        series.append(Series(label="also measured", points=tuple(others)))
    svg = scatter_svg(
        "Least divergence by budget",
        f"{planner.config.metric} removed (%)",
        "predicted divergence (nats per token)",
        series,
    )
    (draft.path / PLOT_FILE).write_text(svg, encoding="utf-8")
    draft.figures |= {"plans": _figures(plans)}


def _figures(plans: Sequence[dict[str, Any]]) -> list[Json]:
    return [
        {
            "reduction": plan["reduction"],
            "num_parameters": plan["after"]["num_parameters"],
            "num_hidden_layers": plan["after"]["num_hidden_layers"],
            "intermediate_size": plan["after"]["intermediate_size"],
            "num_key_value_heads": plan["after"]["num_key_value_heads"],
            "vocab_size": plan["after"]["vocab_size"],
            "predicted_kl_nats": plan["predicted_kl_nats"],
        }
        for plan in plans
    ]
