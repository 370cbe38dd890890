"""Layers within the `score` stage: the chosen metric, the chosen search, and a journal to resume
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.decoder import cache_room
from flab_deploy.importance.divergence import (
    errors_per_position,
    head_of,
    kl_per_position,
    nll_per_position,
)
from flab_deploy.importance.layers.journal import SearchJournal
from flab_deploy.importance.layers.order import LayerOrder, TrunkScores, find_order
from flab_deploy.importance.layers.scores import block_influence, last_token_cosine, layer_taylor
from flab_deploy.importance.layers.search import CACHE_BYTES, Cost, LayerSearch
from flab_deploy.importance.layers.stack import LayerStack
from flab_deploy.importance.ranks import Ranks
from flab_deploy.progress import progress
from flab_deploy.settings.score import LayerMetric, ScoreConfig

_COSTS: dict[LayerMetric, Cost] = {
    "kl": kl_per_position,
    "perplexity": nll_per_position,
    "token_accuracy": errors_per_position,
}
_TRUNK_SCORES: dict[LayerMetric, TrunkScores] = {
    "block_influence": block_influence,
    "cosine": last_token_cosine,
    "taylor": layer_taylor,
}


@dataclass(frozen=True, kw_only=True)
class LayerFindings:
    """What the stage keeps about layers."""

    kl_nats: list[float]
    """KL(original || model) per completion token with each layer skipped."""
    found: LayerOrder


def search_layers(
    model: PreTrainedModel,
    batches: Sequence[Batch],
    config: ScoreConfig,
    journal_path: Path | None,
    ranks: Ranks,
) -> LayerFindings:
    """KL of every layer, and the order in which the configured search drops them."""
    num_layers = model.config.num_hidden_layers
    count = min(config.max_layers_searched, num_layers - 1)
    own = len(ranks.share(batches))
    journal = SearchJournal(journal_path, ranks)
    total = own * (1 + num_layers + sum(num_layers - dropped for dropped in range(1, count)))
    with progress("score: layers", total, "layers tried, times batches") as advance:
        kl_search = LayerSearch(
            LayerStack(model),
            head_of(model),
            batches,
            kl_per_position,
            ranks=ranks,
            cache_bytes=min(CACHE_BYTES, cache_room(model.device, CACHE_BYTES)),
            advance=advance,
        )
        if config.layer_metric == "kl":
            found = find_order(
                kl_search, count, config.layer_search, config.beam_width, None, journal
            )
            return _finished(list(found.first_scores), found, journal)
        kl = kl_search.all_costs()
        kl_search.cost = _COSTS.get(config.layer_metric, kl_per_position)
        scores = _TRUNK_SCORES.get(config.layer_metric)
        found = find_order(
            kl_search, count, config.layer_search, config.beam_width, scores, journal
        )
    return _finished(kl, found, journal)


def _finished(kl: list[float], found: LayerOrder, journal: SearchJournal) -> LayerFindings:
    journal.close()
    return LayerFindings(kl_nats=kl, found=found)
