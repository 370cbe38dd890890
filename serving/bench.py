"""Measure the original and the slimmed model side by side under the same load.

Both servers are up during the whole measurement and only one is loaded at a time: round by
round, first the original, then the slimmed model gets the same slice of the same plan. So a
machine that slows down slows both, and the start-up is paid once. In each round a few warm-up
requests run into the counted ones without a pause, and a burst afterwards measures capacity.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.checkpoint import Checkpoint, resolve
from flab_deploy.corpus import TASK_KINDS, Task, corpus_digest, load_records
from flab_deploy.engines import has_nvidia
from flab_deploy.records.bench import (
    BENCH_FILE,
    LOAD_FILE,
    REQUESTS_FILE,
    AgreementRecord,
    BenchFigures,
    BenchRecord,
    EngineRecord,
    RequestLine,
    Role,
)
from flab_deploy.records.document import as_json, write_record
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.settings.bench import BenchConfig, ServeConfig
from serving.agreement import agreement
from serving.energy import EnergyMeter, find_sources
from serving.machine import describe_machine
from serving.measure import LoadedServer, measure, round_ratios
from serving.rounds import Round, draw_rounds, load_record, plan_record
from serving.vllm_server import RunningServer, running

_TASKS_PER_KIND = 100
_METHOD = (
    "both servers up, one loaded at a time; client on the same machine; latency from the scheduled "
    "time"
)


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
    checkpoints = {"original": resolve(original), "slimmed": resolve(slimmed)}
    tasks = _tasks(config)
    prompts = [task.prompt for task in tasks]
    rounds = draw_rounds(prompts, config)
    if pruned is not None and config.agreement_prompts:
        checkpoints["pruned"] = resolve(pruned)
    parents = {role: checkpoint.digest for role, checkpoint in checkpoints.items()}

    def work(draft: Draft) -> None:
        write_record(draft.path / LOAD_FILE, plan_record(rounds))
        compared = _spread(prompts, config.agreement_prompts)
        found, requests = _measured(checkpoints, rounds, compared, config)
        write_record(draft.path / BENCH_FILE, found)
        with (draft.path / REQUESTS_FILE).open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(as_json(request)) + "\n" for request in requests)
        draft.figures |= as_json(BenchFigures(engine=found.engine.name, plan=found.plan))

    return run_stage(
        out,
        kind="bench",
        module=__name__,
        parents={**parents, "prompts": corpus_digest(tasks)},
        config=asdict(config),
        work=work,
        measurements=(BENCH_FILE, REQUESTS_FILE),
        force=force,
    )


def _tasks(config: BenchConfig) -> list[Task]:
    if config.prompts:
        return load_records(Path(config.prompts), Task)
    return [
        task
        for kind in TASK_KINDS
        for task in make_tasks("validation", kind, _TASKS_PER_KIND, config.seed)
    ]


def _spread(prompts: Sequence[str], count: int) -> Sequence[str]:
    """`count` of the prompts, evenly over their order, which is by task kind."""
    return prompts[:: max(len(prompts) // count, 1)][:count] if count else []


def _measured(
    checkpoints: dict[str, Checkpoint],
    rounds: Sequence[Round],
    compared: Sequence[str],
    config: BenchConfig,
) -> tuple[BenchRecord, list[RequestLine]]:
    """The whole record of a measurement, and a line per request."""
    agreed: dict[str, AgreementRecord] = {}
    if "pruned" in checkpoints:  # before the others start, for three servers would need the memory
        with running(checkpoints["pruned"].path, _serve_config(config)) as endpoint:
            agreed["pruned"] = _agreement(endpoint, checkpoints["pruned"], compared)
    with ExitStack() as servers:
        original = _start(servers, "original", checkpoints, config)
        slimmed = _start(servers, "slimmed", checkpoints, config)
        for server in (original, slimmed) if compared else ():
            agreed[server.role] = _agreement(server.endpoint, checkpoints[server.role], compared)
        machine = describe_machine()
        models = measure(original, slimmed, rounds, config)
    found = BenchRecord(
        schema_version=1,
        engine=EngineRecord(
            name="vllm",
            version=original.endpoint.version,
            device="NVIDIA GPU" if has_nvidia() else "CPU",
            mode="compiled" if config.compiled else "eager",
        ),
        machine=machine,
        models=models,
        ratios=round_ratios(models),
        method=_METHOD,
        agreement=agreed,
        plan=load_record(rounds, config),
    )
    return found, [*original.lines(), *slimmed.lines()]


def _serve_config(config: BenchConfig, niceness: int = 0) -> ServeConfig:
    return ServeConfig(
        compiled=config.compiled,
        kv_cache_gib=config.kv_cache_gib,
        served_name="bench",
        niceness=niceness,
    )


def _start(
    servers: ExitStack, role: Role, checkpoints: dict[str, Checkpoint], config: BenchConfig
) -> LoadedServer:
    # Less urgent than the client, so that requests leave in time on a machine that both share.
    served = running(checkpoints[role].path, _serve_config(config, niceness=10))
    return LoadedServer(
        role=role,
        model_digest=checkpoints[role].digest,
        endpoint=servers.enter_context(served),
        meter=EnergyMeter(sources=find_sources()),
    )


def _agreement(
    end: RunningServer, checkpoint: Checkpoint, prompts: Sequence[str]
) -> AgreementRecord:
    return agreement(end.url, end.model, end.headers, checkpoint.path, prompts)
