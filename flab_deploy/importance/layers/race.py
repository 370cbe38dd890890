"""Candidates on their way through the batches: the one that is ahead always moves first.

Running sums only grow, so when the best complete candidate is ahead of everyone else it has won,
and nobody was moved who could not have won for all that was known (uniform-cost search). Candidates
at the same batch are moved together while they may well be needed, because layers run faster on
several at once.
"""

from __future__ import annotations

from collections.abc import Sequence

Key = tuple[int, int]
# A candidate moves along with the one ahead while its sum is below this share of what the winner's
# will be.
_LIKELY_NEEDED = 0.8


class Race:
    """Running sums of candidates, each named by (trunk, position)."""

    def __init__(self, keys: Sequence[Key], width: int, progress: Sequence[float]) -> None:
        self.sums = dict.fromkeys(keys, 0.0)
        self.steps = dict.fromkeys(keys, 0)
        self._width = min(width, len(keys))
        self._progress = progress

    def complete(self) -> list[Key]:
        """Candidates that have gone all the way."""
        return [key for key, step in self.steps.items() if step == len(self._progress)]

    def next_group(self) -> list[Key]:
        """Candidates to move by one batch, all at the same batch, in increasing order; none when
        the race is over.
        """
        finished = sorted(self.sums[key] for key in self.complete())
        going = [key for key, step in self.steps.items() if step < len(self._progress)]
        if not going:
            return []
        first = min(going, key=lambda key: (self.sums[key], key))
        if len(finished) >= self._width and finished[self._width - 1] < self.sums[first]:
            return []
        limit = max(_LIKELY_NEEDED * self._expected(), self.sums[first])
        return sorted(
            key for key in going if self.steps[key] == self.steps[first] and self.sums[key] <= limit
        )

    def _expected(self) -> float:
        """What the last winner's sum will probably be."""
        whole = (
            self.sums[key] / self._progress[step - 1] for key, step in self.steps.items() if step
        )
        ordered = sorted(whole)
        return ordered[self._width - 1] if len(ordered) >= self._width else 0.0

    def advance(self, group: Sequence[Key], added: Sequence[float]) -> None:
        """Add the cost of one more batch to each of the group."""
        for key, value in zip(group, added, strict=True):
            self.sums[key] += value
            self.steps[key] += 1
