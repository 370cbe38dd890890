"""Intervals and tests for comparing two models on the same problems.

The unit is the problem; problems of one composition are one cluster, because they succeed and
fail together. Intervals of differences and the non-inferiority test add one imagined problem
that only the original solves and one that only the candidate solves (Bonett and Price, 2012),
so that ten problems without a disagreement prove nothing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flab_deploy.errors import ConfigError

Interval = tuple[float, float]
Floats = NDArray[np.float64]
_POWER = 0.8
_FEWEST_CLUSTERS = 10


def wilson_interval(num_passed: int, num_problems: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a rate, within [0, 1]; (0, 1) if there are no problems."""
    if num_problems == 0:
        return 0.0, 1.0
    bounds = stats.binomtest(num_passed, num_problems).proportion_ci(confidence, method="wilson")
    return float(bounds.low), float(bounds.high)


def clustered_wilson_interval(passed: Sequence[bool], clusters: Sequence[str], confidence: float = 0.95) -> Interval:
    """Wilson interval of a rate of clustered verdicts: the number of problems is divided by the design effect."""
    if not passed:
        return 0.0, 1.0
    values = np.asarray(passed, dtype=np.float64)
    size = len(values) / design_effect(values, cluster_index(clusters))
    rate, z = float(values.mean()), float(stats.norm.ppf(0.5 + confidence / 2))
    centre = rate + z * z / (2 * size)
    half = z * math.sqrt(rate * (1 - rate) / size + z * z / (4 * size * size))
    scale = 1 + z * z / size
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def mcnemar_exact(num_only_original: int, num_only_candidate: int) -> float:
    """Two-sided exact McNemar p-value for the two counts of problems that only one model solves."""
    total = num_only_original + num_only_candidate
    return float(stats.binomtest(num_only_original, total, 0.5).pvalue) if total else 1.0


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Verdicts of two models on the same problems."""

    original: Floats
    """1.0 where the original is right, (P,)."""
    candidate: Floats
    """1.0 where the candidate is right, (P,)."""
    cluster: NDArray[np.int64]
    """Cluster index of each problem, (P,), from 0."""

    @classmethod
    def of(cls, original: Sequence[bool], candidate: Sequence[bool], clusters: Sequence[str] | None = None) -> Paired:
        """Paired verdicts; without `clusters`, or where a name is empty, each problem is its own cluster.

        Raises ConfigError if the lengths differ or there are no problems.
        """
        names = [""] * len(original) if clusters is None else list(clusters)
        if not len(original) == len(candidate) == len(names) or len(original) == 0:
            raise ConfigError(
                f"paired verdicts need equal lengths above zero, got {len(original)}, {len(candidate)} and {len(names)}"
            )
        return cls(
            original=np.asarray(original, dtype=np.float64),
            candidate=np.asarray(candidate, dtype=np.float64),
            cluster=cluster_index(names),
        )

    @property
    def num_problems(self) -> int:
        """How many problems both models tried."""
        return len(self.original)

    def sums(self, values: Floats) -> Floats:
        """Sum of per-problem values within each cluster, (G,)."""
        return np.asarray(np.bincount(self.cluster, weights=values), dtype=np.float64)


def cluster_index(names: Sequence[str]) -> NDArray[np.int64]:
    """Cluster number of each problem, (P,), from 0; a problem without a name is a cluster of its own."""
    own = [name or f"\0{i}" for i, name in enumerate(names)]
    return np.unique(own, return_inverse=True)[1].astype(np.int64)


def design_effect(values: Floats, cluster: NDArray[np.int64]) -> float:
    """How much clusters (P,) inflate the variance of the mean of `values` (P,); at least 1."""
    centred = values - values.mean()
    plain = float((centred**2).sum())
    sums = np.bincount(cluster, weights=centred)
    groups = len(sums)
    if plain == 0 or groups < 2:
        return 1.0
    return max(1.0, float((sums**2).sum()) * groups / (groups - 1) / plain)


def difference_interval(paired: Paired, confidence: float = 0.95) -> Interval:
    """Interval of candidate minus original pass rate, within [-1, 1]: adjusted Wald, widened for clusters."""
    difference = paired.candidate - paired.original
    mean, deviation = _adjusted(difference, 1.0, paired)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * deviation
    return max(-1.0, mean - half), min(1.0, mean + half)


def _adjusted(contrast: Floats, original_weight: float, paired: Paired) -> tuple[float, float]:
    """Mean and its standard error of candidate - weight * original, with the two imagined problems added."""
    more = np.concatenate([contrast, [1.0, -original_weight]])
    mean = float(more.mean())
    variance = float(((more - mean) ** 2).sum()) / len(more) ** 2
    return mean, math.sqrt(variance * design_effect(contrast, paired.cluster))


def retention(paired: Paired) -> float | None:
    """Candidate's pass rate over the original's; None if the original solves nothing."""
    total = paired.original.sum()
    return float(paired.candidate.sum() / total) if total else None


def retention_interval(
    paired: Paired, confidence: float = 0.95, num_resamples: int = 4999, seed: int = 0
) -> Interval | None:
    """Interval of the retention: BCa bootstrap over clusters, or the delta method where that cannot work.

    The delta method serves for few clusters and for models that agree everywhere. None if the original
    solves nothing.
    """
    if not paired.original.any():
        return None
    original, candidate = paired.sums(paired.original), paired.sums(paired.candidate)
    if len(original) >= _FEWEST_CLUSTERS:
        found = _bootstrap(original, candidate, confidence, num_resamples, seed)
        if found is not None:
            return found
    return _delta(paired, confidence)


def _bootstrap(
    original: Floats, candidate: Floats, confidence: float, num_resamples: int, seed: int
) -> Interval | None:
    def ratio(o: Floats, c: Floats, axis: int = -1) -> Floats:
        return np.asarray(c.sum(axis=axis) / o.sum(axis=axis))

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = stats.bootstrap(
            (original, candidate), ratio, paired=True, vectorized=True, n_resamples=num_resamples, batch=250,
            confidence_level=confidence, method="BCa", rng=np.random.default_rng(seed),
        )  # fmt: skip
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _delta(paired: Paired, confidence: float) -> Interval:
    """Wald interval of the ratio of means, with the two imagined problems in its variance."""
    share = paired.candidate.sum() / paired.original.sum()
    _, deviation = _adjusted(paired.candidate - share * paired.original, float(share), paired)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * deviation / float(paired.original.mean())
    return max(0.0, float(share) - half), float(share) + half


def non_inferiority_p(paired: Paired, margin: float) -> float:
    """One-sided p-value of the claim that the candidate keeps more than `margin` of the original's pass rate."""
    mean, deviation = _adjusted(paired.candidate - margin * paired.original, margin, paired)
    groups = len(np.unique(paired.cluster))
    return float(stats.t.sf(mean / deviation, df=max(1, groups - 1)))


def num_problems_needed(paired: Paired, margin: float, alpha: float = 0.05) -> int | None:
    """Problems needed to show an equal candidate with 80 % power, if the models disagree as often as here.

    None if the margin is 1 or more, or the original solves nothing: no number of problems would do.
    """
    rate = float(paired.original.mean())
    effect = (1.0 - margin) * rate
    if effect <= 0:
        return None
    contrast = paired.candidate - margin * paired.original
    variance = float(contrast.var()) * design_effect(contrast, paired.cluster)
    imagined = 1.0 + margin**2  # what the two imagined problems add to the squares
    squared = float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(_POWER)) ** 2
    root = math.sqrt((squared * variance) ** 2 + 4 * effect**2 * squared * imagined)
    return math.ceil((squared * variance + root) / (2 * effect**2))
