"""Intervals and tests against scipy, against exact values, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics import (
    Paired,
    cluster_index,
    clustered_wilson_interval,
    design_effect,
    difference_interval,
    mcnemar_exact,
    non_inferiority_p,
    num_problems_needed,
    retention,
    retention_interval,
    wilson_interval,
)


def _pairs(both: int, only_original: int, only_candidate: int, neither: int) -> Paired:
    original = [True] * (both + only_original) + [False] * (only_candidate + neither)
    candidate = [True] * both + [False] * only_original + [True] * only_candidate + [False] * neither
    return Paired.of(original, candidate)


def test_wilson_interval_is_the_published_one_for_humaneval() -> None:
    low, high = wilson_interval(131, 164)
    assert (round(low, 3), round(high, 3)) == (0.731, 0.853)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_clustered_wilson_equals_wilson_without_clusters_and_is_wider_with_them() -> None:
    rng = np.random.default_rng(0)
    alone = (rng.random(300) < 0.8).tolist()
    assert clustered_wilson_interval(alone, [""] * 300) == pytest.approx(wilson_interval(sum(alone), 300), abs=2e-3)
    together = [passed for passed in alone[:100] for _ in range(3)]
    names = [f"c{i}" for i in range(100) for _ in range(3)]
    low, high = clustered_wilson_interval(together, names)
    plain = wilson_interval(sum(together), 300)
    assert low < plain[0] and high > plain[1]
    assert (low, high) == pytest.approx(wilson_interval(sum(alone[:100]), 100), abs=2e-3)


def test_copies_in_a_cluster_count_once() -> None:
    values = np.repeat(np.random.default_rng(1).random(50), 4)
    names = [str(i // 4) for i in range(200)]
    assert design_effect(values, cluster_index(names)) == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize(("only_original", "only_candidate"), [(0, 0), (1, 0), (5, 5), (11, 3), (40, 22)])
def test_mcnemar_is_the_exact_binomial_test(only_original: int, only_candidate: int) -> None:
    total = only_original + only_candidate
    smaller = min(only_original, only_candidate)
    expected = min(1.0, 2 * stats.binom.cdf(smaller, total, 0.5)) if total else 1.0
    assert mcnemar_exact(only_original, only_candidate) == pytest.approx(expected)


def test_difference_interval_is_bonett_and_price_without_clusters() -> None:
    both, only_original, only_candidate, neither = 60, 12, 4, 24
    low, high = difference_interval(_pairs(both, only_original, only_candidate, neither))
    n = both + only_original + only_candidate + neither
    p12, p21 = (only_original + 1) / (n + 2), (only_candidate + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * np.sqrt((p12 + p21 - (p12 - p21) ** 2) / (n + 2))
    # Without clusters the design effect is G / (G - 1), that of the unbiased variance.
    assert (low, high) == pytest.approx((p21 - p12 - half, p21 - p12 + half), abs=2e-3)


def test_difference_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        shared = rng.random(150) < 0.7
        original = np.where(rng.random(150) < 0.1, rng.random(150) < 0.9, shared)
        candidate = np.where(rng.random(150) < 0.1, rng.random(150) < 0.4, shared)
        low, high = difference_interval(Paired.of(original.tolist(), candidate.tolist()))
        covered += low <= -0.05 <= high
    assert covered >= 0.93 * 400


def test_retention_interval_agrees_with_the_delta_method_on_many_problems() -> None:
    paired = _pairs(1500, 60, 40, 400)
    share = retention(paired)
    assert share == pytest.approx(1540 / 1560)
    low, high = retention_interval(paired) or (0.0, 0.0)
    residuals = paired.candidate - share * paired.original
    half = 1.96 * residuals.std() / np.sqrt(len(residuals)) / paired.original.mean()
    assert (low, high) == pytest.approx((share - half, share + half), abs=2e-3)
    assert retention_interval(paired) == (low, high)


def test_retention_of_models_that_agree_is_one_but_not_certain() -> None:
    assert retention(_pairs(30, 0, 0, 10)) == 1.0
    low, high = retention_interval(_pairs(30, 0, 0, 10)) or (1.0, 1.0)
    assert low < 0.95 and high > 1.05


def test_nothing_solved_has_no_retention() -> None:
    paired = _pairs(0, 0, 3, 10)
    assert retention(paired) is None and retention_interval(paired) is None
    assert num_problems_needed(paired, 0.97) is None


def test_few_problems_prove_nothing_even_without_a_disagreement() -> None:
    assert non_inferiority_p(_pairs(5, 0, 0, 0), 0.97) > 0.3
    assert non_inferiority_p(_pairs(2000, 0, 0, 0), 0.97) < 1e-6


def test_non_inferiority_holds_its_error_rate_at_the_margin() -> None:
    rng = np.random.default_rng(3)
    shown = 0
    for _ in range(1500):
        original = rng.random(400) < 0.8
        # True retention exactly 0.9: a tenth of what the original solves is lost, and some gained for some lost more.
        candidate = np.where(original, rng.random(400) < 0.875, rng.random(400) < 0.1)
        shown += non_inferiority_p(Paired.of(original.tolist(), candidate.tolist()), 0.9) < 0.05
    assert shown / 1500 < 0.065


def test_clusters_make_the_test_more_careful() -> None:
    rng = np.random.default_rng(4)
    solved = np.repeat(rng.random(60) < 0.9, 20)
    kept = np.repeat(rng.random(60) < 0.98, 20) & solved
    names = [str(i // 20) for i in range(1200)]
    alone = non_inferiority_p(Paired.of(solved.tolist(), kept.tolist()), 0.9)
    together = non_inferiority_p(Paired.of(solved.tolist(), kept.tolist(), names), 0.9)
    assert together > alone


def test_problems_needed_are_those_of_the_published_table() -> None:
    # Original 0.8, disagreement 0.10, margin 0.97, truly equal: 1073 problems.
    needed = num_problems_needed(_pairs(75_000, 5_000, 5_000, 15_000), 0.97)
    assert needed == pytest.approx(1073, rel=0.03)
    assert num_problems_needed(_pairs(10, 1, 1, 1), 1.0) is None


@pytest.mark.parametrize(("both", "neither"), [(3000, 0), (2250, 750)])
def test_problems_needed_are_enough_where_models_never_disagree(both: int, neither: int) -> None:
    needed = num_problems_needed(_pairs(both, 0, 0, neither), 0.97)
    assert needed is not None
    share = both / (both + neither)
    smaller = _pairs(round(needed * share), 0, 0, round(needed * (1 - share)))
    assert non_inferiority_p(smaller, 0.97) < 0.05
    assert non_inferiority_p(_pairs(needed // 3, 0, 0, 0), 0.97) > 0.05


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ConfigError, match="equal lengths"):
        Paired.of([True], [True, False])
    with pytest.raises(ConfigError, match="above zero"):
        Paired.of([], [])
