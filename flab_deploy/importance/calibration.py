"""The divergence of a model from what it was, measured on calibration batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.batches import Batch, completion_states
from flab_deploy.importance.divergence import head_of, kl_per_position, reference_of


@torch.no_grad()
def states_of(model: PreTrainedModel, batches: Iterable[Batch]) -> list[Tensor]:
    """Final hidden states of every batch."""
    return [completion_states(model, batch) for batch in batches]


@torch.no_grad()
def kl_measure(model: PreTrainedModel, batches: Sequence[Batch]) -> Callable[[], float]:
    """A function that measures the KL from the model as it is now to the model as it is when
    called.

    Mean KL(original || model) in nats per completion token, in [0, inf); arithmetic in float32.
    """
    head = head_of(model)
    references = [
        reference_of(head, states, batch.targets)
        for states, batch in zip(states_of(model, batches), batches, strict=True)
    ]
    count = sum(len(batch.positions) for batch in batches)

    def measure() -> float:
        states = states_of(model, batches)
        sums = [
            float(kl_per_position(head, r, s[None]).sum())
            for r, s in zip(references, states, strict=True)
        ]
        return max(sum(sums) / count, 0.0)

    return measure
