"""What a load did to two models: `bench.json`, and a line per request."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flab_deploy.records.document import record

BENCH_FILE, REQUESTS_FILE, LOAD_FILE = "bench.json", "requests.jsonl", "plan.json"
Validity: TypeAlias = Literal["valid", "generator_limited", "invalid"]
Role: TypeAlias = Literal["original", "slimmed"]
Phase: TypeAlias = Literal["warmup", "counted", "burst"]
Provenance: TypeAlias = Literal["measured", "estimated", "unavailable"]


@record
class Percentile:
    """A latency in milliseconds, or why there is none."""

    ms: float | None
    interval_ms: tuple[float | None, float | None] | None
    """Distribution-free; an end that no sample bounds is None."""
    reason: str | None
    """Why there is no figure."""


@record
class LatencyFigures:
    """One latency over the counted requests, from the scheduled time."""

    num_samples: int
    mean: Percentile
    p50: Percentile
    p90: Percentile
    p99: Percentile
    curve: tuple[tuple[float, float], ...]
    """(share of requests, milliseconds within which they were served)."""


@record
class ValidityRecord:
    """Whether a load test's figures count."""

    verdict: Validity
    reasons: tuple[str, ...]


@record
class ScheduleDelay:
    """Milliseconds between the time a request was due and the time it was sent."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@record
class ServerMetrics:
    """What the server itself counted; None for a counter that it does not have."""

    request_success_total: int | None
    prompt_tokens_total: int | None
    generation_tokens_total: int | None
    requests_sent: int
    """By the client, warm-up and burst included."""


@record
class RoundFigures:
    """One round on one model, or the slimmed over the original's in a round."""

    p50_ttft_ms: float | None
    p50_tpot_ms: float | None
    p50_e2el_ms: float | None
    burst_output_throughput: float | None
    """Output tokens per second of requests that were all sent at once."""


@record
class RoundRatios:
    """Slimmed over original, round by round."""

    p50_ttft_ms: tuple[float | None, ...]
    p50_tpot_ms: tuple[float | None, ...]
    p50_e2el_ms: tuple[float | None, ...]
    burst_output_throughput: tuple[float | None, ...]


@record
class ComponentEnergy:
    """Energy of one part of the machine."""

    status: Provenance
    reason: str
    joules: float | None


@record
class EnergyRecord:
    """Energy of the machine during the load, idle power included."""

    status: Provenance
    reason: str
    joules: float | None
    energy_per_output_token_joules: float | None
    window_s: float
    components: dict[str, ComponentEnergy]


@record
class CarbonRecord:
    """Emissions that follow from the energy and a given intensity."""

    status: Provenance
    reason: str
    intensity_g_per_kwh: float | None
    source: str
    gco2e_per_million_tokens: float | None


@record
class LoadFigures:
    """Counts, throughput and latencies over the counted requests, by the client's clock."""

    validity: ValidityRecord
    completed: int
    failed: int
    duration_s: float
    total_output_tokens: int
    request_throughput: float
    """Requests per second."""
    output_throughput: float
    """Output tokens per second; set by the load, not by the model."""
    schedule_delay: ScheduleDelay
    ttft: LatencyFigures
    """Time to first token."""
    tpot: LatencyFigures
    """Time per output token after the first."""
    e2el: LatencyFigures
    """Time of the whole request."""


@record
class ServedModel(LoadFigures):
    """One model under the load."""

    model_digest: str
    startup_s: float
    server_metrics: ServerMetrics
    rounds: tuple[RoundFigures, ...]
    burst_output_throughput: float | None
    """Mean over the rounds; None unless every burst was answered."""
    energy: EnergyRecord
    carbon: CarbonRecord


@record
class BothServed:
    """The model as it came, and the smaller one."""

    original: ServedModel
    slimmed: ServedModel


@record
class EngineRecord:
    """What served them."""

    name: str
    version: str
    device: str
    mode: Literal["eager", "compiled"]


@record
class MachineRecord:
    """Where it was measured."""

    processor: str
    cores: int | None
    usable_cores: int
    memory_bytes: int
    system: str
    python: str
    load_average_1min: float


@record
class AgreementRecord:
    """Greedy tokens of the engine against those of transformers."""

    num_prompts: int
    num_equal: int
    """Whole continuations."""
    num_tokens: int
    num_tokens_equal: int
    num_same_encoding: int
    largest_gap: float
    """How much larger, in logits, transformers' first choice was than the engine's, at worst."""
    max_new_tokens: int
    method: str


@record
class LoadRecord:
    """The load that both models got."""

    digest: str
    request_rate: float
    """Mean arrivals per second."""
    num_requests: int
    num_warmup_requests: int
    seed: int
    num_burst_requests: int
    rounds: int
    duration_s: float
    order: str
    """Which model was loaded when: A the original, B the slimmed one."""


@record
class BenchRecord:
    """Two models under the same load."""

    schema_version: Literal[1]
    engine: EngineRecord
    machine: MachineRecord
    models: BothServed
    ratios: RoundRatios
    method: str
    agreement: dict[str, AgreementRecord]
    """By model: original, slimmed, and pruned where it was served for that."""
    plan: LoadRecord


@record
class PlannedRequest:
    """One request, decided before the run."""

    index: int
    """Place in the plan."""
    at_s: float
    """Scheduled time, in seconds from the start."""
    prompt: str
    """Text to continue, its first line a comment no other request has, so that no prefix cache
    helps.
    """
    output_tokens: int
    """Tokens to generate; the server is told to go on to exactly that many."""


@record
class LoadPlanRecord:
    """Every request of a load test: the same for the same configuration, whatever the machine."""

    schema_version: Literal[1]
    rounds: tuple[tuple[PlannedRequest, ...], ...]
    """Round by round: warm-up, counted, burst; times from the round's start."""


@record
class Outcome:
    """What became of one request; times in seconds from the run's start."""

    index: int
    """Place in the plan."""
    scheduled_s: float
    """When it was due."""
    sent_s: float
    """When it was sent."""
    first_s: float | None
    """When the first text arrived."""
    last_s: float | None
    """When the last token arrived."""
    prompt_tokens: int
    """As the server counts."""
    output_tokens: int
    """As the server counts."""
    error: str
    """Why it failed; empty if it did not."""

    @property
    def ok(self) -> bool:
        """Whether it was answered in full."""
        return not self.error


@record
class RequestLine(Outcome):
    """One line of `requests.jsonl`: a request of the load test and what became of it."""

    model: Role
    round: int
    """From 0."""
    phase: Phase


@record
class BenchFigures:
    """The figures that `bench` shows."""

    engine: str
    plan: LoadRecord
