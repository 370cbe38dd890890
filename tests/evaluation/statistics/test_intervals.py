"""Intervals against scipy and statsmodels, against exact values, and their coverage by
simulation.
"""

import numpy as np
import pytest
from scipy import stats

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics import (
    Paired,
    bootstrap_retention_interval,
    cluster_index,
    clustered_wilson_interval,
    design_effect,
    difference_interval,
    mean_interval,
    pass_at_k_interval,
    retention,
    retention_interval,
    wilson_interval,
)
from flab_deploy.evaluation.statistics.clusters import spread
from flab_deploy.evaluation.statistics.score import (
    difference_interval_of,
    difference_score,
    fit_at_margin,
    ratio_interval,
    ratio_score,
)
from tests.evaluation.statistics.draws import World, pairs

Z = float(stats.norm.isf(0.025))


@pytest.mark.parametrize(("passed", "number"), [(131, 164), (0, 20), (20, 20), (1993, 2000)])
def test_wilson_interval_is_scipys(passed: int, number: int) -> None:
    expected = stats.binomtest(passed, number).proportion_ci(0.95, method="wilson")
    assert wilson_interval(passed, number) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


def test_wilson_interval_is_the_published_one_for_humaneval() -> None:
    low, high = wilson_interval(131, 164)
    assert (round(low, 3), round(high, 3)) == (0.731, 0.853)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("number", [164, 500, 2000])
@pytest.mark.parametrize("rate", [0.24, 0.5, 0.8, 0.96])
def test_wilson_interval_covers_at_its_confidence_on_average_over_neighbouring_rates(
    number: int, rate: float
) -> None:
    # The coverage at one rate jumps, because verdicts are whole numbers; so: the mean over 20 %
    # more or fewer errors.
    passed = np.arange(number + 1)
    low, high = np.transpose([wilson_interval(int(count), number) for count in passed])
    rates = 1 - (1 - rate) * np.linspace(0.8, 1.2, 41)
    chances = stats.binom.pmf(passed[:, None], number, rates)
    coverage = (chances * ((low[:, None] <= rates) & (rates <= high[:, None]))).sum(axis=0)
    assert 0.94 <= coverage.mean() <= 0.96
    assert coverage.min() > 0.93


