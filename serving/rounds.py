"""The load of a measurement, cut into rounds: what is sent, in which order, before anything is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flab_deploy.records.bench import LoadPlanRecord, LoadRecord, PlannedRequest
from flab_deploy.settings.bench import BenchConfig
from serving.load import LoadPlan, draw_plan


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round's share of the plan, times counted from its own start."""

    warmup: tuple[PlannedRequest, ...]
    """Sent, not counted."""
    counted: tuple[PlannedRequest, ...]
    """Sent after them without a pause."""
    burst: tuple[PlannedRequest, ...]
    """Sent at once when those are done."""

    @property
    def all(self) -> tuple[PlannedRequest, ...]:
        """Every request of the round."""
        return (*self.warmup, *self.counted, *self.burst)


def draw_rounds(prompts: Sequence[str], config: BenchConfig) -> tuple[Round, ...]:
    """The load, round by round; the same for the same prompts and configuration.

    Raises ConfigError as `draw_plan`.
    """
    plan = draw_plan(
        prompts,
        request_rate=config.request_rate,
        num_requests=config.num_requests + config.rounds * config.warmup_requests,
        output_tokens=(config.min_output_tokens, config.max_output_tokens),
        seed=config.seed,
    )
    return tuple(
        Round(
            warmup=requests[: config.warmup_requests],
            counted=requests[config.warmup_requests :],
            burst=_burst(prompts, number, config),
        )
        for number, requests in enumerate(_slices(plan, config))
    )


def _slices(plan: LoadPlan, config: BenchConfig) -> Iterator[tuple[PlannedRequest, ...]]:
    """The plan's requests by round, each round counted from the last request before it."""
    start, origin = 0, 0.0
    for number in range(config.rounds):
        size = config.num_requests // config.rounds + (number < config.num_requests % config.rounds)
        requests = plan.requests[start : start + config.warmup_requests + size]
        yield tuple(replace(one, at_s=round(one.at_s - origin, 6)) for one in requests)
        start, origin = start + len(requests), requests[-1].at_s


def _burst(prompts: Sequence[str], number: int, config: BenchConfig) -> tuple[PlannedRequest, ...]:
    if not config.burst_requests:
        return ()
    return draw_plan(
        prompts,
        request_rate=math.inf,
        num_requests=config.burst_requests,
        output_tokens=(config.min_output_tokens, config.max_output_tokens),
        seed=config.seed * 1_000 + number + 1,
    ).requests


def plan_record(rounds: Sequence[Round]) -> LoadPlanRecord:
    """Every request of the rounds, as the file beside the figures holds them."""
    return LoadPlanRecord(schema_version=1, rounds=tuple(one.all for one in rounds))


def load_record(rounds: Sequence[Round], config: BenchConfig) -> LoadRecord:
    """What the load was, in numbers, with the digest of every request."""
    everything = LoadPlan(
        requests=tuple(request for one in rounds for request in one.all),
        request_rate=config.request_rate,
        seed=config.seed,
    )
    return LoadRecord(
        digest=everything.digest,
        request_rate=config.request_rate,
        num_requests=config.num_requests,
        num_warmup_requests=sum(len(one.warmup) for one in rounds),
        seed=config.seed,
        num_burst_requests=sum(len(one.burst) for one in rounds),
        rounds=config.rounds,
        duration_s=round(sum(one.counted[-1].at_s for one in rounds), 3),
        order=" ".join("AB" * config.rounds),
    )
