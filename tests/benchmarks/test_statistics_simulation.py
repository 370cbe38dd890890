"""The statistics' promises over a wide grid: false positives, power and coverage, with and without
clusters.

Prints one line per cell. Standard errors of 5 %: 0.6 points of 1500 draws, 0.8 of 800, 0.2 of
10,000, 0.1 of 40,000. The highest of many rates drawn so seldom is high by luck: cells above 5 %
are drawn again, afresh and more often, and the second reading counts.
"""

import sys
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from flab_deploy.evaluation.statistics import (
    Assumptions,
    Counts,
    difference_interval,
    mean_interval,
    non_inferiority_p,
    power,
    problems_needed,
    retention_interval,
)
from flab_deploy.evaluation.statistics.noninferiority import exact_p
from flab_deploy.evaluation.statistics.score import difference_interval_of, ratio_interval
from tests.evaluation.statistics.draws import World

pytestmark = pytest.mark.benchmark
Z = float(stats.norm.isf(0.025))
RATES = (0.24, 0.5, 0.8, 0.95, 0.995)
NUMBERS = (40, 164, 500, 2000)
NUM_DRAWS, NUM_CLUSTERED, NUM_INTERVALS, NUM_AGAIN = 1500, 800, 40_000, 10_000
LEVEL = 0.05


@cache
def exact(both: int, lost: int, won: int, margin: float) -> float:
    return exact_p(Counts(both, lost, won, 0), margin)


def noise(num_draws: int) -> float:
    """Three standard errors of a rate of 5 %."""
    return 3 * float(np.sqrt(LEVEL * (1 - LEVEL) / num_draws))


def shown(world: World, number: int, margin: float, seed: int, num_draws: int = NUM_DRAWS) -> float:
    draws = world.counts(number, num_draws, seed)
    return float(
        np.mean([exact(int(a), int(b), int(c), margin) <= LEVEL for a, b, c, _ in draws.T])
    )


def worlds(retention: float) -> list[World]:
    """Worlds of every rate, from the least disagreement that is possible to a lot."""
    found = []
    for rate in RATES:
        least = rate * (1 - retention)
        most = min(2 * rate - least, 2 * (1 - rate) + least)
        found += [
            World(pass_rate=rate, discordance=min(least + extra, most), retention=retention)
            for extra in (0.001, 0.05)
        ]
    return found


@pytest.mark.parametrize("margin", [0.97, 0.9])
def test_false_positives_at_the_margin(margin: float) -> None:
    rates = []
    for world in worlds(margin):
        for number in NUMBERS:
            rate = shown(world, number, margin, seed=number)
            rates.append(rate)
            sys.stdout.write(f"margin {margin} {world} n {number}: {100 * rate:.1f} %\n")
            if rate > LEVEL:
                again = shown(world, number, margin, seed=number + 1, num_draws=NUM_AGAIN)
                sys.stdout.write(f"    drawn {NUM_AGAIN} times: {100 * again:.2f} %\n")
                assert again <= LEVEL + noise(NUM_AGAIN)
    assert np.mean(rates) <= LEVEL


def test_the_power_is_what_was_planned() -> None:
    worst = 0.0
    for rate, discordance in ((0.5, 0.1), (0.8, 0.02), (0.8, 0.1), (0.95, 0.04), (0.995, 0.003)):
        for retention, target in ((1.0, 0.8), (1.0, 0.5), (0.995, 0.9)):
            assumed = Assumptions(
                pass_rate=rate, discordance=max(discordance, 0.006), true_retention=retention
            )
            number = problems_needed(assumed, target)
            assert number is not None
            world = World(pass_rate=rate, discordance=assumed.discordance, retention=retention)
            planned, found = power(number, assumed), shown(world, number, assumed.margin, seed=1)
            worst = max(worst, abs(planned - found))
            sys.stdout.write(
                f"{world} n {number}: planned {100 * planned:.1f} %, found {100 * found:.1f} %\n"
            )
    assert worst <= 0.03


