"""Score statistics of paired verdicts, for a ratio and for a difference of two pass rates.

A score statistic takes its variance from the best fit to the data *under the hypothesis*, so it
stays sound near 100 % and with few disagreements, where an estimated variance is zero or wild.
Arguments are counts, (...), of problems that both, only the original, or only the candidate solves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from flab_deploy.evaluation.statistics.clusters import Floats

_STEPS = 60


class Fit(NamedTuple):
    """Expected counts under the hypothesis that the candidate keeps exactly `margin`."""

    only_original: Floats
    only_candidate: Floats


def fit_at_margin(
    both: ArrayLike, only_original: ArrayLike, only_candidate: ArrayLike, margin: ArrayLike
) -> Fit:
    """Maximum-likelihood expected counts with candidate's rate = margin · original's (Nam and
    Blackwelder, 2002).

    Our derivation: with m = both + only_original + only_candidate fixed, which is sufficient
    because problems that neither solves say nothing about the ratio, the likelihood's root is that
    of one quadratic.
    """
    a, b, c, margin = (
        np.asarray(x, dtype=np.float64) for x in (both, only_original, only_candidate, margin)
    )
    m = a + b + c
    middle = (1 - margin**2) * (a + b) + b + c
    root = np.sqrt(np.maximum(middle**2 - 4 * (1 - margin**2) * b * m, 0.0))
    lost = np.clip(
        (middle + root) / (2 * (1 + margin)), np.maximum(0.0, (1 - margin) * m), m / (1 + margin)
    )
    return Fit(lost, np.maximum((lost - (1 - margin) * m) / margin, 0.0))


def ratio_score(
    both: ArrayLike, only_original: ArrayLike, only_candidate: ArrayLike, margin: ArrayLike
) -> Floats:
    """Standard-normal score of `candidate's rate - margin * original's rate`; positive if the
    candidate keeps more.

    Nam and Blackwelder (2002), equation 5. 0 where nobody solves anything.
    """
    a, b, c, margin = (
        np.asarray(x, dtype=np.float64) for x in (both, only_original, only_candidate, margin)
    )
    fit = fit_at_margin(a, b, c, margin)
    return _divide(a + c - margin * (a + b), margin * (fit.only_original + fit.only_candidate))


def difference_score(
    num_problems: ArrayLike,
    only_original: ArrayLike,
    only_candidate: ArrayLike,
    difference: ArrayLike,
) -> Floats:
    """Standard-normal score of `candidate's rate - original's rate - difference` (Tango, 1998)."""
    n, b, c, gap = (
        np.asarray(x, dtype=np.float64)
        for x in (num_problems, only_original, only_candidate, difference)
    )
    middle = (2 * n + b - c) * gap - b - c
    lost = (np.sqrt(np.maximum(middle**2 + 8 * n * b * gap * (1 - gap), 0.0)) - middle) / (4 * n)
    return _divide(c - b - n * gap, n * (2 * lost + gap * (1 - gap)))


def _divide(shift: Floats, variance: Floats) -> Floats:
    known = variance > 1e-12
    certain = np.where(shift > 1e-9, np.inf, np.where(shift < -1e-9, -np.inf, 0.0))
    return np.where(known, shift / np.sqrt(np.where(known, variance, 1.0)), certain)


def ratio_interval(
    both: ArrayLike, only_original: ArrayLike, only_candidate: ArrayLike, z: ArrayLike
) -> Floats:
    """Both ends, (2, ...), of the ratios whose score is within `z` of zero; (0, inf) where nobody
    solves anything.
    """
    a, b, c = (
        np.asarray(count, dtype=np.float64) for count in (both, only_original, only_candidate)
    )

    def score(log_ratio: Floats) -> Floats:
        return ratio_score(a, b, c, np.exp(log_ratio))

    low, high = (
        np.exp(_crossing(score, level, -16.0, 16.0)) for level in (np.asarray(z), -np.asarray(z))
    )
    return np.asarray([np.where(a + c > 0, low, 0.0), np.where(a + b > 0, high, np.inf)])


def difference_interval_of(
    num_problems: ArrayLike, only_original: ArrayLike, only_candidate: ArrayLike, z: ArrayLike
) -> Floats:
    """Both ends, (2, ...), of the differences whose score is within `z` of zero, in [-1, 1]."""

    def score(gap: Floats) -> Floats:
        return difference_score(num_problems, only_original, only_candidate, gap)

    return np.asarray(
        [_crossing(score, level, -1.0, 1.0) for level in (np.asarray(z), -np.asarray(z))]
    )


def _crossing(score: Callable[[Floats], Floats], level: Floats, low: float, high: float) -> Floats:
    """Where a falling score meets `level`, by halving."""
    shape = np.broadcast_shapes(score(np.asarray(0.0)).shape, level.shape)
    bottom, top = np.full(shape, low), np.full(shape, high)
    for _ in range(_STEPS):
        middle = (bottom + top) / 2
        above = score(middle) > level
        bottom, top = np.where(above, middle, bottom), np.where(above, top, middle)
    return np.asarray((bottom + top) / 2)
