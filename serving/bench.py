"""Measure the original and the slimmed model side by side under the same load.

Both servers are up during the whole measurement and only one is loaded at a time: round by
round, first the original, then the slimmed model gets the same slice of the same plan. So a
machine that slows down slows both, and the start-up is paid once. In each round a few warm-up
requests run into the counted ones without a pause, and a burst afterwards measures capacity.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from flab_deploy.artifacts import Artifact, Draft, Json, run_stage, write_json
from flab_deploy.checkpoint import Checkpoint, resolve
from flab_deploy.corpus import TASK_KINDS, Task, corpus_digest, load_records
from flab_deploy.engines import has_nvidia
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.settings.bench import BenchConfig
from flab_deploy.settings.serve import ServeConfig
from serving.agreement import agreement
from serving.energy import EnergyMeter, carbon_block, energy_block, find_sources
from serving.latency import Bounds, e2el_ms, order_statistic, summarise, tpot_ms, ttft_ms
from serving.load import LoadPlan, Outcome, PlannedRequest, draw_plan, run_load
from serving.machine import describe_machine
from serving.scrape import counted, scrape
from serving.vllm_server import RunningServer, running

logger = logging.getLogger(__name__)

Role: TypeAlias = Literal["original", "slimmed"]
ROLES: tuple[Role, ...] = ("original", "slimmed")
REPORT, REQUESTS, PLAN = "bench.json", "requests.jsonl", "plan.json"
_TASKS_PER_KIND = 100


def bench(
    original: str | Path,
    slimmed: str | Path,
    out: Path,
    config: BenchConfig | None = None,
    *,
    pruned: str | Path | None = None,
    force: bool = False,
) -> Artifact:
    """Serve both models with vLLM and put the same open-loop load on them.

    `pruned`, the model before its recovery, gets no load: it is served once to compare its greedy
    tokens with transformers', as those of the other two are.

    Writes `bench.json` (figures per model), `requests.jsonl` (every request) and `plan.json` (the
    load, the only deterministic one). A run whose generator lagged or whose requests failed says
    so under `validity`; it does not raise. Raises ConfigError for a load that cannot be drawn and
    ServingError if vLLM cannot be installed, started or reached.
    """
    config = config or BenchConfig()
    checkpoints: dict[Role, Checkpoint] = {
        "original": resolve(original),
        "slimmed": resolve(slimmed),
    }
    tasks = _tasks(config)
    blocks = list(_blocks([task.prompt for task in tasks], config))
    parents: dict[str, str] = {role: checkpoint.digest for role, checkpoint in checkpoints.items()}
    unloaded = resolve(pruned) if pruned is not None and config.agreement_prompts else None
    if unloaded:
        parents["pruned"] = unloaded.digest

    def work(draft: Draft) -> None:
        plan = _plan_record(blocks, config)
        write_json(
            draft.path / PLAN, [[asdict(request) for request in block.all] for block in blocks]
        )
        prompts = _spread([task.prompt for task in tasks], config.agreement_prompts)
        agreed = {"pruned": _agreement_alone(unloaded, prompts, config)} if unloaded else {}
        with ExitStack() as servers:
            runs = _start(servers, checkpoints, config)
            agreed |= {
                run.role: _agreement(run.endpoint, run.checkpoint, prompts)
                for run in runs
                if prompts
            }
            report = _measure(runs, blocks, config)
        write_json(draft.path / REPORT, {**report, "agreement": agreed, "plan": plan})
        with (draft.path / REQUESTS).open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for run in runs for row in run.rows)
        draft.figures |= {"engine": "vllm", "plan": plan}

    return run_stage(
        out,
        kind="bench",
        module=__name__,
        parents={**parents, "prompts": corpus_digest(tasks)},
        config=asdict(config),
        work=work,
        measurements=(REPORT, REQUESTS),
        force=force,
    )


@dataclass(frozen=True, kw_only=True)
class Block:
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


@dataclass(kw_only=True)
class MeasuredModel:
    """A model being measured."""

    role: Role
    checkpoint: Checkpoint
    endpoint: RunningServer
    meter: EnergyMeter
    outcomes: list[Outcome] = field(default_factory=list)
    """Counted ones."""
    window_s: float = 0.0
    """From the first counted arrival to the last counted token, over all rounds."""
    metered_tokens: int = 0
    """Output tokens inside the energy windows, warm-up included."""
    rounds: list[Json] = field(default_factory=list)
    rows: list[dict[str, Json]] = field(default_factory=list)
    server: dict[str, Json] = field(default_factory=dict)


def _tasks(config: BenchConfig) -> list[Task]:
    if config.prompts:
        return load_records(Path(config.prompts), Task)
    return [
        task
        for kind in TASK_KINDS
        for task in make_tasks("validation", kind, _TASKS_PER_KIND, config.seed)
    ]


def _blocks(prompts: Sequence[str], config: BenchConfig) -> Iterator[Block]:
    lengths = (config.min_output_tokens, config.max_output_tokens)
    total = config.num_requests + config.rounds * config.warmup_requests
    plan = draw_plan(
        prompts,
        request_rate=config.request_rate,
        num_requests=total,
        output_tokens=lengths,
        seed=config.seed,
    )
    start = 0
    for number in range(config.rounds):
        size = config.num_requests // config.rounds + (number < config.num_requests % config.rounds)
        end = start + config.warmup_requests + size
        requests = _rebased(plan, start, end)
        burst: tuple[PlannedRequest, ...] = ()
        if config.burst_requests:
            seed = config.seed * 1_000 + number + 1
            burst = draw_plan(
                prompts,
                request_rate=math.inf,
                num_requests=config.burst_requests,
                output_tokens=lengths,
                seed=seed,
            ).requests
        yield Block(
            warmup=requests[: config.warmup_requests],
            counted=requests[config.warmup_requests :],
            burst=burst,
        )
        start = end


def _rebased(plan: LoadPlan, start: int, end: int) -> tuple[PlannedRequest, ...]:
    origin = plan.requests[start - 1].at_s if start else 0.0
    return tuple(
        replace(request, at_s=round(request.at_s - origin, 6))
        for request in plan.requests[start:end]
    )


def _plan_record(blocks: Sequence[Block], config: BenchConfig) -> dict[str, Json]:
    everything = LoadPlan(
        requests=tuple(request for block in blocks for request in block.all),
        request_rate=config.request_rate,
        seed=config.seed,
    )
    return {
        "digest": everything.digest,
        "request_rate": config.request_rate,
        "num_requests": config.num_requests,
        "num_warmup_requests": sum(len(block.warmup) for block in blocks),
        "seed": config.seed,
        "num_burst_requests": sum(len(block.burst) for block in blocks),
        "rounds": config.rounds,
        "duration_s": round(sum(block.counted[-1].at_s for block in blocks), 3),
        "order": " ".join("AB" * config.rounds),
    }


def _start(
    servers: ExitStack, checkpoints: dict[Role, Checkpoint], config: BenchConfig
) -> list[MeasuredModel]:
    serve_config = ServeConfig(
        compiled=config.compiled, kv_cache_gib=config.kv_cache_gib, served_name="bench", niceness=10
    )
    sources = find_sources()
    runs = []
    for role in ROLES:
        endpoint = servers.enter_context(running(checkpoints[role].path, serve_config))
        meter = EnergyMeter(sources=sources)
        runs.append(
            MeasuredModel(role=role, checkpoint=checkpoints[role], endpoint=endpoint, meter=meter)
        )
    return runs


def _spread(prompts: Sequence[str], count: int) -> Sequence[str]:
    """`count` of the prompts, evenly over their order, which is by task kind."""
    return prompts[:: max(len(prompts) // count, 1)][:count] if count else []


def _agreement(
    end: RunningServer, checkpoint: Checkpoint, prompts: Sequence[str]
) -> dict[str, Json]:
    return agreement(end.url, end.model, end.headers, checkpoint.path, prompts)


def _agreement_alone(
    checkpoint: Checkpoint, prompts: Sequence[str], config: BenchConfig
) -> dict[str, Json]:
    """Agreement of a model that is served for this only."""
    served = ServeConfig(
        compiled=config.compiled, kv_cache_gib=config.kv_cache_gib, served_name="bench"
    )
    with running(checkpoint.path, served) as endpoint:
        return _agreement(endpoint, checkpoint, prompts)


def _measure(
    runs: list[MeasuredModel], blocks: Sequence[Block], config: BenchConfig
) -> dict[str, Json]:
    machine = describe_machine()
    before = [scrape(run.endpoint.url) for run in runs]
    for number, block in enumerate(blocks):
        for run in runs:
            logger.info("bench: round %d of %d, %s", number + 1, len(blocks), run.role)
            _load(run, number, block, config)
    for run, counters in zip(runs, before, strict=True):
        run.server = {**counted(counters, scrape(run.endpoint.url)), "requests_sent": len(run.rows)}
    device = "NVIDIA GPU" if has_nvidia() else "CPU"
    mode = "compiled" if config.compiled else "eager"
    return {
        "engine": {
            "name": "vllm",
            "version": runs[0].endpoint.version,
            "device": device,
            "mode": mode,
        },
        "machine": machine,
        "models": {run.role: _figures(run, config) for run in runs},
        "ratios": _ratios(*runs),
        "method": "both servers up, one loaded at a time; client on the same machine; latency "
        "from the scheduled time",
    }


def _load(run: MeasuredModel, number: int, block: Block, config: BenchConfig) -> None:
    """One round on one model."""
    with run.meter.window():
        outcomes = _send(run, (*block.warmup, *block.counted), config)
        burst = _send(run, block.burst, config)
    counting = outcomes[len(block.warmup) :]
    _record(run, number, "warmup", outcomes[: len(block.warmup)])
    _record(run, number, "counted", counting)
    _record(run, number, "burst", burst)
    run.outcomes += counting
    ends = [outcome.last_s for outcome in counting if outcome.last_s is not None]
    run.window_s += max(ends, default=counting[-1].scheduled_s) - counting[0].scheduled_s
    run.metered_tokens += sum(outcome.output_tokens for outcome in (*outcomes, *burst))
    run.rounds.append(_round(counting, burst))


def _send(
    run: MeasuredModel, requests: Sequence[PlannedRequest], config: BenchConfig
) -> list[Outcome]:
    end = run.endpoint
    return (
        run_load(end.url, end.model, end.headers, requests, timeout_s=config.request_timeout_s)
        if requests
        else []
    )


def _record(run: MeasuredModel, number: int, phase: str, outcomes: Sequence[Outcome]) -> None:
    run.rows += [
        {"model": run.role, "round": number, "phase": phase, **asdict(outcome)}
        for outcome in outcomes
    ]


def _round(outcomes: Sequence[Outcome], burst: Sequence[Outcome]) -> dict[str, Json]:
    """Medians and capacity of one round, so that the spread between rounds can be seen."""
    row: dict[str, Json] = {}
    for name, latency in (("ttft", ttft_ms), ("tpot", tpot_ms), ("e2el", e2el_ms)):
        value = order_statistic(
            [latency(outcome) if outcome.ok else math.inf for outcome in outcomes], 0.5
        )
        row[f"p50_{name}_ms"] = round(value, 3) if math.isfinite(value) else None
    return {**row, "burst_output_throughput": _capacity(burst)}


def _ratios(original: MeasuredModel, slimmed: MeasuredModel) -> dict[str, Json]:
    """Slimmed over original for each round figure, round by round: one number per pair measured
    back to back.
    """
    names = dict.fromkeys(name for row in original.rounds if isinstance(row, dict) for name in row)
    return {
        name: [_ratio(*pair, name) for pair in zip(original.rounds, slimmed.rounds, strict=True)]
        for name in names
    }


def _ratio(original: Json, slimmed: Json, name: str) -> float | None:
    if not isinstance(original, dict) or not isinstance(slimmed, dict):
        return None
    before, after = original[name], slimmed[name]
    return (
        round(after / before, 4)
        if isinstance(before, float) and isinstance(after, float) and before
        else None
    )


def _capacity(burst: Sequence[Outcome]) -> float | None:
    """Output tokens per second of requests that were all sent at once; None if one of them
    failed.
    """
    ends = [outcome.last_s for outcome in burst if outcome.last_s is not None]
    if not burst or len(ends) < len(burst) or not all(outcome.ok for outcome in burst):
        return None
    return round(sum(outcome.output_tokens for outcome in burst) / max(ends), 3)


def _figures(run: MeasuredModel, config: BenchConfig) -> dict[str, Json]:
    required = ("cpu_package", "gpu") if has_nvidia() else ("cpu_package",)
    energy = energy_block(run.meter, run.metered_tokens, required)
    figures = summarise(run.outcomes, run.window_s, Bounds(min_samples_p99=config.min_samples_p99))
    bursts = [row["burst_output_throughput"] for row in run.rounds if isinstance(row, dict)]
    rates = [rate for rate in bursts if isinstance(rate, float)]
    complete = len(rates) == config.rounds
    return {
        "model_digest": run.checkpoint.digest,
        **figures,
        "startup_s": run.endpoint.startup_s,
        "server_metrics": run.server,
        "rounds": run.rounds,
        "burst_output_throughput": round(sum(rates) / len(rates), 3) if complete else None,
        "energy": energy,
        "carbon": carbon_block(energy, config.carbon_intensity_g_per_kwh, config.carbon_source),
    }
