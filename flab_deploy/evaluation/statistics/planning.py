"""How many problems a claim needs, before any model is run.

The power is that of the exact test in `noninferiority`: the chance that its rejection region is
hit if the models are what is assumed. Problems that neither model solves tell nothing, so the power
is an average over how many remain. With clusters, n problems count as n / design effect.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import stats

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics.noninferiority import rejected
from flab_deploy.evaluation.statistics.paired import Paired, solved_clusters
from flab_deploy.evaluation.statistics.score import fit_at_margin
from flab_deploy.evaluation.statistics.trinomial import Shares, Tables
from flab_deploy.settings.compare import Assumptions, possible_discordance

_NUM_REMAINDERS = 7
_MANY_DISAGREEMENTS = 30
_MOST_PROBLEMS = 10_000_000


def _truth(assumed: Assumptions) -> Shares:
    """Who solves a problem, given that somebody does."""
    lost, won = (max(0.0, share) / assumed.solved for share in assumed.losses)
    return Shares(both=max(0.0, 1.0 - lost - won), only_original=lost, only_candidate=won)


def power(num_problems: int, assumed: Assumptions) -> float:
    """Chance that the claim is shown with `num_problems`, in [0, 1]."""
    effective = num_problems / assumed.design_effect
    if effective * assumed.discordance > _MANY_DISAGREEMENTS:
        return approximate_power(num_problems, assumed)
    quantiles = (np.arange(_NUM_REMAINDERS) + 0.5) / _NUM_REMAINDERS
    remainders = stats.binom.ppf(quantiles, max(1, round(effective)), assumed.solved).astype(int)
    sizes, weights = np.unique(remainders, return_counts=True)
    found = [_power_given(int(m), assumed) if m else 0.0 for m in sizes]
    return float(np.average(found, weights=weights))


def _power_given(m: int, assumed: Assumptions) -> float:
    """Power where m problems are solved by somebody."""
    truth = _truth(assumed)
    tables = Tables.of(m, [truth], assumed.margin)
    chances = tables.probabilities(truth, tables.ways)
    return float(chances[rejected(tables, m, assumed.margin, assumed.alpha)].sum())


def approximate_power(num_problems: int, assumed: Assumptions) -> float:
    """Power by the normal approximation to the score test (Nam and Blackwelder, 2002, section
    4).
    """
    effective = num_problems / assumed.design_effect
    shift, under_claim, in_truth = _moments(assumed)
    z = float(stats.norm.isf(assumed.alpha))
    return float(
        stats.norm.cdf((math.sqrt(effective) * shift - z * under_claim) / max(in_truth, 1e-12))
    )


def _moments(assumed: Assumptions) -> tuple[float, float, float]:
    """Mean of the contrast per problem, its deviation as fitted at the margin, and its deviation in
    truth.
    """
    lost, won = (max(0.0, share) for share in assumed.losses)
    both, margin = assumed.pass_rate - lost, assumed.margin
    shift = assumed.pass_rate * (assumed.true_retention - margin)
    fit = fit_at_margin(both, lost, won, margin)
    under_claim = math.sqrt(margin * float(fit.only_original + fit.only_candidate))
    square = (1 - margin) ** 2 * both + margin**2 * lost + won
    return shift, under_claim, math.sqrt(max(square - shift**2, 0.0))


def problems_needed(assumed: Assumptions, target: float = 0.8) -> int | None:
    """Problems with which the claim is shown with chance `target`; None if no number would do."""
    if not 0 < target < 1:
        raise ConfigError(f"power is {target:g}; give a chance between 0 and 1, such as 0.8")
    shift, under_claim, in_truth = _moments(assumed)
    if shift <= 0:
        return None
    z = float(stats.norm.isf(assumed.alpha)), float(stats.norm.ppf(target))
    guess = assumed.design_effect * ((z[0] * under_claim + z[1] * in_truth) / shift) ** 2
    if guess > _MOST_PROBLEMS:
        return None
    low, high = 0, max(8, math.ceil(guess))
    if power(near := high * 4 // 5, assumed) < target:
        low = near
    while power(high, assumed) < target:
        low, high = high, math.ceil(1.3 * high)
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, assumed) >= target else (middle, high)
    return high


def needed_for_clusters(paired: Paired, margin: float, alpha: float = 0.05) -> int:
    """Problems at which clusters like these are enough for the claim, were there no loss at all; 0
    if independent.

    That is where `unseen_losses_p` reaches `alpha`.
    """
    solved = solved_clusters(paired)
    if paired.independent or not solved or margin >= 1:
        return 0
    return math.ceil(paired.num_problems * math.log(alpha) / math.log(margin) / solved)


def strictest_margin(num_problems: int, assumed: Assumptions, target: float = 0.8) -> float | None:
    """The largest margin, to three decimals, that `num_problems` show with chance `target`; None
    below 0.5.
    """
    low, high = 500, math.floor(1000 * assumed.true_retention)
    if _power_at(num_problems, assumed, low / 1000) < target:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high)
            if _power_at(num_problems, assumed, middle / 1000) >= target
            else (low, middle)
        )
    return low / 1000


def _power_at(num_problems: int, assumed: Assumptions, margin: float) -> float:
    return power(num_problems, replace(assumed, margin=margin))


def assumptions_from(paired: Paired, margin: float, alpha: float = 0.05) -> Assumptions | None:
    """Assumptions for a candidate that is truly equal and disagrees with the original as often as
    here.

    A model pair without a disagreement is taken to have half of one. None if the original solves
    nothing.
    """
    rate = float(paired.original.mean())
    if rate == 0:
        return None
    counts = paired.counts
    disagreements = max(0.5, counts.only_original + counts.only_candidate)
    most = possible_discordance(rate, 1.0)[1]
    return Assumptions(
        margin=margin,
        pass_rate=rate,
        discordance=min(disagreements / paired.num_problems, most),
        alpha=alpha,
        design_effect=paired.design_effect(margin),
    )
