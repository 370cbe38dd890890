"""What the `score` stage measures on a loaded model; under `torchrun` every process does its share
of the batches.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.batches import Batch, encode, make_batches
from flab_deploy.corpus import Instruction
from flab_deploy.decoder import (
    BatchLimit,
    asked_dtype,
    choose_device,
    layers,
    load_model,
    model_shape,
)
from flab_deploy.errors import ArtifactError
from flab_deploy.importance.examples import answered, choose, held_out_tasks
from flab_deploy.importance.experts import expert_scores
from flab_deploy.importance.layers.stage import LayerFindings, search_layers
from flab_deploy.importance.ranks import Ranks
from flab_deploy.importance.readers import Reader, channel_readers, head_readers
from flab_deploy.importance.units import unit_scores
from flab_deploy.prompting import Prompting
from flab_deploy.settings.score import ScoreConfig

logger = logging.getLogger(__name__)
_PartScores: TypeAlias = tuple[Tensor | None, Tensor, Tensor | None]
"""Of channels, heads and experts."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Importance of a model's parts, and the examples it was measured on."""

    layers: LayerFindings
    channels: Tensor | None
    """(L, I) float32; None for a model whose layers all have experts."""
    heads: Tensor
    """(L, key-value heads) float32."""
    experts: Tensor | None
    """(L, E) float32; None for a model without."""
    examples: list[Instruction]
    num_tokens: int
    """Completion tokens."""
    num_contaminated: int
    """Examples passed over because they share text with held-out tasks."""

    def tensors(self) -> dict[str, Tensor]:
        """The scores under their names in the artifact."""
        named = {
            "layer_kl": torch.tensor(self.layers.kl_nats),
            "channel_scores": self.channels,
            "head_scores": self.heads,
            "expert_scores": self.experts,
        }
        return {name: tensor.contiguous() for name, tensor in named.items() if tensor is not None}


def measure(
    path: Path,
    corpus: Sequence[Instruction],
    end: int,
    config: ScoreConfig,
    ranks: Ranks,
    journal_path: Path | None,
) -> Measured:
    """Score the layers, channels, heads and experts of the checkpoint at `path`; `end` is the token
    that ends texts.
    """
    chosen = choose(
        corpus, held_out_tasks(config.held_out), config.num_calibration, config.shared_words
    )
    model = _load(path, config)
    prompting = Prompting(path, config)
    examples = [prompting.example(example) for example in chosen.examples]
    if config.self_generated:
        logger.info("score: the model answers %d prompts", len(examples))
        examples = answered(model, path, examples, end, config.max_tokens, config.batch_size)
    encoded = encode(path, examples, end, config.max_tokens)

    def attempt(size: int) -> tuple[LayerFindings, _PartScores]:
        batches = [batch.to(model.device) for batch in make_batches(encoded, size)]
        whole = size == config.batch_size
        journal = journal_path if whole else journal_path and Path(f"{journal_path}-by-{size}")
        logger.info("score: %d layers on %d examples", len(layers(model)), len(examples))
        found = search_layers(model, batches, config, journal, ranks)
        logger.info("score: channels and heads by %s", config.channel_metric)
        return found, _parts(model, batches, config, ranks, model_shape(path).num_experts)

    # Several ranks must make the same batches, so that none of them can choose smaller ones.
    alone = ranks.count == 1
    found, (channels, heads, experts) = (
        BatchLimit("score", config.batch_size).run(attempt, config.batch_size)
        if alone
        else attempt(config.batch_size)
    )
    return Measured(
        layers=found,
        channels=channels,
        heads=heads,
        experts=experts,
        examples=list(examples),
        num_tokens=sum(len(ids) - start for ids, start in encoded),
        num_contaminated=chosen.num_contaminated,
    )


def _parts(
    model: PreTrainedModel,
    batches: Sequence[Batch],
    config: ScoreConfig,
    ranks: Ranks,
    num_experts: int,
) -> _PartScores:
    """Scores of channels, heads and experts; layers that lack a part have zeros there."""

    def scored(readers: Sequence[Reader]) -> Tensor:
        return unit_scores(
            model, readers, batches, config.channel_metric, seed=config.seed, ranks=ranks
        )

    dense = channel_readers(model)
    channels = None
    if dense:
        found = scored(list(dense.values()))
        channels = found.new_zeros(len(layers(model)), found.shape[1])
        channels[list(dense)] = found
    experts = expert_scores(model, batches, num_experts, ranks) if num_experts else None
    return channels, scored(head_readers(model)), experts


def _load(path: Path, config: ScoreConfig) -> PreTrainedModel:
    """The model where it is to run. Raises ArtifactError naming a tensor that is not finite."""
    device, dtype = choose_device(config.device), asked_dtype(config.dtype, torch.float32)
    logger.info("score: on %s in %s", device, str(dtype).removeprefix("torch."))
    model = load_model(path, dtype, device)
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter.detach().sum())):
            raise ArtifactError(
                f"{path}: tensor {name} holds values that are not finite; get the checkpoint again"
            )
    return model
