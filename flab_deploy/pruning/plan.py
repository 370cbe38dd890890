"""The `plan` stage: which tokens, layers and FFN channels stay, decided by one budget.

The plan is one JSON file to review, to diff and to replay; applying it decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import PreTrainedModel

from flab_deploy.artifacts import Artifact, Draft, open_artifact, run_stage, write_json
from flab_deploy.checkpoint import Checkpoint, resolve
from flab_deploy.decoder import ModelShape, layer_parameters, load_model, model_shape, only_channels, only_layers
from flab_deploy.errors import ConfigError, PlanError
from flab_deploy.importance.calibration import encode, kl_measure, make_batches
from flab_deploy.importance.layers import greedy_drops
from flab_deploy.importance.score import SCORES_FILE, end_of_text_id
from flab_deploy.importance.units import best_channels
from flab_deploy.pruning.plan_document import PLAN_FILE, SCHEMA_VERSION
from flab_deploy.reference.corpus import load_instructions
from flab_deploy.tokenizer import choose_tokens, least_tokens

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """The budget and what it may be spent on."""

    reduction: float = 0.22
    """Share of the parameters to remove, in (0, 1); the plan removes at least this much."""
    min_layers_dropped: int = 1
    """Layers dropped at least; 0 lets the planner leave depth alone."""
    max_layers_dropped: int = 3
    """Layers dropped at most."""
    min_channels_dropped: int = 16
    """FFN channels dropped per layer at least; 0 lets the planner leave width alone."""
    channel_multiple: int = 16
    """FFN width stays a multiple of this, as matrix units like it."""

    def __post_init__(self) -> None:
        """Refuse budgets that make no sense."""
        if not 0 < self.reduction < 1:
            raise ConfigError(f"reduction is {self.reduction}; give a share between 0 and 1, such as 0.22")
        if not 0 <= self.min_layers_dropped <= self.max_layers_dropped:
            raise ConfigError(
                f"layers to drop are {self.min_layers_dropped} to {self.max_layers_dropped}; give 0 <= min <= max"
            )
        if self.channel_multiple < 1 or self.min_channels_dropped < 0:
            raise ConfigError(f"channel_multiple is {self.channel_multiple}; give a positive number")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to meet the budget, before its divergence is measured."""

    dropped_layers: tuple[int, ...]
    intermediate_size: int
    vocab_size: int
    shape: ModelShape


def plan(
    model: str | Path, scores: Path, out: Path, config: PlanConfig = PlanConfig(), *, force: bool = False
) -> Artifact:  # noqa: B008
    """Plan a cut of at least `config.reduction` of the parameters; writes `plan.json`.

    Raises PlanError if the scores belong to another model or no cut meets the budget.
    """
    checkpoint = resolve(model)
    scored = open_artifact(scores, "scores")
    parents = cast("dict[str, str]", scored.manifest["parents"])
    if parents["model"] != checkpoint.digest:
        raise PlanError(
            f"{scores} scores another model ({parents['model'][:12]}, not {checkpoint.digest[:12]}); score it first"
        )
    return run_stage(
        out, kind="plan", module=__name__, parents={"model": checkpoint.digest, "scores": scored.digest},
        config=asdict(config), work=lambda draft: _write_plan(draft, checkpoint, scored, config), force=force,
    )  # fmt: skip


def _width_for(
    budget: int, base: ModelShape, per_layer: int, dropped: int, least_vocab: int, config: PlanConfig
) -> int | None:
    """The widest FFN with which dropping `dropped` layers and the spare vocabulary meets the budget, or None."""
    widest = (base.intermediate_size - config.min_channels_dropped) // config.channel_multiple * config.channel_multiple
    for width in range(widest, 0, -config.channel_multiple):
        after = base.resized(
            vocab_size=least_vocab, num_hidden_layers=base.num_hidden_layers - dropped,
            intermediate_size=width, layer_parameters=per_layer,
        )  # fmt: skip
        if after.num_parameters <= budget:
            return width
    return None


