"""The small print as tables: judging, sandbox, load test, energy, export parity, lineage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from flab_deploy.artifacts import Json
from flab_deploy.records.bench import EnergyRecord, ServedModel
from flab_deploy.records.document import as_json
from flab_deploy.records.export import ExportRecord
from flab_deploy.records.report import ReportTable
from flab_deploy.report.health import excluded_tables, health_table
from flab_deploy.report.rows import SIDES, served
from flab_deploy.report.run import MODELS, RunContents
from flab_deploy.report.tables import (
    Line,
    Reading,
    pairs,
    readings,
    record_lines,
    table,
    text,
    words,
)
from flab_deploy.report.verdict import engine

_BOTH = ("", *SIDES)


def check_tables(run: RunContents) -> list[ReportTable]:
    """All tables of the small print, in the order of the page; a table of a stage that was not run
    has no lines.
    """
    judging = [health_table(run), *excluded_tables(run), _sandbox(run)]
    return [_cut(run), *judging, _load_test(run), _agreement(run), _energy(run), *_parity(run)]


def _cut(run: RunContents) -> ReportTable:
    """What was found of the pruned checkpoint itself, before any training."""
    lines: list[Line] = []
    if found := run.pruned:
        realised = found.realised
        lines = [
            (
                "KL divergence that the plan predicted, nats per calibration token",
                text(found.predicted.kl_nats),
            ),
            (
                "KL divergence of the finished cut, nats per held-out token",
                text(realised.kl_nats if realised else None),
            ),
            (
                "held-out tokens that it is a mean over",
                text(realised.num_tokens if realised else None),
            ),
            *pairs("reopened: ", [_known(found.reopened)]),
            *pairs("tokenizer: ", [_known(found.tokenizer)]),
        ]
    return table(
        "cut-checks",
        "The cut itself",
        ("", "found"),
        lines,
        "The checkpoint was opened in a fresh process; its tokenizer read the whole corpus "
        "beside the original's.",
    )


def _known(found: object) -> dict[str, Json]:
    """The fields of a record that the stage could fill in."""
    return {name: value for name, value in as_json(found).items() if value is not None}


def _sandbox(run: RunContents) -> ReportTable:
    judged = run.evaluations
    lines = record_lines("", [found.sandbox for found in judged.values()])
    note = "Generated code ran in a separate process behind these limits."
    return table("sandbox", "Sandbox of the generated code", ("", *judged), lines, note)


_LOAD: list[Reading[ServedModel]] = [
    ("verdict on the test itself", lambda model: model.validity.verdict),
    ("reasons", lambda model: text(list(model.validity.reasons))),
    ("requests completed", lambda model: text(model.completed)),
    ("requests failed", lambda model: text(model.failed)),
    ("requests per second", lambda model: text(model.request_throughput)),
    ("output tokens received", lambda model: text(model.total_output_tokens)),
    ("output tokens per second", lambda model: text(model.output_throughput)),
    ("seconds until the server answered", lambda model: text(model.startup_s)),
    (
        "requests sent, with warm-up and burst",
        lambda model: text(model.server_metrics.requests_sent),
    ),
    (
        "server counted: request success total",
        lambda model: text(model.server_metrics.request_success_total),
    ),
    (
        "server counted: prompt tokens total",
        lambda model: text(model.server_metrics.prompt_tokens_total),
    ),
    (
        "server counted: generation tokens total",
        lambda model: text(model.server_metrics.generation_tokens_total),
    ),
    ("sending was late by, ms: p50", lambda model: text(model.schedule_delay.p50_ms)),
    ("sending was late by, ms: p99", lambda model: text(model.schedule_delay.p99_ms)),
    ("sending was late by, ms: max", lambda model: text(model.schedule_delay.max_ms)),
]


def _load_test(run: RunContents) -> ReportTable:
    lines: list[Line] = []
    if found := run.bench:
        models = {side: served(found, side) for side in SIDES}
        lines = [("engine", *[engine(found)] * 2), *readings(_LOAD, models)]
        lines += record_lines("load plan: ", [found.plan] * 2)
    note = (
        "What the client saw beside what the server's own counters say; a sender that lags "
        "makes a test invalid."
    )
    return table("load", "Load test", _BOTH, lines, note)


def _agreement(run: RunContents) -> ReportTable:
    """Counts per model that was served: the original, the pruned and the slimmed one."""
    found = run.bench.agreement if run.bench else {}
    return table(
        "agreement",
        "Greedy tokens: engine against transformers",
        ("", *found),
        record_lines("", list(found.values())),
        "Whether the engine generates the very tokens that transformers does, always "
        "taking the most probable one.",
    )


def _energy(run: RunContents) -> ReportTable:
    lines: list[Line] = []
    if run.bench:
        models = [served(run.bench, side) for side in SIDES]
        lines = pairs("energy: ", [_measured(model.energy) for model in models])
        lines += record_lines("carbon: ", [model.carbon for model in models])
    note = (
        "Energy is measured only where the machine has readable sensors; an estimate never "
        "counts as one."
    )
    return table("energy", "Energy and carbon", _BOTH, lines, note)


def _measured(found: EnergyRecord) -> dict[str, Json]:
    """The energy of a load, without joules of parts that could not be measured."""
    parts: dict[str, Json] = {name: _known(part) for name, part in found.components.items()}
    return {**as_json(found), "components": parts}


_TITLES = {"vllm": "vLLM directory against PyTorch", "onnx": "ONNX against PyTorch"}


def _parity(run: RunContents) -> Iterator[ReportTable]:
    for name in [field.name for field in fields(ExportRecord) if field.name != "schema_version"]:
        found = getattr(run.export, name) if run.export else None
        lines = record_lines("", [found]) if found else []
        title = _TITLES.get(name, words(name))
        note = "The exported model on the same prompts."
        yield table(f"parity-{name}", title, ("", "found"), lines, note)


def lineage_warnings(run: RunContents) -> list[str]:
    """Places where figures of one run speak of different models or problems; empty if all fits
    together.
    """
    found: list[str] = []
    judged = {model: one.model.digest for model, one in run.evaluations.items()}
    for model in MODELS[1:]:
        if compared := run.comparisons.get(model):
            stage, sides = f"compare-{model}", (compared.original, compared.candidate)
            for role, name, digest in zip(
                ("original", "candidate"), ("original", model), sides, strict=True
            ):
                if digest != judged.get(name, digest):
                    found.append(
                        f"{stage} compared another {role} model than evaluate-{name} judged"
                    )
    original = judged.get("original")
    if run.plan and original and run.plan.source != original:
        found.append("the plan was made for another model than evaluate-original judged")
    if len({one.suite.digest for one in run.evaluations.values()}) > 1:
        found.append("the models were judged on different problems")
    if run.bench:
        first, second = (served(run.bench, side).model_digest for side in SIDES)
        if first == second:
            found.append("the load test served the same model under both names")
        if original and first != original:
            found.append("the load test served another original than evaluate-original judged")
    return found
