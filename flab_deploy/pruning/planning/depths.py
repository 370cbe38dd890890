"""Which layers stay at each depth, and what dropping the others costs on its own."""

from __future__ import annotations

from collections.abc import Callable

from flab_deploy.importance.layers.search import LayerSearch, Trunk
from flab_deploy.pruning.planning.scores import Scores


class Depths:
    """The layers that stay, by how many: as the scores found them, or searched further where they
    stop.

    The scores' search knows of no protected layers; from the first depth at which it drops one, and
    beyond its last depth, layers are dropped greedily by measured divergence.
    """

    def __init__(
        self,
        num_layers: int,
        scores: Scores,
        protected: tuple[int, ...],
        open_search: Callable[[], LayerSearch],
    ) -> None:
        self._everything = tuple(range(num_layers))
        self._protected = set(protected)
        self._open_search = open_search
        self._found: list[tuple[tuple[int, ...], float]] = [(self._everything, 0.0)]
        for dropped, kl_nats in scores.dropped_by_depth:
            if self._protected & set(dropped):
                break
            self._found.append(
                (tuple(layer for layer in self._everything if layer not in dropped), kl_nats)
            )
        self._search: LayerSearch | None = None
        self._trunk: Trunk | None = None

    def kept(self, count: int) -> tuple[int, ...]:
        """The `count` layers that stay, increasing."""
        return self._at(count)[0]

    def kl_nats(self, count: int) -> float:
        """KL(original || model) per token with the others skipped."""
        return self._at(count)[1]

    def _at(self, count: int) -> tuple[tuple[int, ...], float]:
        dropped = len(self._everything) - count
        while len(self._found) <= dropped:
            self._drop_one_more()
        return self._found[dropped]

    def _drop_one_more(self) -> None:
        if self._search is None:
            self._search = self._open_search()
            self._trunk = self._search.trunk(self._found[-1][0], self._search.whole)
        assert self._trunk is not None
        ranked = self._search.best([self._trunk], len(self._protected) + 1)
        chosen = next(candidate for candidate in ranked if candidate.layer not in self._protected)
        self._trunk = self._search.follow(chosen)
        self._found.append((self._trunk.keep, chosen.cost))
