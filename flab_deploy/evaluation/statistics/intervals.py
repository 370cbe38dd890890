"""Intervals of what two models differ by, on the same problems: difference and retention."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from flab_deploy.evaluation.statistics.clusters import (
    Floats,
    cluster_sums,
    fewest_effective,
    spread,
)
from flab_deploy.evaluation.statistics.paired import Paired, retention, solved_clusters
from flab_deploy.evaluation.statistics.rates import Interval, unseen_share
from flab_deploy.evaluation.statistics.score import difference_interval_of, ratio_interval

_FEWEST_CLUSTERS = 10
_NUM_RESAMPLES = 9999


def difference_interval(paired: Paired, confidence: float = 0.95) -> Interval:
    """Interval of candidate minus original pass rate, within [-1, 1]: Tango's score interval,
    widened for clusters.

    With several samples per problem, the Wald interval between clusters.
    """
    values = paired.contrast(1.0)
    mean = float(values.mean())
    if paired.binary:
        counts, z = paired.counts, _widened(paired, 1.0, confidence)
        low, high = difference_interval_of(
            paired.num_problems, counts.only_original, counts.only_candidate, z
        )
    else:
        found = spread(values, paired.cluster)
        half = min(2.0, float(stats.t.isf(0.5 - confidence / 2, found.degrees)) * found.error)
        low, high = np.asarray([mean - half, mean + half])
    unseen = _unseen(paired, fewest_effective(paired.cluster), confidence)
    return max(-1.0, min(float(low), mean - unseen)), min(1.0, max(float(high), mean + unseen))


def retention_interval(paired: Paired, confidence: float = 0.95) -> Interval | None:
    """Interval of the retention: the score interval of a paired ratio, widened for clusters.

    For independent problems it holds every margin that the score test would not reject. With
    several samples per problem, the BCa bootstrap. None if the original solves nothing.
    """
    share = retention(paired)
    if share is None:
        return None
    if not paired.binary:
        return bootstrap_retention_interval(paired, confidence)
    counts, z = paired.counts, _widened(paired, share, confidence)
    low, high = ratio_interval(counts.both, counts.only_original, counts.only_candidate, z)
    unseen = _unseen(paired, solved_clusters(paired), confidence)
    return min(float(low), share * (1 - unseen)), max(float(high), share * (1 + unseen))


def _unseen(paired: Paired, num_clusters: float, confidence: float) -> float:
    """How far an interval reaches at the least, as a share of the problems; 0 without clusters."""
    return 0.0 if paired.independent else unseen_share(num_clusters, confidence)


def _widened(paired: Paired, weight: float, confidence: float) -> float:
    """How many standard errors the interval reaches: the normal quantile, or more where clusters
    are counted.

    One or two unlike clusters say next to nothing about the spread, and Student's quantile then has
    no bound to speak of; but it reaches no further than if all problems of a cluster were alike.
    """
    tail = 0.5 - confidence / 2
    normal = float(stats.norm.isf(tail))
    if paired.independent:
        return normal
    found = spread(paired.contrast(weight), paired.cluster)
    alike = normal * math.sqrt(paired.num_problems / fewest_effective(paired.cluster))
    if found.error == 0:
        return alike
    return min(alike, float(stats.t.isf(tail, found.degrees)) * math.sqrt(found.design_effect))


def bootstrap_retention_interval(
    paired: Paired, confidence: float = 0.95, num_resamples: int = _NUM_RESAMPLES, seed: int = 0
) -> Interval | None:
    """BCa bootstrap interval (Efron, 1987) of the retention, drawing whole clusters.

    None if the original solves nothing, for fewer than ten clusters, and where the models agree
    everywhere: then every draw is alike, and a bootstrap would claim certainty.
    """
    if retention(paired) is None or paired.num_clusters < _FEWEST_CLUSTERS:
        return None
    sums = [cluster_sums(values, paired.cluster) for values in (paired.original, paired.candidate)]

    def ratio(original: Floats, candidate: Floats, axis: int = -1) -> Floats:
        return np.asarray(candidate.sum(axis=axis) / original.sum(axis=axis))

    return bca_interval(sums, ratio, confidence, num_resamples, seed)


def bca_interval(
    samples: list[Floats],
    statistic: Callable[..., Floats],
    confidence: float,
    num_resamples: int,
    seed: int,
) -> Interval | None:
    """scipy's BCa interval of a statistic of paired samples, each (G,); None where it is not
    defined.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = stats.bootstrap(
            tuple(samples),
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=num_resamples,
            batch=250,
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None
