"""Cuts of the same size by other rules, to measure the planner against.

The rules say which parts go; how a budget is split is part of each:
- `paper`: what Flab-Pruner's released code does. Of what is removed, 53.5 % are whole layers by a
  cosine at the last prompt token, measured again after each drop, and the vocabulary takes 40.7 %
  or what the rest leaves; the first N FFN channels stay. Deviation: kept tokens get the tokens they
  are merged from, without which text does not round-trip and `flab prune` refuses the result.
- `shortgpt`: whole layers by block influence in one shot (arXiv 2403.03853); what is less than a
  layer comes from unseen tokens.
- `magnitude`, `taylor`, `random`: half from whole layers, half from FFN width, no vocabulary, both
  by that criterion. Their width is any number of channels, so that they remove no more than the
  budget asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.checkpoint import resolve
from flab_deploy.decoder import layers
from flab_deploy.errors import PlanError
from flab_deploy.importance.layers.stage import search_layers
from flab_deploy.importance.ranks import Ranks
from flab_deploy.importance.readers import Reader, channel_readers
from flab_deploy.importance.units import unit_scores
from flab_deploy.pruning.planning.budget import Sizes, fitting
from flab_deploy.pruning.planning.plan import plan_figures, plan_record
from flab_deploy.pruning.planning.planner import Planner
from flab_deploy.pruning.planning.scores import open_scores
from flab_deploy.pruning.planning.selection import MeasuredSizes
from flab_deploy.records.document import as_json, write_record
from flab_deploy.records.plan import PLAN_FILE
from flab_deploy.settings.plan import PlanConfig
from flab_deploy.settings.score import LayerMetric, ScoreConfig, UnitMetric

Baseline = Literal["paper", "shortgpt", "magnitude", "taylor", "random"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
_SHARE_OF_LAYERS: dict[Baseline, float] = {
    "paper": 0.535,
    "shortgpt": 1.0,
    "magnitude": 0.5,
    "taylor": 0.5,
    "random": 0.5,
}
_SHARE_OF_VOCABULARY: dict[Baseline, float] = {
    "paper": 0.407,
    "shortgpt": 1.0,
    "magnitude": 0.0,
    "taylor": 0.0,
    "random": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Importance by one rule; low goes first."""

    drop_order: tuple[int, ...]
    """Layers, the first to drop first."""
    channels: Tensor
    """(L, I)."""


def plan_baseline(
    model: str | Path,
    scores: Path,
    out: Path,
    rule: Baseline,
    config: PlanConfig,
    *,
    force: bool = False,
) -> Artifact:
    """A plan by another rule for the budget of `config`; an artifact that `prune` takes like any
    other plan, with the rule among the settings in its manifest.

    Raises PlanError if the rule's split cannot meet the budget.
    """
    checkpoint = resolve(model)
    scored = open_scores(scores, checkpoint.digest)
    if not _SHARE_OF_VOCABULARY[rule]:
        config = replace(config, channel_multiple=1)
    return run_stage(
        out,
        kind="plan",
        module=__name__,
        config={**asdict(config), "rule": rule},
        force=force,
        parents={"model": checkpoint.digest, "scores": scored.digest},
        work=lambda draft: _write(draft, Planner(checkpoint, scored, config), rule),
    )


def _write(draft: Draft, planner: Planner, rule: Baseline) -> None:
    sizes = split(planner, rule)
    dropped = planner.shape.num_hidden_layers - sizes.num_layers
    ranking = rank(planner, rule, dropped)
    ruled = Planner(
        planner.checkpoint,
        planner.scored,
        replace(
            planner.config,
            keep_layers=tuple(
                sorted(
                    set(range(planner.shape.num_hidden_layers)) - set(ranking.drop_order[:dropped])
                )
            ),
        ),
    )
    ruled.scores = replace(ruled.scores, channels=ranking.channels)
    lost = ruled.trials.vocabulary_kl([ruled.tokens(sizes.vocab_size)])[0]
    measured = MeasuredSizes(
        sizes=sizes, structure_kl=ruled.trials.structure_kl(sizes), vocabulary_kl=lost
    )
    decision = ruled.decision([measured], planner.limit(planner.config))
    found = plan_record(ruled, decision)
    write_record(draft.path / PLAN_FILE, found)
    draft.figures |= as_json(plan_figures(found))


def split(planner: Planner, rule: Baseline) -> Sizes:
    """The sizes that a rule spends a budget of parameters on, at most the budget's."""
    room, limit = planner.room, planner.limit(planner.config)
    if limit is None:
        raise PlanError("a baseline needs a budget; leave out paper")
    budget = planner.shape.num_parameters - limit
    wanted = budget * _SHARE_OF_LAYERS[rule] / room.layer_parameters
    dropped = int(wanted) if rule == "shortgpt" else round(wanted)
    rows = budget * _SHARE_OF_VOCABULARY[rule] / planner.shape.parameters_per_token
    for num_layers in range(planner.shape.num_hidden_layers - dropped, 0, -1):
        found = fitting(room, planner.cost, limit, num_layers)
        options = [sizes for sizes in found if sizes.key_value_heads == room.key_value_heads[0]]
        if options:
            return min(
                options,
                key=lambda s: (abs(planner.shape.vocab_size - s.vocab_size - rows), -s.width),
            )
    raise PlanError(f"the {rule} rule has no cut that meets the budget; lower the reduction")


def rank(planner: Planner, rule: Baseline, dropped: int) -> Ranking:
    """How a rule ranks layers and channels."""
    model, shape = planner.trials.model, planner.shape
    if rule == "random":
        draw = torch.Generator().manual_seed(0)
        order = torch.randperm(shape.num_hidden_layers, generator=draw).tolist()
        channels = torch.rand(shape.num_hidden_layers, shape.intermediate_size, generator=draw)
        return Ranking(drop_order=tuple(order), channels=channels)
    if rule == "magnitude":
        return Ranking(drop_order=_lightest(model), channels=_channel_norms(model))
    metrics: dict[Baseline, tuple[LayerMetric, UnitMetric]] = {
        "paper": ("cosine", "first"),
        "shortgpt": ("block_influence", "first"),
        "taylor": ("taylor", "taylor"),
    }
    layer_metric, unit_metric = metrics[rule]
    config = ScoreConfig(
        layer_metric=layer_metric,
        layer_search="greedy" if rule == "paper" else "one_shot",
        max_layers_searched=max(dropped, 1),
    )
    found = search_layers(model, planner.trials.batches, config, None, Ranks())
    channels = unit_scores(model, _readers(model), planner.trials.batches, unit_metric)
    return Ranking(drop_order=found.found.path.order, channels=channels)


def _readers(model: PreTrainedModel) -> list[Reader]:
    """The FFN output map of every layer. Raises PlanError for layers of experts, for which no rule
    was published.
    """
    found = channel_readers(model)
    if len(found) < len(layers(model)):
        raise PlanError(
            f"{len(layers(model)) - len(found)} layers hold experts, which the baselines do "
            "not rank"
        )
    return list(found.values())


def _lightest(model: PreTrainedModel) -> tuple[int, ...]:
    """Layers by the sum of their squared weights, the least first."""
    norms = [
        sum(float(p.detach().float().square().sum()) for p in layer.parameters())
        for layer in layers(model)
    ]
    return tuple(sorted(range(len(norms)), key=lambda at: (norms[at], at)))


def _channel_norms(model: PreTrainedModel) -> Tensor:
    """Squared norm of each channel's output column, (L, I)."""
    columns: Sequence[Tensor] = [reader.weight.square().sum(0) for reader in _readers(model)]
    return torch.stack(list(columns))
