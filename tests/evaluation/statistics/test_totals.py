"""Ratios of totals: exact cases, and how often interval and test are right by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flab_deploy.evaluation.statistics import TotalsRatio, below_p, detectable_excess
from flab_deploy.evaluation.statistics.clusters import Floats, Ints


def draw(rng: np.random.Generator, clusters: int, ratio: float) -> tuple[Floats, Floats, Ints]:
    """Bits of texts of very different length under two models, in clusters that lose alike."""
    sizes = rng.integers(1, 8, clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    original = np.exp(rng.normal(4, 1, len(cluster)))
    shared, own = rng.normal(0, 0.08, clusters)[cluster], rng.normal(0, 0.08, len(cluster))
    return original * (ratio + shared + own), original, cluster.astype(np.int64)


def test_independent_texts_of_one_length_give_students_interval() -> None:
    values = np.random.default_rng(0).normal(1.1, 0.2, 400)
    found = TotalsRatio.of(values, np.ones(400), np.arange(400))
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert found.interval(0.95) == pytest.approx(expected, rel=1e-3)
    p = stats.ttest_1samp(values, 1.12, alternative="less").pvalue
    assert below_p(values, np.ones(400), np.arange(400), 1.12) == pytest.approx(p, rel=0.2)


def test_equal_texts_leave_no_doubt_and_one_cluster_leaves_nothing_else() -> None:
    original, cluster = np.asarray([3.0, 9.0, 27.0]), np.arange(3)
    exact = TotalsRatio.of(2 * original, original, cluster)
    assert (exact.value, exact.interval(0.95)) == (2, (2, 2))
    alone = TotalsRatio.of(original**2, original, np.zeros(3, dtype=np.int64))
    assert alone.interval(0.95) is None
    single = np.zeros(3, dtype=np.int64)
    assert detectable_excess(original**2, original, single, 0.05, 0.8) is None
    assert detectable_excess(2 * original, original, cluster, 0.05, 0.8) is None  # three texts
    many = np.tile(original, 20)
    assert detectable_excess(2 * many, many, np.arange(60), 0.05, 0.8) == 0
    assert below_p(original, 2 * original, np.zeros(3, dtype=np.int64), 1.05) == 0.5


def test_intervals_cover_and_false_claims_are_as_rare_as_said() -> None:
    rng, limit, shown, covered = np.random.default_rng(5), 1.05, 0, 0
    number = 1500
    for _ in range(number):
        after, before, cluster = draw(rng, 40, limit)  # just not true
        low, high = TotalsRatio.of(after, before, cluster).interval(0.95) or (0.0, 0.0)
        covered += low <= limit <= high
        shown += below_p(after, before, cluster, limit) <= 0.05
    assert 0.93 <= covered / number <= 0.985
    assert shown / number <= 0.065


def test_a_loss_is_ruled_out_as_often_as_was_foreseen() -> None:
    rng, number = np.random.default_rng(7), 800
    foreseen = [detectable_excess(*draw(rng, 60, 1.0), 0.05, 0.8) for _ in range(100)]
    bound = float(np.mean([one for one in foreseen if one is not None]))
    shown = sum(below_p(*draw(rng, 60, 1.0), 1 + bound) <= 0.05 for _ in range(number))
    assert 0.72 <= shown / number <= 0.88