def test_clusters_of_one_change_nothing_and_copies_count_once() -> None:
    alone = (np.random.default_rng(0).random(300) < 0.8).tolist()
    assert clustered_wilson_interval(alone, [""] * 300) == pytest.approx(
        wilson_interval(sum(alone), 300), abs=1e-12
    )
    together = [passed for passed in alone[:100] for _ in range(3)]
    names = [f"c{i}" for i in range(100) for _ in range(3)]
    assert clustered_wilson_interval(together, names) == pytest.approx(
        wilson_interval(sum(alone[:100]), 100), abs=0.01
    )
    values = np.repeat(np.random.default_rng(1).random(50), 4)
    assert design_effect(values, cluster_index([str(i // 4) for i in range(200)])) == pytest.approx(
        4.0, rel=0.06
    )


def test_the_cluster_robust_error_is_statsmodels() -> None:
    linear_model = pytest.importorskip(
        "statsmodels.regression.linear_model", reason="pip install statsmodels"
    )
    rng = np.random.default_rng(5)
    cluster = np.sort(rng.integers(0, 60, 400))
    cluster = np.unique(cluster, return_inverse=True)[1]
    values = (rng.random(60)[cluster] + rng.random(400) > 1).astype(float)
    fitted = linear_model.OLS(values, np.ones((400, 1))).fit(
        cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": False}
    )
    leverage = np.bincount(cluster) / 400
    # statsmodels has no CR3: with each cluster's residuals over its leverage by hand, the plain
    # sandwich is it.
    found = spread(values, cluster)
    sums = np.bincount(cluster, weights=values - values.mean())
    assert float(fitted.bse[0]) == pytest.approx(float(np.sqrt((sums**2).sum())) / 400, rel=1e-9)
    assert found.error == pytest.approx(
        float(np.sqrt(((sums / (1 - leverage)) ** 2).sum())) / 400, rel=1e-9
    )
    assert 1.0 < found.error / float(fitted.bse[0]) < 1.05
    assert 20 < found.degrees < cluster.max()


def test_a_single_cluster_tells_no_more_than_one_problem() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0])
    assert design_effect(values, np.zeros(4, dtype=np.int64)) == 4.0
    low, high = mean_interval(values, np.zeros(4, dtype=np.int64))
    assert high - low > 0.7


def test_pass_at_k_counts_problems_not_samples() -> None:
    rate, (low, high) = pass_at_k_interval([10] * 100, [5] * 100, 1, [""] * 100)
    assert rate == 0.5
    assert (low, high) == pytest.approx(
        wilson_interval(50, 100), abs=1e-12
    )  # alike problems: their number bounds it
    skill = np.random.default_rng(2).beta(2, 2, 200)
    correct = np.random.default_rng(3).binomial(10, skill)
    rate, (low, high) = pass_at_k_interval([10] * 200, correct, 1, [""] * 200)
    error = (correct / 10).std(ddof=1) / np.sqrt(200)
    assert rate == pytest.approx(correct.mean() / 10)
    assert (low, high) == pytest.approx((rate - 1.96 * error, rate + 1.96 * error), abs=0.004)
    assert pass_at_k_interval([10] * 200, correct, 5, [""] * 200)[0] > rate


def test_pass_at_k_intervals_cover_with_clusters() -> None:
    rng, covered, num_draws = np.random.default_rng(4), 0, 400
    names = [str(i // 3) for i in range(300)]
    for _ in range(num_draws):
        skill = np.repeat(rng.beta(3, 1, 100), 3)
        _, (low, high) = pass_at_k_interval([5] * 300, rng.binomial(5, skill), 1, names)
        covered += low <= 0.75 <= high
    assert 0.92 <= covered / num_draws <= 0.98  # 0.94 to 0.96, and two standard errors of 400 draws


def test_the_fit_at_the_margin_is_the_likelihoods_maximum() -> None:
    for both, lost, won, margin in (
        (70, 9, 4, 0.97),
        (300, 0, 0, 0.9),
        (20, 15, 1, 0.8),
        (40, 3, 9, 1.2),
    ):
        m = both + lost + won
        share = np.linspace(max(0.0, 1 - margin) + 1e-9, 1 / (1 + margin) - 1e-9, 200_001)
        gained = (share - (1 - margin)) / margin
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [
                stats_log(count, value)
                for count, value in ((both, 1 - share - gained), (lost, share), (won, gained))
            ]
        best = share[np.nanargmax(sum(logs))]
        fit = fit_at_margin(both, lost, won, margin)
        assert float(fit.only_original) / m == pytest.approx(best, abs=1e-4)
        assert m - float(fit.only_original) == pytest.approx(
            margin * (m - float(fit.only_candidate)), rel=1e-9
        )


def stats_log(count: int, share: np.ndarray) -> np.ndarray:
    return count * np.log(share) if count else np.zeros_like(share)


def test_the_score_of_no_difference_is_mcnemars() -> None:
    for lost, won in ((12, 4), (3, 9), (5, 5)):
        expected = (won - lost) / np.sqrt(won + lost)
        assert float(difference_score(100, lost, won, 0.0)) == pytest.approx(expected)
        assert float(ratio_score(60, lost, won, 1.0)) == pytest.approx(expected)


def test_the_ends_of_the_difference_interval_are_just_not_rejected() -> None:
    for number, lost, won in ((44, 1, 0), (164, 11, 3), (60, 0, 9)):
        low, high = (float(end) for end in difference_interval_of(number, lost, won, Z))
        assert float(difference_score(number, lost, won, low)) == pytest.approx(Z, abs=1e-6)
        assert float(difference_score(number, lost, won, high)) == pytest.approx(-Z, abs=1e-6)
        # The variance under a hypothesis, by the likelihood's maximum over a grid.
        share = np.linspace(max(0.0, -low), 1 - max(0.0, low), 400_001)[1:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = 1 - 2 * share - low
            logs = (
                stats_log(lost, share)
                + stats_log(won, share + low)
                + stats_log(number - lost - won, rest)
            )
        best = share[np.nanargmax(logs)]
        expected = (won - lost - number * low) / np.sqrt(number * (2 * best + low - low**2))
        assert expected == pytest.approx(Z, abs=1e-3)


WORLDS = [
    World(pass_rate=0.8, discordance=0.1, retention=0.95),
    World(pass_rate=0.24, discordance=0.05, retention=1.0),
    World(pass_rate=0.86, discordance=0.05, retention=0.97),
    World(pass_rate=0.995, discordance=0.03, retention=0.975),
    World(pass_rate=0.6, discordance=0.2, retention=0.95),
]


@pytest.mark.parametrize(
    "world", WORLDS, ids=lambda world: f"{world.pass_rate}-{world.discordance}"
)
@pytest.mark.parametrize("number", [164, 1000])
def test_paired_intervals_cover_at_their_confidence(world: World, number: int) -> None:
    both, lost, won, _ = world.counts(number, 4000, seed=number)
    truth = world.shares
    for (low, high), true in (
        (ratio_interval(both, lost, won, Z), world.retention),
        (difference_interval_of(number, lost, won, Z), truth[2] - truth[1]),
    ):
        coverage = float(((low <= true) & (true <= high)).mean())
        noise = 2.5 * np.sqrt(0.05 * 0.95 / 4000)
        assert 0.94 - noise <= coverage <= 0.96 + noise


def test_with_next_to_no_disagreement_intervals_are_wide_rather_than_wrong() -> None:
    # 1.3 disagreements are expected: with 0, 1 or 2 of them no interval can cover at just 95 %.
    both, lost, won, _ = World(pass_rate=0.995, discordance=0.008, retention=1.0).counts(
        164, 4000, seed=1
    )
    low, high = ratio_interval(both, lost, won, Z)
    assert float(((low <= 1) & (high >= 1)).mean()) >= 0.99


@pytest.mark.parametrize("copied", [0.4, 0.8])
def test_clustered_intervals_cover(copied: float) -> None:
    world, num_draws = World(pass_rate=0.8, discordance=0.1, retention=0.95), 300
    sizes = np.random.default_rng(7).geometric(0.4, size=400)
    within = [
        retention_interval(paired) for paired in world.clustered(sizes, copied, num_draws, seed=8)
    ]
    coverage = (
        sum(bounds is not None and bounds[0] <= 0.95 <= bounds[1] for bounds in within) / num_draws
    )
    assert 0.92 <= coverage <= 0.985


def test_the_score_interval_agrees_with_the_bootstrap_on_many_problems() -> None:
    paired = pairs(1500, 60, 40, 400)
    share = retention(paired)
    assert share == pytest.approx(1540 / 1560)
    expected = retention_interval(paired)
    assert expected == pytest.approx(bootstrap_retention_interval(paired), abs=1.5e-3)
    assert bootstrap_retention_interval(paired) == bootstrap_retention_interval(paired)


def test_models_that_agree_are_equal_but_not_certainly_so() -> None:
    paired = pairs(30, 0, 0, 10)
    assert retention(paired) == 1.0
    low, high = retention_interval(paired) or (1.0, 1.0)
    assert low < 0.95 and high > 1.05
    assert bootstrap_retention_interval(paired) is None
    low, high = difference_interval(paired)
    assert low < -0.05 and high > 0.05


def test_nothing_solved_has_no_retention() -> None:
    paired = pairs(0, 0, 3, 10)
    assert retention(paired) is None
    assert retention_interval(paired) is None
    assert bootstrap_retention_interval(paired) is None


def test_several_samples_per_problem_give_an_interval_of_their_means() -> None:
    rng = np.random.default_rng(9)
    before, after = rng.binomial(8, 0.8, 300) / 8, rng.binomial(8, 0.76, 300) / 8
    paired = Paired.of(before.tolist(), after.tolist())
    low, high = difference_interval(paired)
    assert low < -0.04 < high
    assert high - low == pytest.approx(2 * 1.97 * (after - before).std() / np.sqrt(300), rel=0.02)
    kept = retention_interval(paired)
    assert kept is not None and kept[0] < 0.95 < kept[1]


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ConfigError, match="equal lengths"):
        Paired.of([True], [True, False])
    with pytest.raises(ConfigError, match="above zero"):
        Paired.of([], [])


def test_one_unlucky_cluster_cannot_make_problems_tell_less_than_one_each_per_cluster() -> None:
    names = [f"c{i // 2}" for i in range(70)]
    low, high = clustered_wilson_interval([i != 0 for i in range(70)], names)
    fewest = wilson_interval(34, 35)  # one cluster wholly wrong
    assert fewest[0] < low < 69 / 70 < high <= 1.0