def test_coverage_of_paired_intervals() -> None:
    for world in [world for retention in (0.9, 0.97, 1.0) for world in worlds(retention)]:
        for number in NUMBERS:
            both, lost, won, _ = world.counts(number, NUM_INTERVALS, seed=2)
            low, high = ratio_interval(both, lost, won, Z)
            kept = float(((low <= world.retention) & (world.retention <= high)).mean())
            low, high = difference_interval_of(number, lost, won, Z)
            true = world.shares[2] - world.shares[1]
            gap = float(((low <= true) & (true <= high)).mean())
            expected = number * world.discordance
            sys.stdout.write(
                f"{world} n {number}, {expected:.1f} disagreements: {100 * kept:.2f} %, "
                f"{100 * gap:.2f} %\n"
            )
            assert min(kept, gap) >= 0.935
            # Fewer disagreements come in too few different numbers for an interval to cover at just
            # 95 %.
            if expected >= 8:
                assert kept >= 0.94 and gap >= 0.938 and max(kept, gap) <= 0.96


SIZES = {
    **{
        f"{groups} clusters": np.random.default_rng(1).geometric(0.4, size=groups)
        for groups in (40, 150, 800)
    },
    "40 clusters of 5": np.full(40, 5),
    "40 clusters of 50": np.full(40, 50),
    "100 clusters of 20": np.full(100, 20),
}


def false_positives(
    world: World, sizes: NDArray[np.int64], copied: float, seed: int, num_draws: int
) -> float:
    draws = world.clustered(sizes, copied, num_draws, seed)
    return float(np.mean([non_inferiority_p(paired, world.retention) <= LEVEL for paired in draws]))


@pytest.mark.parametrize("copied", [0.0, 0.4, 0.8, 1.0])
@pytest.mark.parametrize("name", SIZES)
def test_clusters(name: str, copied: float) -> None:
    sizes = SIZES[name]
    for world in (
        World(pass_rate=0.8, discordance=0.1, retention=0.9),
        World(pass_rate=0.24, discordance=0.05, retention=0.8),
        World(pass_rate=0.995, discordance=0.033, retention=0.97),
    ):
        wrong = false_positives(world, sizes, copied, seed=2, num_draws=NUM_CLUSTERED)
        covered, widest = cluster_coverage(world, sizes, copied)
        told = ", ".join(f"{100 * share:.1f} %" for share in covered)
        sys.stdout.write(
            f"{name}, copied {copied}, {world}: false positives {100 * wrong:.1f} %, covered "
            f"{told}; "
            f"widest difference {100 * widest:.1f} points\n"
        )
        if wrong > LEVEL:
            wrong = false_positives(world, sizes, copied, seed=3, num_draws=NUM_AGAIN)
            sys.stdout.write(f"    drawn {NUM_AGAIN} times: {100 * wrong:.2f} %\n")
        assert wrong <= LEVEL + noise(NUM_AGAIN)
        assert min(covered) >= 0.94 - noise(NUM_CLUSTERED)


def cluster_coverage(
    world: World, sizes: NDArray[np.int64], copied: float
) -> tuple[NDArray[np.float64], float]:
    """How often the intervals of retention, difference and rate hold the truth, and the widest
    difference.
    """
    found, widest = np.zeros(3), 0.0
    for paired in world.clustered(sizes, copied, NUM_CLUSTERED, seed=2):
        bounds = retention_interval(paired) or (0.0, 0.0)
        gap, rate = difference_interval(paired), mean_interval(paired.original, paired.cluster)
        widest = max(widest, gap[1] - gap[0])
        found += (
            bounds[0] <= world.retention <= bounds[1],
            gap[0] <= world.shares[2] - world.shares[1] <= gap[1],
            rate[0] <= world.pass_rate <= rate[1],
        )
    return found / NUM_CLUSTERED, widest
