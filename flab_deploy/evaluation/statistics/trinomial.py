"""Outcomes of m problems that at least one model solves: T tables of counts, their scores and
probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from flab_deploy.evaluation.statistics.clusters import Floats
from flab_deploy.evaluation.statistics.score import ratio_score

_REACH, _BEYOND = 5.5, 10


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Probabilities of who solves a problem, given that somebody does; they add up to 1."""

    both: float
    only_original: float
    only_candidate: float


def at_margin(only_original: float, margin: float) -> Shares:
    """The one trinomial with candidate = margin · original in which the original alone solves
    `only_original`.
    """
    lost = min(max(only_original, 0.0, 1.0 - margin), 1.0 / (1.0 + margin))
    won = max(0.0, (lost - (1.0 - margin)) / margin)
    return Shares(both=max(0.0, 1.0 - lost - won), only_original=lost, only_candidate=won)


def plausible_losses(
    num_disagreements: ArrayLike, m: int, margin: float, implausible: float
) -> Floats:
    """Least and greatest share of problems lost, (2, ...), that so many disagreements in m problems
    leave plausible.

    At the margin the disagreement rate settles the loss; its bounds are Clopper and Pearson's.
    """
    d = np.asarray(num_disagreements, dtype=np.float64)
    low = np.where(d > 0, stats.beta.ppf(implausible / 2, np.maximum(d, 1), m - d + 1), 0.0)
    high = np.where(d < m, stats.beta.isf(implausible / 2, d + 1, np.maximum(m - d, 1)), 1.0)
    lost = (margin * np.stack([low, high]) + 1 - margin) / (1 + margin)
    return np.clip(lost, max(0.0, 1.0 - margin), 1.0 / (1.0 + margin))


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Outcomes that some of the given trinomials make likely; what is left out has a chance below
    1e-7.
    """

    both: Floats
    only_original: Floats
    only_candidate: Floats
    score: Floats
    """Score statistic at the margin, (T,)."""

    @classmethod
    def of(cls, m: int, truths: Sequence[Shares], margin: float) -> Tables:
        """The outcomes of m problems, with their scores at `margin`."""
        lost = _range(m, [shares.only_original for shares in truths])
        won = _range(m, [shares.only_candidate for shares in truths])
        b, c = (grid.ravel() for grid in np.meshgrid(lost, won, indexing="ij"))
        possible = b + c <= m
        b, c = b[possible], c[possible]
        return cls(
            both=m - b - c,
            only_original=b,
            only_candidate=c,
            score=ratio_score(m - b - c, b, c, margin),
        )

    @property
    def ways(self) -> Floats:
        """Logarithm of the number of orders in which each outcome can come about, (T,)."""
        counts = (self.both, self.only_original, self.only_candidate)
        return np.asarray(
            special.gammaln(sum(counts) + 1) - sum(special.gammaln(count + 1) for count in counts)
        )

    def probabilities(self, truth: Shares, ways: Floats) -> Floats:
        """Chance of each outcome, (T,)."""
        logs = special.xlogy(self.both, truth.both) + special.xlogy(
            self.only_original, truth.only_original
        )
        return np.asarray(
            np.exp(ways + logs + special.xlogy(self.only_candidate, truth.only_candidate))
        )


def _range(m: int, shares: list[float]) -> Floats:
    low, high = min(shares), max(shares)
    reach = [_REACH * np.sqrt(m * share * (1 - share)) + _BEYOND for share in (low, high)]
    return np.arange(
        max(0, int(m * low - reach[0])), min(m, int(m * high + reach[1])) + 1, dtype=np.float64
    )
