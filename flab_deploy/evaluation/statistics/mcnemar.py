"""McNemar's test: of the problems that only one model solves, are as many lost as won?"""

from __future__ import annotations

from scipy import stats


def mcnemar_exact(num_only_original: int, num_only_candidate: int) -> float:
    """Two-sided exact p-value; 1 without a disagreement."""
    total = num_only_original + num_only_candidate
    return float(stats.binomtest(num_only_original, total, 0.5).pvalue) if total else 1.0


def mcnemar_mid_p(num_only_original: int, num_only_candidate: int) -> float:
    """Two-sided mid-p-value: the exact one less the chance of the very counts seen (Fagerland et al., 2013).

    Less cautious than the exact test, whose error rate lies well below its level for few disagreements.
    """
    total, fewer = num_only_original + num_only_candidate, min(num_only_original, num_only_candidate)
    if num_only_original == num_only_candidate:
        return 1.0 - 0.5 * float(stats.binom.pmf(fewer, total, 0.5)) if total else 1.0
    return mcnemar_exact(num_only_original, num_only_candidate) - float(stats.binom.pmf(fewer, total, 0.5))


def more_lost_p(num_lost: int, num_won: int) -> float:
    """One-sided exact p-value against "no more are lost than won"."""
    total = num_lost + num_won
    return float(stats.binom.sf(num_lost - 1, total, 0.5)) if total else 1.0
