"""Rounds of load on servers that are up, and the figures that follow from what became of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from flab_deploy.engines import has_nvidia
from flab_deploy.records.bench import (
    BothServed,
    Outcome,
    Phase,
    PlannedRequest,
    RequestLine,
    Role,
    RoundFigures,
    RoundRatios,
    ServedModel,
)
from flab_deploy.settings.bench import BenchConfig
from serving.energy import EnergyMeter, carbon_record, energy_record
from serving.latency import Bounds, e2el_ms, finite_ms, order_statistic, summarise, tpot_ms, ttft_ms
from serving.load import run_load
from serving.rounds import Round
from serving.scrape import counted, scrape
from serving.vllm_server import RunningServer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RoundOutcomes:
    """What became of one round's requests; the burst's times count from its own start."""

    warmup: tuple[Outcome, ...]
    counted: tuple[Outcome, ...]
    burst: tuple[Outcome, ...]

    @property
    def all(self) -> tuple[Outcome, ...]:
        """Every request of the round."""
        return (*self.warmup, *self.counted, *self.burst)

    @property
    def window_s(self) -> float:
        """From the first counted arrival to the last counted token."""
        ends = [outcome.last_s for outcome in self.counted if outcome.last_s is not None]
        return max(ends, default=self.counted[-1].scheduled_s) - self.counted[0].scheduled_s


@dataclass(frozen=True, kw_only=True)
class LoadedServer:
    """A server under load, and what was seen of it so far."""

    role: Role
    model_digest: str
    """Of the checkpoint that it serves."""
    endpoint: RunningServer
    meter: EnergyMeter
    rounds: list[RoundOutcomes] = field(default_factory=list)
    """Those that are done."""

    def lines(self) -> Iterator[RequestLine]:
        """A line per request, in the order of the plan."""
        for number, one in enumerate(self.rounds):
            phases: tuple[tuple[Phase, tuple[Outcome, ...]], ...] = (
                ("warmup", one.warmup),
                ("counted", one.counted),
                ("burst", one.burst),
            )
            for phase, outcomes in phases:
                for outcome in outcomes:
                    yield RequestLine(model=self.role, round=number, phase=phase, **asdict(outcome))


def measure(
    original: LoadedServer, slimmed: LoadedServer, rounds: Sequence[Round], config: BenchConfig
) -> BothServed:
    """Load the two servers in turn, round by round; the figures of both.

    Raises ServingError if a server's counters cannot be read.
    """
    servers = (original, slimmed)
    before = [scrape(server.endpoint.url) for server in servers]
    for number, one in enumerate(rounds):
        for server in servers:
            logger.info("bench: round %d of %d, %s", number + 1, len(rounds), server.role)
            server.rounds.append(_load(server, one, config))
    figures = [
        _figures(server, counters, config) for server, counters in zip(servers, before, strict=True)
    ]
    return BothServed(original=figures[0], slimmed=figures[1])


def _load(server: LoadedServer, one: Round, config: BenchConfig) -> RoundOutcomes:
    with server.meter.window():
        outcomes = _send(server.endpoint, (*one.warmup, *one.counted), config)
        burst = _send(server.endpoint, one.burst, config)
    return RoundOutcomes(
        warmup=outcomes[: len(one.warmup)], counted=outcomes[len(one.warmup) :], burst=burst
    )


def _send(
    end: RunningServer, requests: Sequence[PlannedRequest], config: BenchConfig
) -> tuple[Outcome, ...]:
    if not requests:
        return ()
    timeout_s = config.request_timeout_s
    return tuple(run_load(end.url, end.model, end.headers, requests, timeout_s=timeout_s))


def _figures(server: LoadedServer, before: dict[str, float], config: BenchConfig) -> ServedModel:
    sent = [outcome for one in server.rounds for outcome in one.all]
    load = summarise(
        [outcome for one in server.rounds for outcome in one.counted],
        sum(one.window_s for one in server.rounds),
        Bounds(min_samples_p99=config.min_samples_p99),
    )
    required = ("cpu_package", "gpu") if has_nvidia() else ("cpu_package",)
    energy = energy_record(server.meter, sum(outcome.output_tokens for outcome in sent), required)
    rounds = tuple(round_figures(one) for one in server.rounds)
    rates = [one.burst_output_throughput for one in rounds]
    known = [rate for rate in rates if rate is not None]
    return ServedModel(
        **vars(load),
        model_digest=server.model_digest,
        startup_s=server.endpoint.startup_s,
        server_metrics=counted(before, scrape(server.endpoint.url), requests_sent=len(sent)),
        rounds=rounds,
        burst_output_throughput=round(sum(known) / len(known), 3) if known == rates else None,
        energy=energy,
        carbon=carbon_record(energy, config.carbon_intensity_g_per_kwh, config.carbon_source),
    )


def round_figures(one: RoundOutcomes) -> RoundFigures:
    """Medians and capacity of one round, so that the spread between rounds can be seen."""

    def median(latency: Callable[[Outcome], float]) -> float | None:
        return finite_ms(order_statistic([latency(outcome) for outcome in one.counted], 0.5))

    return RoundFigures(
        p50_ttft_ms=median(ttft_ms),
        p50_tpot_ms=median(tpot_ms),
        p50_e2el_ms=median(e2el_ms),
        burst_output_throughput=_capacity(one.burst),
    )


def _capacity(burst: Sequence[Outcome]) -> float | None:
    """Output tokens per second of requests that were all sent at once; None if one of them
    failed.
    """
    ends = [outcome.last_s for outcome in burst if outcome.last_s is not None]
    if not burst or len(ends) < len(burst) or not all(outcome.ok for outcome in burst):
        return None
    return round(sum(outcome.output_tokens for outcome in burst) / max(ends), 3)


def round_ratios(models: BothServed) -> RoundRatios:
    """Slimmed over original for each round figure: one number per pair measured back to back."""
    pairs = list(zip(models.original.rounds, models.slimmed.rounds, strict=True))
    return RoundRatios(
        p50_ttft_ms=tuple(_ratio(a.p50_ttft_ms, b.p50_ttft_ms) for a, b in pairs),
        p50_tpot_ms=tuple(_ratio(a.p50_tpot_ms, b.p50_tpot_ms) for a, b in pairs),
        p50_e2el_ms=tuple(_ratio(a.p50_e2el_ms, b.p50_e2el_ms) for a, b in pairs),
        burst_output_throughput=tuple(
            _ratio(a.burst_output_throughput, b.burst_output_throughput) for a, b in pairs
        ),
    )


def _ratio(before: float | None, after: float | None) -> float | None:
    return round(after / before, 4) if before and after is not None else None
