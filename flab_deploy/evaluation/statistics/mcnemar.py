"""McNemar's test: of the problems that only one model solves, are as many lost as won?"""

from __future__ import annotations

import numpy as np
from scipy import stats

from flab_deploy.evaluation.statistics.clusters import cluster_sums
from flab_deploy.evaluation.statistics.paired import Paired

_STEPS_PER_UNIT = 60


def mcnemar_exact(num_only_original: int, num_only_candidate: int) -> float:
    """Two-sided exact p-value; 1 without a disagreement."""
    total = num_only_original + num_only_candidate
    return float(stats.binomtest(num_only_original, total, 0.5).pvalue) if total else 1.0


def more_lost_p(num_lost: int, num_won: int) -> float:
    """One-sided exact p-value against "no more are lost than won"."""
    total = num_lost + num_won
    return float(stats.binom.sf(num_lost - 1, total, 0.5)) if total else 1.0


def clustered_mcnemar(paired: Paired) -> float:
    """Two-sided p-value of the exact sign-flip test over clusters; McNemar's exact one for
    independent verdicts.

    If neither model is better, a cluster's losses less its wins could as well have come with the
    other sign. The distribution of their sum over all signs is worked out by convolution; shares of
    samples count in sixtieths.
    """
    gaps = np.rint(_STEPS_PER_UNIT * cluster_sums(paired.contrast(1.0), paired.cluster)).astype(
        np.int64
    )
    observed = abs(int(gaps.sum()))
    gaps = np.abs(gaps[gaps != 0])
    if not len(gaps):
        return 1.0
    unit = int(np.gcd.reduce(gaps))
    chances = np.ones(1)  # of each possible sum, from the least to the greatest in steps of 2 units
    for gap in gaps // unit:
        longer = np.zeros(len(chances) + gap)
        longer[: len(chances)] += 0.5 * chances
        longer[gap:] += 0.5 * chances
        chances = longer
    sums = unit * (2 * np.arange(len(chances)) - (len(chances) - 1))
    return min(1.0, float(chances[np.abs(sums) >= observed].sum()))
