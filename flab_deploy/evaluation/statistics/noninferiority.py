"""The claim "keeps more than `margin` of the original's pass rate" as a test.

Given how many problems at least one model solves, the verdicts at the margin follow a trinomial
with one unknown, so the test is exact: the score statistic's tail, at the least favourable value
of the unknown that the data leaves plausible (Berger and Boos, 1994). Its false-positive rate is
at most alpha for independent problems at any sample size. Clusters widen the score test; of its
p-value, the exact one and that of as many independent problems as there are clusters, none of them
lost, the largest counts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flab_deploy.evaluation.statistics.clusters import Floats, spread
from flab_deploy.evaluation.statistics.paired import Counts, Paired, solved_clusters
from flab_deploy.evaluation.statistics.score import ratio_score
from flab_deploy.evaluation.statistics.trinomial import Shares, Tables, at_margin, plausible_losses

_IMPLAUSIBLE = 1e-4
_NUM_VALUES, _NUM_PLANNED = 9, 17
_TIE = 1e-9
Bools = NDArray[np.bool_]
_MANY_DISAGREEMENTS = 2000


def non_inferiority_p(paired: Paired, margin: float) -> float:
    """One-sided p-value against the claim that the candidate keeps more than `margin` of the
    original's pass rate.
    """
    if paired.binary and paired.independent:
        return exact_p(paired.counts, margin)
    values = paired.contrast(margin)
    found = spread(values, paired.cluster)
    unseen = unseen_losses_p(paired, margin)
    if found.error == 0:  # nothing varies, so there is nothing but the number of clusters to go by
        return unseen if values[0] > 0 else 1.0
    if not paired.binary:
        return max(unseen, float(stats.t.sf(float(values.mean()) / found.error, found.degrees)))
    z = float(ratio_score(*paired.counts[:3], margin)) / math.sqrt(found.design_effect)
    return max(unseen, exact_p(paired.counts, margin), float(stats.t.sf(z, found.degrees)))


def unseen_losses_p(paired: Paired, margin: float) -> float:
    """Chance that problems lost cluster by cluster, at the margin, are none of those that were
    tried.

    A few large clusters can look as if their problems were independent for as long as none is lost
    as a whole, so that no estimate of their spread warns of it. Below it, no p-value of clustered
    verdicts can be believed.
    """
    return min(1.0, margin ** solved_clusters(paired) + _IMPLAUSIBLE) if margin < 1 else 0.0


def exact_p(counts: Counts, margin: float) -> float:
    """The exact p-value for independent problems, in [1e-4, 1]; with thousands of disagreements the
    score test's.
    """
    both, lost, won = counts[:3]
    if both + lost + won == 0:
        return 1.0
    observed = float(ratio_score(both, lost, won, margin))
    if lost + won > _MANY_DISAGREEMENTS:
        return float(stats.norm.sf(observed))
    m = both + lost + won
    low, high = plausible_losses(lost + won, m, margin, _IMPLAUSIBLE)
    truths = [at_margin(float(value), margin) for value in np.linspace(low, high, _NUM_VALUES)]
    tables = Tables.of(m, truths, margin)
    ways, at_least = tables.ways, tables.score >= observed - _TIE
    tails = [tables.probabilities(truth, ways)[at_least].sum() for truth in truths]
    return min(1.0, float(max(tails)) + _IMPLAUSIBLE)


def rejected(tables: Tables, m: int, margin: float, alpha: float) -> Bools:
    """Which outcomes of m problems the exact test calls shown, (T,): `exact_p` at most alpha, for
    all at once.
    """
    disagreements = (tables.only_original + tables.only_candidate).astype(np.int64)
    low, high = plausible_losses(np.arange(m + 1), m, margin, _IMPLAUSIBLE)
    values = np.linspace(low[disagreements.min()], high[disagreements.max()], _NUM_PLANNED)
    tails = _tails(
        tables, m, [at_margin(float(value), margin) for value in values], margin
    )  # (K, T)
    found = np.zeros(len(disagreements), dtype=bool)
    for count in np.unique(disagreements):
        first, last = (
            np.searchsorted(values, low[count] - 1e-12),
            np.searchsorted(values, high[count] + 1e-12),
        )
        rows, same = tails[max(0, first - 1) : last + 1], disagreements == count
        found[same] = rows[:, same].max(axis=0) + _IMPLAUSIBLE <= alpha
    return found


def _tails(tables: Tables, m: int, truths: list[Shares], margin: float) -> Floats:
    """Chance under each truth, (K, T), of a score at least that of each of the given outcomes."""
    all_ = Tables.of(m, truths, margin)
    order = np.argsort(-all_.score)
    falling, ways = -all_.score[order], all_.ways
    place = np.searchsorted(falling, -tables.score + _TIE, side="right")
    sums = [
        np.concatenate([[0.0], np.cumsum(all_.probabilities(truth, ways)[order])])[place]
        for truth in truths
    ]
    return np.asarray(sums)
