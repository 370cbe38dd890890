"""Figures from the outcomes of a load, or the reason why there is none.

A failed request's latency is infinite. A percentile is an order statistic, refused when there
are too few samples for it to be one of several and not simply the worst seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from scipy.stats import binom

from flab_deploy.artifacts import Json
from serving.load import Outcome

_CURVE = (0.01, 0.05, *(step / 20 for step in range(2, 19)), 0.95, 0.97, 0.98, 0.99)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """When a load counts, and from how many samples a percentile is told."""

    min_samples_p50: int = 20
    """For the median."""
    min_samples_p90: int = 50
    """For the 90th percentile."""
    min_samples_p99: int = 200
    """For the 99th percentile; its confidence interval is told with it, and open above below some
    370 samples.
    """
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
) -> list[float | None]:
    """Distribution-free confidence interval of a quantile; None where no order statistic bounds
    it.
    """
    ordered, tail = sorted(values), (1 - confidence) / 2
    low = int(binom.ppf(tail, len(ordered), quantile)) - 1
    high = int(binom.ppf(1 - tail, len(ordered), quantile))
    picked = (ordered[i] if 0 <= i < len(ordered) else math.inf for i in (low, high))
    return [round(value, 3) if math.isfinite(value) else None for value in picked]


def judge(outcomes: Sequence[Outcome], bounds: Bounds) -> dict[str, Json]:
    """`{"verdict": "valid" | "generator_limited" | "invalid", "reasons": [...]}`."""
    failed = sum(not outcome.ok for outcome in outcomes)
    delays = [_delay_ms(outcome) for outcome in outcomes]
    median, p99 = order_statistic(delays, 0.5), order_statistic(delays, 0.99)
    reasons: list[Json] = []
    verdict = "valid"
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
    return {"verdict": verdict, "reasons": reasons}


def summarise(outcomes: Sequence[Outcome], duration_s: float, bounds: Bounds) -> dict[str, Json]:
    """Counts, throughput over `duration_s`, and latencies in milliseconds; None and `<name>_reason`
    where refused.
    """
    done = [outcome for outcome in outcomes if outcome.ok]
    tokens = sum(outcome.output_tokens for outcome in done)
    delays = [_delay_ms(outcome) for outcome in outcomes]
    figures: dict[str, Json] = {
        "validity": judge(outcomes, bounds),
        "completed": len(done),
        "failed": len(outcomes) - len(done),
        "duration_s": round(duration_s, 3),
        "total_output_tokens": tokens,
        "request_throughput": round(len(done) / duration_s, 4),
        "output_throughput": round(tokens / duration_s, 3),
        "schedule_delay_ms": {
            "p50": round(order_statistic(delays, 0.5), 3),
            "p99": round(order_statistic(delays, 0.99), 3),
            "max": round(max(delays), 3),
        },
    }
    for name, latency in _LATENCIES.items():
        counted = (
            outcomes
            if name != "tpot"
            else [o for o in outcomes if not o.ok or o.output_tokens >= 2]
        )
        figures |= _latency_figures(
            name, [latency(o) if o.ok else math.inf for o in counted], bounds
        )
    return figures


def _latency_figures(name: str, values: Sequence[float], bounds: Bounds) -> dict[str, Json]:
    figures: dict[str, Json] = {f"{name}_samples": len(values)}
    mean = math.fsum(values) / len(values) if values else math.inf
    _put(
        figures,
        f"mean_{name}_ms",
        mean,
        "failed requests have no finite latency" if values else "no samples",
    )
    for percent, minimum in (
        (50, bounds.min_samples_p50),
        (90, bounds.min_samples_p90),
        (99, bounds.min_samples_p99),
    ):
        key = f"p{percent}_{name}_ms"
        if len(values) < minimum:
            _put(
                figures,
                key,
                math.inf,
                f"insufficient samples: {len(values)}, at least {minimum} are asked for",
            )
            continue
        _put(
            figures,
            key,
            order_statistic(values, percent / 100),
            "so many requests failed that it is infinite",
        )
        figures[f"p{percent}_{name}_ms_interval"] = cast(
            "list[Json]", quantile_interval(values, percent / 100)
        )
    enough = len(values) >= bounds.min_samples_p99
    points = [(share, order_statistic(values, share)) for share in _CURVE] if enough else []
    figures[f"{name}_ms_curve"] = [
        [share, round(value, 3)] for share, value in points if math.isfinite(value)
    ]
    return figures


def _put(figures: dict[str, Json], name: str, value: float, reason: str) -> None:
    figures[name] = round(value, 3) if math.isfinite(value) else None
    if figures[name] is None:
        figures[f"{name}_reason"] = reason


def _delay_ms(outcome: Outcome) -> float:
    return 1e3 * (outcome.sent_s - outcome.scheduled_s)


def ttft_ms(outcome: Outcome) -> float:
    """Time to the first text, from the scheduled time; infinite if none came."""
    return (
        1e3 * (outcome.first_s - outcome.scheduled_s) if outcome.first_s is not None else math.inf
    )


def e2el_ms(outcome: Outcome) -> float:
    """Time to the last token, from the scheduled time; infinite if none came."""
    return 1e3 * (outcome.last_s - outcome.scheduled_s) if outcome.last_s is not None else math.inf


def tpot_ms(outcome: Outcome) -> float:
    """Time per output token after the first; infinite below two tokens."""
    if outcome.output_tokens < 2:
        return math.inf
    return (e2el_ms(outcome) - ttft_ms(outcome)) / (outcome.output_tokens - 1)


_LATENCIES: Mapping[str, Callable[[Outcome], float]] = {
    "ttft": ttft_ms,
    "tpot": tpot_ms,
    "e2el": e2el_ms,
}
