"""Importance of the experts of mixture layers. Shapes: L layers, E experts, N tokens, K experts per
token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.decoder import backbone, has_experts, hooked, layers, router
from flab_deploy.importance.ranks import Ranks


@torch.no_grad()
def expert_scores(
    model: PreTrainedModel, batches: Sequence[Batch], num_experts: int, ranks: Ranks | None = None
) -> Tensor:
    """Mean routing weight of every expert over completion tokens, (L, E) float32, in [0, 1]; low =
    safe to drop.

    Layers without experts have zeros. Deviation from REAP (arXiv 2510.13999), which also weighs by
    the norm of what an expert writes.
    """
    ranks = ranks or Ranks()
    totals = torch.zeros(len(layers(model)), num_experts, dtype=torch.float64)
    positions = torch.zeros(0, dtype=torch.long)

    def hook_of(index: int) -> Callable[[nn.Module, object, tuple[Tensor, Tensor, Tensor]], None]:
        def hook(_module: nn.Module, _args: object, output: tuple[Tensor, Tensor, Tensor]) -> None:
            _, weights, experts = output  # (N, K) both
            chosen = experts.view(-1, experts.shape[-1])[positions].flatten().cpu()
            totals[index].index_add_(
                0, chosen, weights.view(-1, weights.shape[-1])[positions].flatten().cpu().double()
            )

        return hook

    found = [(at, layer) for at, layer in enumerate(layers(model)) if has_experts(layer)]
    handles = [router(layer).register_forward_hook(hook_of(at)) for at, layer in found]
    with hooked(handles):
        for batch in ranks.share(batches):
            positions = batch.positions
            backbone(model)(input_ids=batch.input_ids, use_cache=False)
    return (ranks.sum(totals) / sum(len(batch.positions) for batch in batches)).float()
