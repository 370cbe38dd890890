"""The claim "keeps at least `margin` of the original's pass rate" on one set of problems: figures
and verdict.
"""

from __future__ import annotations

from flab_deploy.evaluation.statistics import (
    Paired,
    assumptions_from,
    difference_interval,
    mcnemar_exact,
    needed_for_clusters,
    non_inferiority_p,
    problems_needed,
    retention,
    retention_interval,
)
from flab_deploy.records.compare import ClaimFigures, ClaimVerdict
from flab_deploy.records.evaluate import Interval
from flab_deploy.settings.compare import CompareConfig


def claim_figures(paired: Paired, config: CompareConfig) -> ClaimFigures:
    """Rates, difference, retention, tests and verdict for two models on the same problems."""
    counts = paired.counts
    before, after = float(paired.original.mean()), float(paired.candidate.mean())
    kept, interval = retention(paired), retention_interval(paired, config.confidence)
    p_value = non_inferiority_p(paired, config.margin) if kept is not None else None
    assumed = assumptions_from(paired, config.margin, config.alpha)
    needed = problems_needed(assumed, config.power) if assumed else None
    needed = (
        max(needed, needed_for_clusters(paired, config.margin, config.alpha)) if needed else None
    )
    return ClaimFigures(
        num_problems=paired.num_problems,
        num_clusters=paired.num_clusters,
        design_effect=paired.design_effect(config.margin),
        original_pass_at_1=before,
        candidate_pass_at_1=after,
        difference=after - before,
        difference_interval=difference_interval(paired, config.confidence),
        retention=kept,
        retention_interval=interval,
        num_only_original=counts.only_original,
        num_only_candidate=counts.only_candidate,
        mcnemar_p=mcnemar_exact(counts.only_original, counts.only_candidate),
        non_inferiority_p=p_value,
        verdict=claim_verdict(paired.num_problems, p_value, interval, needed, config),
        num_problems_needed=needed,
    )


def claim_verdict(
    num_problems: int,
    p_value: float | None,
    interval: Interval | None,
    needed: int | None,
    config: CompareConfig,
) -> ClaimVerdict:
    """`underpowered` if not even an equal model would likely have shown it, and the data does not
    rule it out.
    """
    if p_value is None or interval is None:
        return "not shown"
    if p_value <= config.alpha:
        return "shown"
    small = needed is not None and num_problems < needed
    return "underpowered" if small and interval[1] >= config.margin else "not shown"