def _candidates(
    base: ModelShape, per_layer: int, least_vocab: int, order: Sequence[int], config: PlanConfig
) -> list[Candidate]:
    """Per number of layers to drop, the cut with the widest FFN and the largest vocabulary that meets the budget."""
    budget = int(base.num_parameters * (1 - config.reduction))
    found = []
    for dropped in range(config.min_layers_dropped, min(config.max_layers_dropped, base.num_hidden_layers - 1) + 1):
        width = _width_for(budget, base, per_layer, dropped, least_vocab, config)
        if width is None:
            continue
        num_layers = base.num_hidden_layers - dropped
        uncut = base.resized(vocab_size=base.vocab_size, num_hidden_layers=num_layers,
                             intermediate_size=width, layer_parameters=per_layer)  # fmt: skip
        per_token = base.hidden_size * (1 if base.tie_word_embeddings else 2)
        surplus = max(0, uncut.num_parameters - budget)
        vocab = base.vocab_size - -(-surplus // per_token)
        shape = base.resized(vocab_size=vocab, num_hidden_layers=num_layers,
                             intermediate_size=width, layer_parameters=per_layer)  # fmt: skip
        found.append(Candidate(dropped_layers=tuple(sorted(order[:dropped])), intermediate_size=width,
                               vocab_size=vocab, shape=shape))  # fmt: skip
    if not found:
        fewest = max(1, base.num_hidden_layers - config.max_layers_dropped)
        smallest = base.resized(vocab_size=least_vocab, num_hidden_layers=fewest,
                                intermediate_size=config.channel_multiple, layer_parameters=per_layer)  # fmt: skip
        most = 1 - smallest.num_parameters / base.num_parameters
        raise PlanError(
            f"no cut removes {config.reduction:.0%} of {base.num_parameters:,} parameters: with at most "
            f"{config.max_layers_dropped} layers dropped and {least_vocab:,} tokens kept, {most:.1%} is the most; "
            "lower the reduction"
        )
    return found


def _keep_of(candidate: Candidate, base: ModelShape, channels: torch.Tensor) -> tuple[list[int], list[torch.Tensor]]:
    keep_layers = [layer for layer in range(base.num_hidden_layers) if layer not in candidate.dropped_layers]
    best = best_channels(channels, candidate.intermediate_size)
    return keep_layers, [best[layer] for layer in keep_layers]


def _divergence(
    model: PreTrainedModel, measure: Callable[[], float], candidate: Candidate, base: ModelShape, channels: torch.Tensor
) -> float:
    keep_layers, keep_channels = _keep_of(candidate, base, channels)
    with only_layers(model, keep_layers), only_channels(model, keep_channels):
        return measure()


def _write_plan(draft: Draft, checkpoint: Checkpoint, scored: Artifact, config: PlanConfig) -> None:
    tensors = load_file(scored.path / SCORES_FILE)
    counts: NDArray[np.int64] = tensors["token_counts"].numpy()
    base, per_layer = model_shape(checkpoint.path), layer_parameters(checkpoint.path)
    least = max(least_tokens(checkpoint.path, counts), 1)
    # The order of layers does not matter to whether a budget can be met: refuse before anything is measured.
    _candidates(base, per_layer, least, range(base.num_hidden_layers), config)
    score_config = cast("dict[str, Any]", scored.manifest["config"])
    model, measure = _measured_model(checkpoint.path, score_config)
    first = {layer: float(kl) for layer, kl in enumerate(tensors["layer_kl"])}
    most = min(config.max_layers_dropped, base.num_hidden_layers - 1)
    order = [layer for layer, _ in greedy_drops(model, measure, most, first)]
    candidates = _candidates(base, per_layer, least, order, config)
    channels = tensors["channel_scores"]
    divergences = [_divergence(model, measure, candidate, base, channels) for candidate in candidates]
    best = min(range(len(candidates)), key=divergences.__getitem__)
    chosen = candidates[best]
    keep_layers, keep_channels = _keep_of(chosen, base, channels)
    document = {
        "schema_version": SCHEMA_VERSION, "source": checkpoint.digest,
        "corpus": {"name": score_config["corpus"], "num_counted": score_config["num_counted"]},
        "budget": {"metric": "parameters", "reduction": config.reduction},
        "before": base.as_json(), "after": chosen.shape.as_json(), "predicted_kl_nats": divergences[best],
        "contribution": _contribution(base, per_layer, chosen), "num_tokens_needed": least,
        "candidates": [
            {"num_layers": c.shape.num_hidden_layers, "intermediate_size": c.intermediate_size,
             "vocab_size": c.vocab_size, "num_parameters": c.shape.num_parameters, "kl_nats": kl}
            for c, kl in zip(candidates, divergences, strict=True)
        ],
        "keep_layers": keep_layers, "keep_channels": [kept.tolist() for kept in keep_channels],
        "keep_token_ids": choose_tokens(checkpoint.path, counts, chosen.vocab_size),
    }  # fmt: skip
    write_json(draft.path / PLAN_FILE, document)
    draft.figures |= {"num_parameters": chosen.shape.num_parameters, "predicted_kl_nats": divergences[best]}


def _measured_model(path: Path, score_config: dict[str, Any]) -> tuple[PreTrainedModel, Callable[[], float]]:
    """The model and its divergence measure, on the very examples that its layers were scored on."""
    examples = load_instructions(score_config["corpus"], score_config["num_calibration"], "score")
    encoded = encode(path, examples, end_of_text_id(path), score_config["max_tokens"])
    batches = make_batches(encoded, score_config["batch_size"])
    model = load_model(path, torch.float32)
    return model, kl_measure(model, batches)


def _contribution(base: ModelShape, per_layer: int, chosen: Candidate) -> dict[str, int]:
    """Parameters removed by vocabulary, by layers (whole ones) and by FFN width (of the layers that stay)."""
    layers = len(chosen.dropped_layers) * per_layer
    narrower = base.intermediate_size - chosen.intermediate_size
    ffn = narrower * 3 * base.hidden_size * chosen.shape.num_hidden_layers
    return {
        "vocabulary": base.num_parameters - chosen.shape.num_parameters - layers - ffn,
        "layers": layers,
        "ffn": ffn,
    }
