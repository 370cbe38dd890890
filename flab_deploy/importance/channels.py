"""FFN channel importance from activations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.decoder import down_projection, layers
from flab_deploy.importance.calibration import Batch, completion_states


@torch.no_grad()
def channel_scores(model: PreTrainedModel, batches: Sequence[Batch]) -> Tensor:
    """Energy each FFN channel adds to its layer's output, (L, I) float32, in [0, inf); low = safe to drop.

    Score = mean square activation over completion positions x squared norm of the channel's output column.
    Deviation: Flab-Pruner's released code keeps channels by index; this is the activation-squared rule.
    """
    stack = layers(model)
    totals = torch.zeros(len(stack), down_projection(stack[0]).in_features, dtype=torch.float64)
    selected: list[Tensor] = []

    def record(index: int) -> None:
        def hook(_module: torch.nn.Module, args: tuple[Tensor, ...]) -> None:
            activations = args[0].flatten(0, 1)[selected[0]].float()  # (P, I)
            totals[index] += activations.square().sum(0)

        handles.append(down_projection(stack[index]).register_forward_pre_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for index in range(len(stack)):
        record(index)
    count = 0
    for batch in batches:
        selected[:] = [batch.positions]
        completion_states(model, batch)
        count += len(batch.positions)
    for handle in handles:
        handle.remove()
    columns = torch.stack([down_projection(layer).weight.float().square().sum(0) for layer in stack])  # (L, I)
    return (totals / count).float() * columns


def best_channels(scores: Tensor, count: int) -> list[Tensor]:
    """The `count` best channels of every layer, increasing indices (K,); ties go to the lower index."""
    order = torch.argsort(scores, dim=1, descending=True, stable=True)[:, :count]  # (L, K)
    return [row.sort().values for row in order]
