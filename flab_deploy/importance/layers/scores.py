"""Scores of layers that one pass over a stack gives: influence on the states, and slopes of the
likelihood.

They say little about the divergence that the search itself measures; they are here to be compared
with it. Shapes: B examples, T tokens, D hidden size, P completion positions, k layers of a trunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from flab_deploy.batches import Batch
from flab_deploy.importance.divergence import in_float64, log_likelihood_gradient
from flab_deploy.importance.layers.search import LayerSearch, Trunk


def block_influence(search: LayerSearch, trunk: Trunk) -> list[float]:
    """1 - mean cosine of what each layer of the trunk reads and writes, over all tokens, in [0, 2].

    Source: ShortGPT (arXiv 2403.03853), equation 1.
    """
    return _mean_distance(
        search, trunk, lambda batch: batch.attention_mask.flatten().nonzero().flatten()
    )


def last_token_cosine(search: LayerSearch, trunk: Trunk) -> list[float]:
    """1 - mean cosine of what each layer reads and writes, at the last token of each prompt, in [0,
    2].

    Source: the released code of Flab-Pruner, which drops layers by this and never by the paper's
    KL.
    """
    return _mean_distance(search, trunk, _last_of_prompts)


def _last_of_prompts(batch: Batch) -> Tensor:
    rows = batch.positions // batch.input_ids.shape[1]
    return batch.positions[torch.cat([rows.new_ones(1), rows[1:] - rows[:-1]]) > 0]


@torch.no_grad()
def _mean_distance(
    search: LayerSearch, trunk: Trunk, positions_of: Callable[[Batch], Tensor]
) -> list[float]:
    total = torch.zeros(len(trunk.keep) + 1, dtype=torch.float64)  # the last entry counts positions
    for index, batch in enumerate(search.batches):
        positions = positions_of(batch)
        states = [layer.flatten(0, 1)[positions].float() for layer in search.states(index, trunk)]
        for at, (before, after) in enumerate(zip(states, states[1:], strict=False)):
            total[at] += float(in_float64(1 - cosine_similarity(before, after, dim=-1)).sum())
        total[-1] += len(positions)
        search.advance(1)
    total = search.ranks.sum(total)
    return [float(value) for value in total[:-1] / total[-1]]


def layer_taylor(search: LayerSearch, trunk: Trunk) -> list[float]:
    """|d log-likelihood of the completion / d gate| of each layer, mean per completion token, in
    [0, inf).

    The gate scales what the layer adds to its input; first order, one gradient per example.
    """
    total = torch.zeros(len(trunk.keep), dtype=torch.float64)
    for index, batch in enumerate(search.batches):
        states = search.states(index, trunk)[0]
        with torch.enable_grad():
            gates = torch.ones(
                len(trunk.keep), *states.shape[:1], 1, 1, dtype=states.dtype, device=states.device
            )
            gates.requires_grad_(True)  # (k, B, 1, 1)
            final = _gated(search, index, trunk.keep, states, gates)
            slope = log_likelihood_gradient(search.head, final.detach(), batch.targets)
            (gradient,) = torch.autograd.grad(final, gates, slope.to(final.dtype))
        total += in_float64(gradient.flatten(1)).abs().sum(1).cpu()
        search.advance(1)
    return [float(value) / search.num_positions for value in search.ranks.sum(total)]


def _gated(
    search: LayerSearch, index: int, keep: Sequence[int], states: Tensor, gates: Tensor
) -> Tensor:
    for gate, layer in zip(gates, keep, strict=True):
        states = states + gate * (search.run(index, layer, states) - states)
    return search.stack.finish(states, search.batches[index].positions)[0]
