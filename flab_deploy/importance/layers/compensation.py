"""Magnitude compensation for dropped layers, folded into the weights that stay (Prune&Comp, arXiv
2507.18212).

Layers make the residual stream longer. Behind a dropped layer it is too short by that layer's
growth, and what later layers add weighs too much. The paper lengthens the stream: it multiplies the
embedding and whatever writes into the stream before the gap by the growth. Here whatever writes
into it behind the gap is divided by the growth. That gives the same function, because every layer
and the head read the stream through a normalisation, which has no length (but for its epsilon); and
it leaves the embedding alone, which is often also the output head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.importance.divergence import in_float64
from flab_deploy.importance.layers.stack import LayerStack

# Digits that factors are stored with: what float32 adds up to on another machine differs further
# behind.
_DIGITS = 4


@torch.no_grad()
def growth(model: PreTrainedModel, batches: Sequence[Batch]) -> list[float]:
    """How many times longer each layer makes the states of a token, mean over all tokens, (0,
    inf).
    """
    stack = LayerStack(model)
    total, count = torch.zeros(len(stack.layers), dtype=torch.float64), 0
    for batch in batches:
        real = batch.attention_mask.bool()
        lengths = [states[real].float().norm(dim=-1) for states in stack.trace(batch).inputs]
        for layer, (before, after) in enumerate(zip(lengths, lengths[1:], strict=False)):
            total[layer] += float(in_float64(after / before).sum())
        count += int(real.sum())
    return [float(value) / count for value in total]


def write_factors(grown: Sequence[float], keep: Sequence[int]) -> tuple[float, ...]:
    """The factor on what each kept layer writes: one over the growth of all layers dropped before
    it.
    """
    factors, factor = [], 1.0
    for layer, times in enumerate(grown):
        if layer in keep:
            factors.append(float(f"{factor:.{_DIGITS}g}"))
        else:
            factor /= times
    return tuple(factors)
