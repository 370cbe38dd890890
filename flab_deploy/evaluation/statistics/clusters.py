"""Clusters: problems of one composition succeed and fail together, so each tells less than one
problem's worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Spread(NamedTuple):
    """How uncertain the mean of clustered values is."""

    error: float
    """Standard error of the mean; 0 where the values do not vary."""
    design_effect: float
    """Variance of the mean over that of independent problems; at least 1, and 1 without clusters.
    """
    degrees: float
    """Clusters that the error in effect rests on: for a few unlucky ones, Student's quantiles are
    wide.
    """


def cluster_index(names: Sequence[str]) -> Ints:
    """Cluster number of each problem, (P,), from 0; a problem without a name is a cluster of its
    own.
    """
    own = [name or f"\0{i}" for i, name in enumerate(names)]
    return np.unique(own, return_inverse=True)[1].astype(np.int64)


def num_clusters(cluster: Ints) -> int:
    """How many clusters the problems (P,) fall into."""
    return int(cluster.max(initial=-1)) + 1


def cluster_sums(values: Floats, cluster: Ints) -> Floats:
    """Sum of the values (P,) within each cluster, (G,)."""
    return np.asarray(np.bincount(cluster, weights=values), dtype=np.float64)


def spread(values: Floats, cluster: Ints) -> Spread:
    """The spread of the mean of `values` (P,): the cluster-robust sandwich, each cluster's sum over
    its leverage.

    That is CR3 of Bell and McCaffrey (2002); the degrees of freedom are Satterthwaite's from the
    clusters' own shares in the variance (Carter, Schnepel and Steigerwald, 2017), at most the
    number of clusters less one. A single cluster counts as a single problem.
    """
    size, groups = len(values), num_clusters(cluster)
    if size == 0 or values.min() == values.max():
        return Spread(0.0, float(size) if groups < 2 else 1.0, max(1.0, groups - 1.0))
    if groups < 2:
        return Spread(math.inf, float(size), 1.0)
    centred = values - values.mean()
    plain = float((centred**2).sum())
    leverage = np.bincount(cluster) / size
    shares = (cluster_sums(centred, cluster) / (1 - leverage)) ** 2
    total = float(shares.sum())
    degrees = min(groups - 1.0, max(1.0, total**2 / max(float((shares**2).sum()), 1e-300)))
    effect = 1.0 if groups == size else max(1.0, total / plain)
    return Spread(math.sqrt(total) / size, effect, degrees)


def fewest_effective(cluster: Ints) -> float:
    """What problems (P,) tell at the least, in independent problems: all of a cluster alike (Kish,
    1965).

    P squared over the sum of squared cluster sizes; P where every problem is its own cluster.
    """
    sizes = np.bincount(cluster)
    return float(len(cluster) ** 2 / (sizes**2).sum())


def design_effect(values: Floats, cluster: Ints) -> float:
    """How much clusters (P,) inflate the variance of the mean of `values` (P,); at least 1 (Kish,
    1965).
    """
    return spread(values, cluster).design_effect
