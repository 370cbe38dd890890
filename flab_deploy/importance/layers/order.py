"""The order in which layers are dropped: one shot, greedily, or by a beam, each resumable after
every round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flab_deploy.importance.divergence import kl_per_position
from flab_deploy.importance.layers.journal import DropRound, FirstRound, SearchJournal
from flab_deploy.importance.layers.search import Candidate, LayerSearch, Trunk
from flab_deploy.records.scores import DropPath
from flab_deploy.settings.score import SearchMethod

# Scores (one per layer of the trunk) that one pass over the trunk gives; low = safe to drop.
TrunkScores = Callable[[LayerSearch, Trunk], list[float]]


_NOTHING_DROPPED = DropPath(order=(), scores=(), kl_nats=())


@dataclass(frozen=True, kw_only=True)
class LayerOrder:
    """What a search found."""

    first_scores: tuple[float, ...]
    """Score of every layer of the whole model."""
    path: DropPath
    """The best way to drop the most layers that were searched."""
    by_depth: tuple[DropPath, ...]
    """The best way to drop 1, 2, ... layers; with a beam, not always the beginning of `path`."""


def find_order(
    search: LayerSearch,
    count: int,
    method: SearchMethod,
    width: int,
    scores: TrunkScores | None,
    journal: SearchJournal,
) -> LayerOrder:
    """Drop `count` layers, one per round.

    Without `scores`, candidates are measured by the search's own cost. One shot goes by the scores
    of the whole model, greedy measures again what is left after each drop, a beam follows the
    `width` best stacks at once. Finished rounds are read from the journal.
    """
    first = _first_scores(search, scores, journal)
    beams = [(search.whole, _NOTHING_DROPPED)]
    by_depth: list[DropPath] = []
    for depth in range(count):
        kept = journal.round(depth + 1, DropRound)
        if kept is not None:
            by_depth.append(kept.beams[0])
            # States are worth their computation only where the search goes on from them.
            last = depth + 1 == count or len(journal) > depth + 2
            beams = [
                (search.whole if last else _trunk_of(search, path), path) for path in kept.beams
            ]
            continue
        chosen, exact = _choices(search, beams, first, method, width, scores)
        beams = [_drop(search, beams, candidate, exact, depth + 1 == count) for candidate in chosen]
        by_depth.append(beams[0][1])
        journal.add(DropRound(beams=tuple(path for _, path in beams)))
    return LayerOrder(first_scores=tuple(first), path=beams[0][1], by_depth=tuple(by_depth))


def _first_scores(
    search: LayerSearch, scores: TrunkScores | None, journal: SearchJournal
) -> list[float]:
    kept = journal.round(0, FirstRound)
    if kept is not None:
        search.order, search.progress = list(kept.batches), list(kept.progress)
        return list(kept.scores)
    found = search.all_costs() if scores is None else scores(search, search.whole)
    journal.add(
        FirstRound(
            scores=tuple(found), batches=tuple(search.order), progress=tuple(search.progress)
        )
    )
    return found


def _choices(
    search: LayerSearch,
    beams: Sequence[tuple[Trunk, DropPath]],
    first: Sequence[float],
    method: SearchMethod,
    width: int,
    scores: TrunkScores | None,
) -> tuple[list[Candidate], bool]:
    """The next candidates, best first, `width` of them for a beam, else one; and whether their
    costs are exact KLs.
    """
    trunks = [trunk for trunk, _ in beams]
    wanted = width if method == "beam" else 1
    is_kl = scores is None and search.cost is kl_per_position
    at_start = trunks[0].keep == search.whole.keep
    if scores is None and method != "one_shot" and not at_start:
        return search.best(trunks, wanted), is_kl
    fresh = scores is not None and method != "one_shot" and not at_start
    known = (
        scores(search, trunks[0])
        if scores and fresh
        else [first[layer] for layer in trunks[0].keep]
    )
    candidates = [
        Candidate(trunk=trunks[0], position=at, cost=score) for at, score in enumerate(known)
    ]
    return sorted(candidates, key=lambda candidate: candidate.rank)[:wanted], is_kl and at_start


def _drop(
    search: LayerSearch,
    beams: Sequence[tuple[Trunk, DropPath]],
    candidate: Candidate,
    exact: bool,
    last: bool,
) -> tuple[Trunk, DropPath]:
    """The beam after a drop; after the last one its states are not needed."""
    path = next(path for trunk, path in beams if trunk is candidate.trunk)
    measured = (
        candidate if exact else search.measure(candidate.trunk, candidate.position, kl_per_position)
    )
    trunk = candidate.trunk if last else search.follow(measured)
    return trunk, DropPath(
        order=(*path.order, candidate.layer),
        scores=(*path.scores, candidate.cost),
        kl_nats=(*path.kl_nats, measured.cost),
    )


def _trunk_of(search: LayerSearch, path: DropPath) -> Trunk:
    return search.trunk(
        tuple(layer for layer in search.whole.keep if layer not in path.order), search.whole
    )
