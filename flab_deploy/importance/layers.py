"""Layer importance: the divergence from the original that skipping a layer causes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedModel

from flab_deploy.decoder import only_layers


def skip_scores(model: PreTrainedModel, measure: Callable[[], float], keep: Sequence[int]) -> dict[int, float]:
    """KL(original || model) in nats per token with each of the layers `keep` skipped in turn; low = safe to drop.

    Source: the unified objective of Flab-Pruner (arXiv 2412.15921), min KL(P(y|X; original) || P(y|X; pruned)).
    Deviation: the released code uses a cosine at the last prompt token; here it is the KL itself, on completions.
    """
    scores = {}
    for layer in keep:
        with only_layers(model, [other for other in keep if other != layer]):
            scores[layer] = measure()
    return scores


def greedy_drops(
    model: PreTrainedModel, measure: Callable[[], float], count: int, first: dict[int, float]
) -> list[tuple[int, float]]:
    """The `count` layers to drop, best first, each with the KL after dropping it and all before it.

    `first` holds the scores of the whole model; later rounds measure again on what is left.
    """
    keep = sorted(first)
    dropped: list[tuple[int, float]] = []
    scores = first
    for _ in range(count):
        if dropped:
            scores = skip_scores(model, measure, keep)
        layer = min(scores, key=lambda index: (scores[index], index))
        dropped.append((layer, scores[layer]))
        keep.remove(layer)
    return dropped
