"""McNemar's test and adjusted p-values against scipy, statsmodels and worked examples."""

import numpy as np
import pytest
from scipy import stats

from flab_deploy.evaluation.statistics import (
    Paired,
    benjamini_hochberg,
    clustered_mcnemar,
    holm,
    mcnemar_exact,
    more_lost_p,
)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (5, 5), (11, 3), (40, 22)])
def test_mcnemar_is_the_exact_binomial_test(lost: int, won: int) -> None:
    total = lost + won
    expected = min(1.0, 2 * stats.binom.cdf(min(lost, won), total, 0.5)) if total else 1.0
    assert mcnemar_exact(lost, won) == pytest.approx(expected)
    assert mcnemar_exact(lost, won) == mcnemar_exact(won, lost)


def test_over_clusters_mcnemar_flips_their_signs() -> None:
    for lost, won in ((0, 0), (1, 0), (5, 5), (11, 3), (40, 22)):
        alone = Paired.of([1.0] * lost + [0.0] * (won + 9), [0.0] * lost + [1.0] * won + [0.0] * 9)
        assert clustered_mcnemar(alone) == pytest.approx(mcnemar_exact(lost, won))
    rng = np.random.default_rng(2)
    cluster, before, after = rng.integers(0, 9, 60), rng.random(60) < 0.8, rng.random(60) < 0.6
    both = Paired.of(before.tolist(), after.tolist(), [str(c) for c in cluster])
    gaps = np.bincount(cluster, weights=after.astype(float) - before)
    signs = 1 - 2 * ((np.arange(2**9)[:, None] >> np.arange(9)) & 1)
    assert clustered_mcnemar(both) == pytest.approx(
        np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-9)
    )
    # Copies of verdicts say nothing new.
    copied = Paired.of([1.0] * 30, [0.0] * 15 + [1.0] * 15, [str(i // 3) for i in range(30)])
    assert clustered_mcnemar(copied) == mcnemar_exact(5, 0)


def test_mcnemar_is_statsmodels() -> None:
    tables = pytest.importorskip(
        "statsmodels.stats.contingency_tables", reason="pip install statsmodels"
    )
    for lost, won in ((11, 3), (40, 22), (2, 9)):
        assert mcnemar_exact(lost, won) == pytest.approx(
            float(tables.mcnemar([[50, lost], [won, 30]]).pvalue)
        )


def test_the_exact_p_value_is_the_published_one() -> None:
    # Fagerland, Lydersen and Laake (2013), table 1: 1 and 7 disagreements.
    assert round(mcnemar_exact(1, 7), 3) == 0.070


def test_one_sided_counts_only_losses() -> None:
    assert more_lost_p(7, 1) == pytest.approx(
        stats.binomtest(7, 8, 0.5, alternative="greater").pvalue
    )
    assert more_lost_p(1, 7) > 0.9
    assert more_lost_p(0, 0) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_adjusted_p_values_are_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="pip install statsmodels")
    p_values = np.random.default_rng(0).random(25) ** 3
    assert holm(p_values.tolist()) == pytest.approx(
        list(multitest.multipletests(p_values, method="holm")[1])
    )
    expected = list(multitest.multipletests(p_values, method="fdr_bh")[1])
    assert benjamini_hochberg(p_values.tolist()) == pytest.approx(expected)


def test_holm_is_rarely_wrong_about_any_and_more_cautious_than_benjamini_hochberg() -> None:
    rng = np.random.default_rng(1)
    draws = rng.random((2000, 12))
    wrong = sum(min(holm(row.tolist())) <= 0.05 for row in draws)
    assert wrong / 2000 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)
    assert all(
        a >= b - 1e-12
        for row in draws[:50]
        for a, b in zip(holm(row), benjamini_hochberg(row), strict=True)
    )
