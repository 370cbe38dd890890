"""The claim's test: at most 5 % false positives at the margin, and the power that the plan
promised.
"""

from functools import cache

import numpy as np
import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics import (
    Assumptions,
    Counts,
    assumptions_from,
    difference_interval,
    needed_for_clusters,
    non_inferiority_p,
    power,
    problems_needed,
    retention_interval,
    strictest_margin,
)
from flab_deploy.evaluation.statistics.noninferiority import exact_p, rejected
from flab_deploy.evaluation.statistics.planning import approximate_power
from flab_deploy.evaluation.statistics.trinomial import Tables, at_margin
from tests.evaluation.statistics.draws import World, pairs


@pytest.mark.parametrize("margin", [0.97, 0.9, 0.8])
@pytest.mark.parametrize("m", [20, 60, 120, 300])
def test_false_positives_at_the_margin_are_at_most_five_per_cent(margin: float, m: int) -> None:
    # Every outcome of m solved problems is weighed, so this is the error rate itself and no
    # estimate.
    for gained in (0.0, 0.002, 0.01, 0.03, 0.1, 0.2):
        truth = at_margin(1 - margin + margin * gained, margin)
        tables = Tables.of(m, [truth], margin)
        chances = tables.probabilities(truth, tables.ways)
        assert chances.sum() == pytest.approx(1, abs=1e-6)
        assert chances[rejected(tables, m, margin, 0.05)].sum() <= 0.05


def test_the_region_for_planning_is_that_of_the_test() -> None:
    truth = at_margin(0.06, 0.97)
    tables = Tables.of(150, [truth], 0.97)
    near = np.flatnonzero(np.abs(tables.score - 1.7) < 0.35)[::2]
    single = [
        exact_p(
            Counts(
                int(tables.both[i]), int(tables.only_original[i]), int(tables.only_candidate[i]), 0
            ),
            0.97,
        )
        <= 0.05
        for i in near
    ]
    assert len(near) > 30 and 5 < sum(single) < len(near) - 5
    assert np.mean(np.asarray(single) == rejected(tables, 150, 0.97, 0.05)[near]) > 0.97


@cache
def exact(both: int, lost: int, won: int, margin: float) -> float:
    return exact_p(Counts(both, lost, won, 0), margin)


AT_THE_MARGIN = [
    (World(pass_rate=0.995, discordance=0.032, retention=0.97), 60),
    (World(pass_rate=0.995, discordance=0.032, retention=0.97), 300),
    (World(pass_rate=0.24, discordance=0.05, retention=0.9), 120),
    (World(pass_rate=0.8, discordance=0.1, retention=0.9), 164),
]


@pytest.mark.parametrize(("world", "number"), AT_THE_MARGIN, ids=str)
def test_simulated_false_positives_are_at_most_five_per_cent(world: World, number: int) -> None:
    draws = world.counts(number, 1500, seed=3)
    shown = [exact(int(a), int(b), int(c), world.retention) <= 0.05 for a, b, c, _ in draws.T]
    assert np.mean(shown) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.parametrize("copied", [0.4, 0.8])
def test_clusters_do_not_raise_the_false_positives(copied: float) -> None:
    world = World(pass_rate=0.8, discordance=0.1, retention=0.9)
    sizes = np.random.default_rng(5).geometric(0.4, size=300)
    shown = [
        non_inferiority_p(paired, 0.9) <= 0.05
        for paired in world.clustered(sizes, copied, 200, seed=6)
    ]
    assert np.mean(shown) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


def test_few_problems_prove_nothing_even_without_a_disagreement() -> None:
    assert non_inferiority_p(pairs(5, 0, 0, 0), 0.97) > 0.3
    assert non_inferiority_p(pairs(98, 0, 0, 40), 0.97) > 0.05
    assert non_inferiority_p(pairs(99, 0, 0, 40), 0.97) <= 0.05  # 0.97 ** 99 is 0.049
    assert non_inferiority_p(pairs(2000, 0, 0, 0), 0.97) <= 1e-4


