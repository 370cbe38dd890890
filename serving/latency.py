"""Figures from the outcomes of a load, or the reason why there is none.

A failed request's latency is infinite. A percentile is an order statistic, refused when there
are too few samples for it to be one of several and not simply the worst seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binom

from flab_deploy.records.bench import (
    LatencyFigures,
    LoadFigures,
    Outcome,
    Percentile,
    ScheduleDelay,
    Validity,
    ValidityRecord,
)

_CURVE = (0.01, 0.05, *(step / 20 for step in range(2, 19)), 0.95, 0.97, 0.98, 0.99)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """When a load counts, and from how many samples a percentile is shown."""

    min_samples_p50: int = 20
    """For the median."""
    min_samples_p90: int = 50
    """For the 90th percentile."""
    min_samples_p99: int = 200
    """For the 99th percentile, whose confidence interval is open above below some 370 samples."""
    max_failed_share: float = 0.01
    """A run with a larger share of failed requests is invalid."""
    max_median_delay_ms: float = 10.0
    """Median delay between scheduled and sent from which the generator limits the run."""
    max_p99_delay_ms: float = 50.0
    """The same for the 99th percentile."""


def order_statistic(values: Sequence[float], quantile: float) -> float:
    """The smallest value that at least a share `quantile` of `values` does not exceed; infinities
    are values.
    """
    return sorted(values)[max(math.ceil(quantile * len(values)) - 1, 0)]


def quantile_interval(
    values: Sequence[float], quantile: float, confidence: float = 0.95
) -> tuple[float | None, float | None]:
    """Distribution-free confidence interval of a quantile; None where no order statistic bounds
    it.
    """
    ordered, tail = sorted(values), (1 - confidence) / 2
    low = int(binom.ppf(tail, len(ordered), quantile)) - 1
    high = int(binom.ppf(1 - tail, len(ordered), quantile))
    below, above = (ordered[i] if 0 <= i < len(ordered) else math.inf for i in (low, high))
    return finite_ms(below), finite_ms(above)


def finite_ms(value: float) -> float | None:
    """A latency rounded to the microsecond; None for an infinite one, which JSON cannot say."""
    return round(value, 3) if math.isfinite(value) else None


def judge(outcomes: Sequence[Outcome], bounds: Bounds) -> ValidityRecord:
    """Whether a load counts: not if its generator lagged, and not if too many requests failed."""
    failed = sum(not outcome.ok for outcome in outcomes)
    delays = [_delay_ms(outcome) for outcome in outcomes]
    median, p99 = order_statistic(delays, 0.5), order_statistic(delays, 0.99)
    reasons: list[str] = []
    verdict: Validity = "valid"
    if median >= bounds.max_median_delay_ms or p99 >= bounds.max_p99_delay_ms:
        verdict = "generator_limited"
        reasons.append(
            f"requests left {median:.1f} ms (median) and {p99:.1f} ms (p99) late,"
            f" bounds are {bounds.max_median_delay_ms:g} and {bounds.max_p99_delay_ms:g} ms"
        )
    if failed > bounds.max_failed_share * len(outcomes):
        verdict = "invalid"
        causes = sorted({outcome.error for outcome in outcomes if not outcome.ok})
        reasons.append(f"{failed} of {len(outcomes)} requests failed ({', '.join(causes[:3])})")
    return ValidityRecord(verdict=verdict, reasons=tuple(reasons))


def summarise(outcomes: Sequence[Outcome], duration_s: float, bounds: Bounds) -> LoadFigures:
    """Counts, throughput over `duration_s`, and latencies, each refused with its reason where there
    are too few samples.
    """
    done = [outcome for outcome in outcomes if outcome.ok]
    tokens = sum(outcome.output_tokens for outcome in done)
    delays = [_delay_ms(outcome) for outcome in outcomes]
    with_intervals = [o for o in outcomes if not o.ok or o.output_tokens >= 2]
    return LoadFigures(
        validity=judge(outcomes, bounds),
        completed=len(done),
        failed=len(outcomes) - len(done),
        duration_s=round(duration_s, 3),
        total_output_tokens=tokens,
        request_throughput=round(len(done) / duration_s, 4),
        output_throughput=round(tokens / duration_s, 3),
        schedule_delay=ScheduleDelay(
            p50_ms=round(order_statistic(delays, 0.5), 3),
            p99_ms=round(order_statistic(delays, 0.99), 3),
            max_ms=round(max(delays), 3),
        ),
        ttft=_figures_of([ttft_ms(o) for o in outcomes], bounds),
        tpot=_figures_of([tpot_ms(o) for o in with_intervals], bounds),
        e2el=_figures_of([e2el_ms(o) for o in outcomes], bounds),
    )


def _figures_of(values: Sequence[float], bounds: Bounds) -> LatencyFigures:
    enough = len(values) >= bounds.min_samples_p99
    points = [(share, order_statistic(values, share)) for share in _CURVE] if enough else []
    return LatencyFigures(
        num_samples=len(values),
        mean=_mean(values),
        p50=_percentile(values, 0.50, bounds.min_samples_p50),
        p90=_percentile(values, 0.90, bounds.min_samples_p90),
        p99=_percentile(values, 0.99, bounds.min_samples_p99),
        curve=tuple((share, round(ms, 3)) for share, ms in points if math.isfinite(ms)),
    )


def _mean(values: Sequence[float]) -> Percentile:
    ms = finite_ms(math.fsum(values) / len(values)) if values else None
    why = "failed requests have no finite latency" if values else "no samples"
    return Percentile(ms=ms, interval_ms=None, reason=why if ms is None else None)


def _percentile(values: Sequence[float], quantile: float, minimum: int) -> Percentile:
    if len(values) < minimum:
        why = f"insufficient samples: {len(values)}, at least {minimum} are asked for"
        return Percentile(ms=None, interval_ms=None, reason=why)
    ms = finite_ms(order_statistic(values, quantile))
    return Percentile(
        ms=ms,
        interval_ms=quantile_interval(values, quantile),
        reason="so many requests failed that it is infinite" if ms is None else None,
    )


def _delay_ms(outcome: Outcome) -> float:
    return 1e3 * (outcome.sent_s - outcome.scheduled_s)


def ttft_ms(outcome: Outcome) -> float:
    """Time to the first text, from the scheduled time; infinite for a failed request."""
    return _since_due_ms(outcome, outcome.first_s)


def e2el_ms(outcome: Outcome) -> float:
    """Time to the last token, from the scheduled time; infinite for a failed request."""
    return _since_due_ms(outcome, outcome.last_s)


def tpot_ms(outcome: Outcome) -> float:
    """Time per output token after the first; infinite below two tokens or for a failed request."""
    if not outcome.ok or outcome.output_tokens < 2:
        return math.inf
    return (e2el_ms(outcome) - ttft_ms(outcome)) / (outcome.output_tokens - 1)


def _since_due_ms(outcome: Outcome, at_s: float | None) -> float:
    return 1e3 * (at_s - outcome.scheduled_s) if outcome.ok and at_s is not None else math.inf
