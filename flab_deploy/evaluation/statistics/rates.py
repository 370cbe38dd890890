"""Intervals of one model's rate of solved problems."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from flab_deploy.evaluation.statistics.clusters import (
    Floats,
    Ints,
    cluster_index,
    fewest_effective,
    num_clusters,
    spread,
)
from flab_deploy.evaluation.statistics.metrics import pass_at_k

Interval = tuple[float, float]


def wilson_interval(num_passed: int, num_problems: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a rate, within [0, 1]; (0, 1) if there are no problems."""
    if num_problems == 0:
        return 0.0, 1.0
    return _wilson(num_passed / num_problems, num_problems, confidence)


def clustered_wilson_interval(
    passed: Sequence[bool], clusters: Sequence[str], confidence: float = 0.95
) -> Interval:
    """Wilson interval of a rate of clustered verdicts; see `mean_interval`."""
    if not passed:
        return 0.0, 1.0
    return mean_interval(np.asarray(passed, dtype=np.float64), cluster_index(clusters), confidence)


def pass_at_k_interval(
    num_samples: ArrayLike,
    num_correct: ArrayLike,
    k: int,
    clusters: Sequence[str],
    confidence: float = 0.95,
) -> tuple[float, Interval]:
    """Unbiased pass@k over problems (Chen et al., 2021) and its interval; a problem's samples count
    as one problem.

    `num_samples` and `num_correct` are (P,) counts. Raises ConfigError if a problem has fewer than
    `k` samples.
    """
    values = pass_at_k(num_samples, num_correct, k)
    return float(values.mean()), mean_interval(values, cluster_index(clusters), confidence)


def mean_interval(values: Floats, cluster: Ints, confidence: float = 0.95) -> Interval:
    """Interval of the mean of values in [0, 1], (P,), by problem: Wilson's at the effective number
    of problems.

    That number is the one at which independent verdicts would vary as these values do, between
    clusters (Korn and Graubard, 1998), less where few clusters leave it uncertain, but never less
    than if all problems of a cluster were alike. Where nothing varies, it is the number of
    clusters. Coverage is that of Wilson's interval: on average over neighbouring rates within a
    point of the confidence, and for a single rate above or below it because verdicts are whole
    numbers.
    """
    size, rate = len(values), float(values.mean()) if len(values) else 0.0
    if size == 0:
        return 0.0, 1.0
    if num_clusters(cluster) == size and bool(np.isin(values, (0.0, 1.0)).all()):
        return _wilson(rate, size, confidence)
    found = spread(values, cluster)
    effective = (
        rate * (1 - rate) / found.error**2 if found.error > 0 else float(num_clusters(cluster))
    )
    tail = 0.5 - confidence / 2
    certainty = (
        float(stats.norm.isf(tail) / stats.t.isf(tail, found.degrees)) ** 2
        if found.error > 0
        else 1.0
    )
    fewest = fewest_effective(cluster)
    low, high = _wilson(rate, max(effective * certainty, fewest), confidence)
    if num_clusters(cluster) == size:
        return low, high
    unseen = unseen_share(fewest, confidence)
    return min(low, rate * (1 - unseen)), max(high, rate + (1 - rate) * unseen)


def unseen_share(num_clusters: float, confidence: float = 0.95) -> float:
    """Share of problems that may end alike in whole clusters of which so few happen to hold none.

    The end of Wilson's interval of a share that was never seen: a few large clusters look alike
    until one is lost, and no estimate of their spread warns of it.
    """
    z = float(stats.norm.isf(0.5 - confidence / 2))
    return z * z / (num_clusters + z * z)


def _wilson(rate: float, size: float, confidence: float) -> Interval:
    """Wilson's interval at a number of problems that need not be whole."""
    z = float(stats.norm.isf(0.5 - confidence / 2))
    centre = rate + z * z / (2 * size)
    half = z * math.sqrt(rate * (1 - rate) / size + z * z / (4 * size * size))
    scale = 1 + z * z / size
    low, high = (centre - half) / scale, (centre + half) / scale
    return max(0.0, low), min(1.0, high)