def test_copies_of_problems_prove_no_more_than_the_problems() -> None:
    names = [str(i // 40) for i in range(2000)]
    same = pairs(2000, 0, 0, 0)
    assert non_inferiority_p(same.of([1.0] * 2000, [1.0] * 2000, names), 0.97) == pytest.approx(
        non_inferiority_p(pairs(50, 0, 0, 0), 0.97)
    )


@pytest.mark.parametrize(
    "world",
    [
        World(pass_rate=0.995, discordance=0.033, retention=0.97),
        World(pass_rate=0.24, discordance=0.05, retention=0.8),
    ],
    ids=str,
)
def test_a_few_large_clusters_of_which_none_was_lost_show_nothing(world: World) -> None:
    # Half of each of 40 clusters shares its fate, and the few that are lost are missing from a
    # third of all draws.
    drawn = world.clustered(np.full(40, 50), 0.5, 100, seed=1)
    found = [
        (non_inferiority_p(paired, world.retention) <= 0.05, retention_interval(paired))
        for paired in drawn
    ]
    assert sum(shown for shown, _ in found) <= 5
    covered = [
        bounds is not None and bounds[0] <= world.retention <= bounds[1] for _, bounds in found
    ]
    assert sum(covered) >= 93


def test_one_unlike_cluster_leaves_the_interval_bounded() -> None:
    names = [str(i // 2) for i in range(80)]
    found = {}
    for lost in (0, 1, 2):
        paired = pairs(1, 0, 0, 0).of([1.0] * 80, [0.0] * lost + [1.0] * (80 - lost), names)
        low, high = difference_interval(paired)
        found[lost] = high - low
        kept = retention_interval(paired)
        assert kept is not None and low < -lost / 80 < high and kept[0] > 0.75
    assert found[0] <= found[1] <= found[2] < 0.25


def test_the_problems_needed_are_enough_clusters() -> None:
    names = [str(i // 10) for i in range(300)]
    same = pairs(1, 0, 0, 0).of([1.0] * 300, [1.0] * 300, names)
    assert needed_for_clusters(same, 0.97) == 984  # 98.4 clusters: 0.97 ** 98.4 is 0.05
    assert needed_for_clusters(pairs(300, 0, 0, 0), 0.97) == 0


def test_clusters_make_the_test_more_careful() -> None:
    rng = np.random.default_rng(4)
    solved = np.repeat(rng.random(60) < 0.9, 20)
    kept = np.repeat(rng.random(60) < 0.98, 20) & solved
    alone = non_inferiority_p(pairs(0, 1, 0, 0).of(solved.tolist(), kept.tolist()), 0.9)
    names = [str(i // 20) for i in range(1200)]
    assert (
        non_inferiority_p(pairs(0, 1, 0, 0).of(solved.tolist(), kept.tolist(), names), 0.9) > alone
    )


def test_many_samples_are_tested_by_their_means() -> None:
    rng = np.random.default_rng(8)
    before, after = rng.binomial(5, 0.8, 900) / 5, rng.binomial(5, 0.8, 900) / 5
    both = pairs(1, 0, 0, 0).of(before.tolist(), after.tolist())
    assert non_inferiority_p(both, 0.95) < 0.01
    assert non_inferiority_p(both, 1.0) > 0.05


EXPECTED = [
    Assumptions(pass_rate=0.8, discordance=0.1, margin=0.93),
    Assumptions(pass_rate=0.995, discordance=0.004),
    Assumptions(pass_rate=0.86, discordance=0.03),
    Assumptions(pass_rate=0.24, discordance=0.05, margin=0.8),
]


@pytest.mark.parametrize(
    "assumed", EXPECTED, ids=lambda a: f"{a.pass_rate}-{a.discordance}-{a.true_retention}"
)
def test_the_power_is_what_was_planned(assumed: Assumptions) -> None:
    number = problems_needed(assumed)
    assert number is not None
    world = World(
        pass_rate=assumed.pass_rate,
        discordance=assumed.discordance,
        retention=assumed.true_retention,
    )
    draws, num_draws = world.counts(number, 700, seed=11), 700
    shown = np.mean(
        [exact(int(a), int(b), int(c), assumed.margin) <= 0.05 for a, b, c, _ in draws.T]
    )
    planned = power(number, assumed)
    assert (
        0.79 <= planned <= 0.93
    )  # whole problems: with few disagreements the power rises in steps
    assert abs(shown - planned) <= 0.03 + np.sqrt(0.8 * 0.2 / num_draws)


def test_problems_needed_are_those_of_the_published_table() -> None:
    # Original 0.8, disagreement 0.10, margin 0.97, truly equal: 1073 problems by the formula for a
    # difference.
    assert problems_needed(Assumptions(pass_rate=0.8, discordance=0.1)) == pytest.approx(
        1073, rel=0.02
    )
    assert problems_needed(Assumptions(margin=1.0)) is None
    doubled = problems_needed(Assumptions(pass_rate=0.8, discordance=0.1, design_effect=2.0))
    assert doubled == pytest.approx(2 * 1073, rel=0.02)


def test_both_ways_to_work_out_the_power_agree_where_one_takes_over() -> None:
    assumed = Assumptions(pass_rate=0.8, discordance=0.05)
    for number in (300, 590):
        assert power(number, assumed) == pytest.approx(approximate_power(number, assumed), abs=0.02)


def test_humaneval_alone_cannot_show_ninety_seven_per_cent() -> None:
    assumed = Assumptions(pass_rate=0.77, discordance=0.1)
    strictest = strictest_margin(164, assumed)
    assert strictest == pytest.approx(0.92, abs=0.01)
    assert power(164, assumed) < 0.3


def test_assumptions_come_from_what_was_seen() -> None:
    assumed = assumptions_from(pairs(75, 5, 5, 15), 0.97)
    assert assumed is not None
    assert (assumed.pass_rate, assumed.discordance, assumed.true_retention) == (0.8, 0.1, 1.0)
    assert assumptions_from(pairs(0, 0, 3, 10), 0.97) is None
    agreed = assumptions_from(pairs(30, 0, 0, 10), 0.97)
    assert agreed is not None and agreed.discordance == 0.5 / 40
    perfect = assumptions_from(pairs(30, 0, 0, 0), 0.97)
    assert perfect is not None and problems_needed(perfect) == pytest.approx(99, abs=1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pass_rate": 0.9, "discordance": 0.5}, "give one from 0 to 0.2"),
        ({"pass_rate": 0.9, "discordance": 0.01, "true_retention": 0.9}, "give one from 0.09"),
        ({"pass_rate": 0.0}, "pass_rate is 0"),
        ({"alpha": 0.7}, "alpha"),
    ],
)
def test_impossible_assumptions_are_refused(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Assumptions(**wrong)
