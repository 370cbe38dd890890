"""The plain algorithms that fast ones are held against: whole forward passes, whole
distributions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.decoder import only_layers


@torch.no_grad()
def plain_kl(model: PreTrainedModel, batches: Sequence[Batch], keep: Sequence[int]) -> float:
    """Mean KL(original || the layers `keep`) per completion token, from float64
    log-probabilities.
    """
    total, count = 0.0, 0
    for batch in batches:
        original = model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
        ).logits
        with only_layers(model, keep):
            candidate = model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
            ).logits
        log_p = original.flatten(0, 1)[batch.positions].double().log_softmax(-1)
        log_q = candidate.flatten(0, 1)[batch.positions].double().log_softmax(-1)
        total += float((log_p.exp() * (log_p - log_q)).sum())
        count += len(batch.positions)
    return total / count


def plain_beam(
    model: PreTrainedModel, batches: Sequence[Batch], count: int, width: int
) -> list[tuple[tuple[int, ...], float]]:
    """The best drops and their KL at each depth; a greedy search is a beam of one."""
    everything = range(model.config.num_hidden_layers)
    beams: list[tuple[int, ...]] = [()]
    best = []
    for _ in range(count):
        sets = {
            tuple(sorted({*beam, layer}))
            for beam in beams
            for layer in everything
            if layer not in beam
        }
        scored = sorted(
            (plain_kl(model, batches, [layer for layer in everything if layer not in drops]), drops)
            for drops in sets
        )
        beams = [drops for _, drops in scored[:width]]
        best.append((scored[0][1], scored[0][0]))
    return best
