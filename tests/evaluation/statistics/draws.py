"""Drawing paired verdicts with known rates, with and without clusters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flab_deploy.evaluation.statistics import Paired


@dataclass(frozen=True, kw_only=True)
class World:
    """True shares of problems by who solves them."""

    pass_rate: float
    discordance: float
    retention: float

    @property
    def shares(self) -> NDArray[np.float64]:
        """Both, only the original, only the candidate, neither."""
        shift = self.pass_rate * (1 - self.retention)
        lost, won = (self.discordance + shift) / 2, (self.discordance - shift) / 2
        shares = np.array([self.pass_rate - lost, lost, won, 1 - self.pass_rate - won])
        assert (shares > -1e-9).all(), shares
        return np.clip(shares, 0, 1) / np.clip(shares, 0, 1).sum()

    def counts(self, num_problems: int, num_draws: int, seed: int) -> NDArray[np.int64]:
        """Counts of independent problems, (4, draws)."""
        return np.random.default_rng(seed).multinomial(num_problems, self.shares, size=num_draws).T

    def clustered(
        self, sizes: NDArray[np.int64], copied: float, num_draws: int, seed: int
    ) -> Iterator[Paired]:
        """Problems in clusters of the given sizes; a problem shares its cluster's fate with chance
        `copied`.
        """
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        for _ in range(num_draws):
            common, own = (
                rng.choice(4, p=self.shares, size=size) for size in (len(sizes), len(cluster))
            )
            fate = np.where(rng.random(len(cluster)) < copied, common[cluster], own)
            yield Paired(
                original=np.isin(fate, (0, 1)).astype(float),
                candidate=np.isin(fate, (0, 2)).astype(float),
                cluster=cluster,
            )


def pairs(both: int, only_original: int, only_candidate: int, neither: int) -> Paired:
    """Independent problems with the given counts."""
    original = [1.0] * (both + only_original) + [0.0] * (only_candidate + neither)
    candidate = [1.0] * both + [0.0] * only_original + [1.0] * only_candidate + [0.0] * neither
    return Paired.of(original, candidate)
