"""Trying cuts on the loaded model without making them: which parts would stay, and what that costs
in nats.

The divergence of a cut has two parts. The layers, channels, heads and experts that go move the
distribution: KL(original || cut) over the whole vocabulary, measured with those parts masked.
Dropped tokens lose their probability: -log of what the original gives to the tokens that stay,
which is KL(original restricted to them || original). Both are means in nats per completion token,
and their sum is the divergence of the cut.
Deviation from Flab-Pruner (arXiv 2412.15921): the paper's one KL is infinite once a token is
dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.batches import Batch, encode, end_of_text_id, make_batches
from flab_deploy.decoder import (
    ModelShape,
    asked_dtype,
    choose_device,
    load_model,
    only_channels,
    only_experts,
    only_heads,
    only_layers,
    output_logits,
    output_weight,
    scaled_writes,
)
from flab_deploy.importance.calibration import kl_measure, states_of
from flab_deploy.importance.divergence import head_of, kl_per_position, rounded
from flab_deploy.importance.layers.compensation import growth, write_factors
from flab_deploy.importance.layers.search import LayerSearch
from flab_deploy.importance.layers.stack import LayerStack
from flab_deploy.importance.units import best_channels
from flab_deploy.pruning.planning.budget import Sizes
from flab_deploy.pruning.planning.depths import Depths
from flab_deploy.pruning.planning.scores import Scores
from flab_deploy.settings.plan import PlanConfig

_POSITIONS_AT_ONCE = 256
_EXAMPLES_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The parts that stay of a model, tokens aside."""

    layers: tuple[int, ...]
    channels: tuple[Tensor, ...]
    """For each kept layer (K,) increasing indices; () for all."""
    heads: tuple[Tensor, ...]
    """For each kept layer (K,) increasing key-value groups; () for all."""
    experts: tuple[Tensor, ...]
    """For each kept layer (K,) increasing experts; () for all."""


class Trials:
    """Cuts of one model, measured on the examples that it was scored on; every cut only
    once.
    """

    def __init__(self, path: Path, shape: ModelShape, scores: Scores, config: PlanConfig) -> None:
        self.shape, self.scores, self.config, self._path = shape, scores, config, path
        self._depths = Depths(shape.num_hidden_layers, scores, config.protect_layers, self._search)
        self._structure: dict[Sizes, float] = {}

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model where and as the settings have it."""
        dtype = asked_dtype(self.config.dtype, torch.float32)
        return load_model(self._path, dtype, choose_device(self.config.device))

    @cached_property
    def batches(self) -> list[Batch]:
        """The examples that the scores were made on."""
        longest = self.scores.config.max_tokens
        examples = self.scores.calibration
        encoded = encode(self._path, examples, end_of_text_id(self._path), longest)
        return [batch.to(self.model.device) for batch in make_batches(encoded, _EXAMPLES_AT_ONCE)]

    def choice(self, sizes: Sizes) -> Choice:
        """The best parts by their scores, at the given sizes."""
        kept = self.layers(sizes.num_layers)
        whole, scores = self.shape, self.scores
        return Choice(
            layers=kept,
            channels=_best(scores.channels, kept, sizes.width, whole.intermediate_size),
            heads=_best(scores.heads, kept, sizes.key_value_heads, whole.num_key_value_heads),
            experts=_best(scores.experts, kept, sizes.experts, whole.num_experts),
        )

    def layers(self, count: int) -> tuple[int, ...]:
        """The `count` layers that stay: by hand, or those whose dropping costs least."""
        if self.config.keep_layers:
            return tuple(sorted(self.config.keep_layers))
        if self.config.drop_layers:
            return tuple(
                at
                for at in range(self.shape.num_hidden_layers)
                if at not in self.config.drop_layers
            )
        return self._depths.kept(count)

    @cached_property
    def _growth(self) -> list[float]:
        return growth(self.model, self.batches)

    def write_factors(self, layers: Sequence[int]) -> tuple[float, ...]:
        """The factors on what the kept `layers` write, if dropped ones are compensated for; else
        ().
        """
        if not self.config.compensate or len(layers) == self.shape.num_hidden_layers:
            return ()
        return write_factors(self._growth, layers)

    def depth_kl(self, count: int) -> float:
        """Divergence with `count` layers kept and nothing else cut."""
        if not (self.config.keep_layers or self.config.drop_layers):
            return rounded(self._depths.kl_nats(count))
        measure = self._measure
        with only_layers(self.model, self.layers(count)):
            return rounded(measure())

    @cached_property
    def _measure(self) -> Callable[[], float]:
        """The divergence from the model as it is at the first use, which must be outside all
        masks.
        """
        return kl_measure(self.model, self.batches)

    def _search(self) -> LayerSearch:
        return LayerSearch(
            LayerStack(self.model), head_of(self.model), self.batches, kl_per_position
        )

    def structure_kl(self, sizes: Sizes) -> float:
        """Measured divergence of a cut, its vocabulary aside."""
        key = Sizes(
            num_layers=sizes.num_layers,
            key_value_heads=sizes.key_value_heads,
            experts=sizes.experts,
            width=sizes.width,
            vocab_size=0,
        )
        if key not in self._structure:
            choice, measure = self.choice(sizes), self._measure
            factors = self.write_factors(choice.layers)
            with ExitStack() as masks:
                masks.enter_context(only_layers(self.model, choice.layers))
                if factors:
                    masks.enter_context(scaled_writes(self.model, factors))
                if choice.channels:
                    masks.enter_context(only_channels(self.model, choice.channels))
                if choice.heads:
                    masks.enter_context(only_heads(self.model, choice.heads))
                if choice.experts:
                    masks.enter_context(only_experts(self.model, choice.experts))
                self._structure[key] = rounded(measure())
        return self._structure[key]

    @torch.no_grad()
    def vocabulary_kl(self, kept: Sequence[Sequence[int]]) -> list[float]:
        """For each list of kept token ids, the mean of -log of the probability that the original
        gives to them.
        """
        member = torch.zeros(self.shape.vocab_size, len(kept))
        for column, ids in enumerate(kept):
            member[torch.as_tensor(np.asarray(ids)), column] = 1.0
        gone_of = (1 - member).to(output_weight(self.model).device)  # (V, n)
        total, count = torch.zeros(len(kept), dtype=torch.float64), 0
        for states in states_of(self.model, self.batches):
            for chunk in states.split(_POSITIONS_AT_ONCE):
                likely = output_logits(self.model, chunk).float().softmax(-1)  # (P, V)
                gone = (likely @ gone_of).cpu().double().clamp(max=1 - 1e-12)  # (P, n)
                total -= torch.log1p(-gone).sum(0)
                count += len(chunk)
        return [rounded(float(value) / count) for value in total]


def _best(
    scores: Tensor | None, layers: Sequence[int], count: int, whole: int
) -> tuple[Tensor, ...]:
    """For each layer its `count` best parts, increasing, ties to the lower index; () if all
    stay.
    """
    if scores is None or count == whole:
        return ()
    return tuple(best_channels(scores[list(layers)], count))
