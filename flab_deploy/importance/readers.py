"""The linear maps that read FFN channels and attention heads, and what passes through them.

Channels are single columns of a layer's FFN output map; a key-value group is the block of columns
of the attention output map that the query heads of that group write. Both are scored by one family
of measures on those columns. Shapes: B examples, T tokens, P completion positions, F columns, U
units (channels or groups), L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.decoder import (
    attention_output,
    backbone,
    down_projection,
    has_experts,
    hooked,
    layers,
    num_key_value_heads,
)
from flab_deploy.errors import UnsupportedModel
from flab_deploy.importance.divergence import (
    Head,
    curvature_probe,
    in_float64,
    log_likelihood_gradient,
)
from flab_deploy.importance.ranks import Ranks

# The squares of this many tokens stay in a processor's cache until they are added up.
_TOKENS_AT_ONCE = 128


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A linear map whose input columns belong, block by block, to units that a cut can drop."""

    linear: nn.Module
    """Its weight (D, F) has F = U x block columns."""
    num_units: int
    """U."""

    def fold(self, columns: Tensor) -> Tensor:
        """Sums over the columns of each unit, (..., F) -> (..., U)."""
        return columns.reshape(*columns.shape[:-1], self.num_units, -1).sum(-1)

    @property
    def weight(self) -> Tensor:
        """(D, F) float32; layers that keep their weight as (F, D) are turned."""
        weight = cast("Tensor", self.linear.weight)
        return (weight if isinstance(self.linear, nn.Linear) else weight.T).detach().float()


def channel_readers(model: PreTrainedModel) -> dict[int, Reader]:
    """The FFN output map of every layer that has one FFN and not experts, by layer."""
    maps = {
        at: down_projection(layer)
        for at, layer in enumerate(layers(model))
        if not has_experts(layer)
    }
    return {
        at: Reader(linear=linear, num_units=_num_columns(linear)) for at, linear in maps.items()
    }


def _num_columns(linear: nn.Module) -> int:
    weight = cast("Tensor", linear.weight)
    return weight.shape[1] if isinstance(linear, nn.Linear) else weight.shape[0]


def head_readers(model: PreTrainedModel) -> list[Reader]:
    """The attention output map of every layer, in key-value groups.

    Raises UnsupportedModel if the query heads cannot be divided evenly among the groups.
    """
    heads, groups = int(model.config.num_attention_heads), num_key_value_heads(model)
    if groups < 1 or heads % groups:
        raise UnsupportedModel(
            f"{heads} attention heads cannot be divided among {groups} key-value heads; "
            "correct config.json"
        )
    return [Reader(linear=attention_output(layer), num_units=groups) for layer in layers(model)]


@contextmanager
def _hooked(readers: Sequence[Reader], see: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Within the block, `see` gets the index of a reader and what it reads, (B, T, F)."""

    def hook_of(index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _module, args: see(index, args[0])

    handles = [
        reader.linear.register_forward_pre_hook(hook_of(at)) for at, reader in enumerate(readers)
    ]
    with hooked(handles):
        yield


@torch.no_grad()
def mean_squares(
    model: PreTrainedModel, readers: Sequence[Reader], batches: Sequence[Batch], ranks: Ranks
) -> list[Tensor]:
    """For each reader the mean square (F,) float64 of what it reads at all tokens, those of prompts
    included.

    What a prompt's tokens become is read by the completion through attention: on completion
    positions alone the first layer loses channels that only prompts use.
    """
    totals = [torch.zeros(reader.weight.shape[1], dtype=torch.float64) for reader in readers]
    lengths: list[int] = []

    def see(index: int, columns: Tensor) -> None:
        for example, length in zip(columns, lengths, strict=True):
            for part in example[:length].split(_TOKENS_AT_ONCE):
                totals[index] += part.float().square().sum(0).cpu().double()

    with _hooked(readers, see):
        for batch in ranks.share(batches):
            lengths = batch.attention_mask.sum(1).tolist()
            backbone(model)(input_ids=batch.input_ids, use_cache=False)
    count = sum(int(batch.attention_mask.sum()) for batch in batches)
    return [ranks.sum(total) / count for total in totals]


@dataclass(frozen=True, kw_only=True)
class GateGradients:
    """How the prediction of completions answers to a gate on each unit, summed over examples."""

    absolute: list[Tensor]
    """For each reader, sums (U,) float64 of the absolute slopes."""
    squared: list[Tensor]
    """For each reader, sums (U,) float64 of the squared slopes."""


def gate_gradients(
    model: PreTrainedModel,
    head: Head,
    readers: Sequence[Reader],
    batches: Sequence[Batch],
    ranks: Ranks,
    *,
    probe_seed: int | None = None,
) -> GateGradients:
    """Slopes along a gate of 1 on each unit's input, one per example and gate: all of its tokens go
    with the gate.

    They are those of the log-likelihood of the tokens that follow, or with `probe_seed` of random
    directions, for which the expected square is the curvature of the KL divergence along the gate.
    """
    absolute = [torch.zeros(reader.num_units, dtype=torch.float64) for reader in readers]
    squared = [torch.zeros(reader.num_units, dtype=torch.float64) for reader in readers]

    def see(index: int, columns: Tensor) -> None:
        def backward(gradient: Tensor) -> None:
            slopes = readers[index].fold((columns.detach() * gradient).float().sum(1))  # (B, U)
            absolute[index] += slopes.abs().sum(0).cpu().double()
            squared[index] += in_float64(slopes).square().sum(0).cpu()

        columns.register_hook(backward)

    with _frozen(model), _hooked(readers, see):
        for number, batch in enumerate(ranks.share(batches)):
            out = backbone(model)(input_ids=batch.input_ids, use_cache=False).last_hidden_state
            states = out.flatten(0, 1)[batch.positions]  # (P, D)
            if probe_seed is None:
                slope = log_likelihood_gradient(head, states.detach(), batch.targets)
            else:
                slope = curvature_probe(
                    head, states.detach(), probe_seed + ranks.rank + ranks.count * number
                )
            states.backward(slope.to(states.dtype))
    return GateGradients(
        absolute=[ranks.sum(t) for t in absolute], squared=[ranks.sum(t) for t in squared]
    )


@contextmanager
def _frozen(model: PreTrainedModel) -> Iterator[None]:
    """Within the block gradients flow through the layers and into no weight."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)

    def start(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        args[0].requires_grad_(True)

    handle = layers(model)[0].register_forward_pre_hook(start)
    try:
        with torch.enable_grad():
            yield
    finally:
        handle.remove()
        for parameter in wanted:
            parameter.requires_grad_(True)
