"""The small print as tables: judging, sandbox, load test, energy, export parity, lineage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from flab_deploy.artifacts import Json
from flab_deploy.records.bench import EnergyRecord, ServedModel
from flab_deploy.records.document import as_json
from flab_deploy.records.report import ReportTable
from flab_deploy.report.judged import excluded_tables, health_table
from flab_deploy.report.rows import SIDES, served
from flab_deploy.report.run import MODELS, RunContents
from flab_deploy.report.tables import Line, Reading, readings, table
from flab_deploy.report.verdict import engine
from flab_deploy.settings.export import Format
from flab_deploy.wording.fields import field_lines, text


def check_tables(run: RunContents) -> list[ReportTable]:
    """The tables in the order of the page; those of stages that were not run have no lines."""
    judging = [health_table(run), *excluded_tables(run), _sandbox(run)]
    return [_cut(run), *judging, _load_test(run), _agreement(run), _energy(run), *_parity(run)]


def _cut(run: RunContents) -> ReportTable:
    """What was found of the pruned checkpoint itself, before any training."""
    lines: list[Line] = []
    if found := run.pruned:
        real = found.realised
        kl, tokens = (real.kl_nats, real.num_tokens) if real else (None, None)
        lines = [
            (
                "KL divergence that the plan predicted, nats per calibration token",
                text(found.predicted.kl_nats),
            ),
            ("KL divergence of the finished cut, nats per held-out token", text(kl)),
            ("held-out tokens that it is a mean over", text(tokens)),
            *field_lines("reopened: ", [_known(found.reopened)]),
            *field_lines("tokenizer: ", [_known(found.tokenizer)]),
        ]
    return table("cut-checks", lines)


def _known(found: object) -> dict[str, Json]:
    """The fields of a record that the stage could fill in."""
    return {name: value for name, value in as_json(found).items() if value is not None}


def _sandbox(run: RunContents) -> ReportTable:
    judged = run.evaluations
    lines = field_lines("", [as_json(found.sandbox) for found in judged.values()])
    return table("sandbox", lines, list(judged))


_LOAD: list[Reading[ServedModel]] = [
    ("verdict on the test itself", lambda model: model.validity.verdict),
    ("reasons", lambda model: text(list(model.validity.reasons))),
    ("requests completed", lambda model: text(model.completed)),
    ("requests failed", lambda model: text(model.failed)),
    ("requests per second", lambda model: text(model.request_throughput)),
    ("output tokens received", lambda model: text(model.total_output_tokens)),
    ("output tokens per second", lambda model: text(model.output_throughput)),
    ("seconds until the server answered", lambda model: text(model.startup_s)),
    ("requests sent, with warm-up and burst", lambda m: text(m.server_metrics.requests_sent)),
]
_LATE: list[Reading[ServedModel]] = [
    ("sending was late by, ms: p50", lambda model: text(model.schedule_delay.p50_ms)),
    ("sending was late by, ms: p99", lambda model: text(model.schedule_delay.p99_ms)),
    ("sending was late by, ms: max", lambda model: text(model.schedule_delay.max_ms)),
]


def _load_test(run: RunContents) -> ReportTable:
    lines: list[Line] = []
    if found := run.bench:
        models = {side: served(found, side) for side in SIDES}
        counters = [as_json(model.server_metrics) for model in models.values()]
        for block in counters:
            del block["requests_sent"]  # by the client
        lines = [("engine", *[engine(found)] * 2), *readings(_LOAD, models)]
        lines += [*field_lines("server counted: ", counters), *readings(_LATE, models)]
        lines += field_lines("load plan: ", [as_json(found.plan)] * 2)
    return table("load", lines)


def _agreement(run: RunContents) -> ReportTable:
    """Counts per model that was served: the original, the pruned and the slimmed one."""
    found = run.bench.agreement if run.bench else {}
    lines = field_lines("", [as_json(one) for one in found.values()])
    return table("agreement", lines, list(found))


def _energy(run: RunContents) -> ReportTable:
    models = [served(run.bench, side) for side in SIDES] if run.bench else []
    lines = field_lines("energy: ", [_measured(model.energy) for model in models])
    lines += field_lines("carbon: ", [as_json(model.carbon) for model in models])
    return table("energy", lines)


def _measured(found: EnergyRecord) -> dict[str, Json]:
    """The energy of a load, without joules of parts that could not be measured."""
    parts: dict[str, Json] = {name: _known(part) for name, part in found.components.items()}
    return {**as_json(found), "components": parts}


def _parity(run: RunContents) -> Iterator[ReportTable]:
    for name in get_args(Format):
        parity = getattr(run.export, name) if run.export else None
        lines = field_lines("", [as_json(parity)]) if parity else []
        yield replace(table("parity", lines, format=name), key=f"parity-{name}")


def lineage_warnings(run: RunContents) -> Iterator[str]:
    """Places where figures of one run speak of different models or problems."""
    judged = {model: one.model.digest for model, one in run.evaluations.items()}
    for model in MODELS[1:]:
        if compared := run.comparisons.get(model):
            whole = ("original", "original", compared.original)
            for role, name, digest in (whole, ("candidate", model, compared.candidate)):
                if digest != judged.get(name, digest):
                    said = f"another {role} model than evaluate-{name} judged"
                    yield f"compare-{model} compared {said}"
    for model, read in run.likelihoods.items():
        for name, digest in (("original", read.original), (model, read.candidate)):
            if digest != judged.get(name, digest):
                yield f"likelihood-{model} read with another model than evaluate-{name} judged"
    first = judged.get("original")
    if run.plan and first and run.plan.source != first:
        yield "the plan was made for another model than evaluate-original judged"
    if len({one.suite.digest for one in run.evaluations.values()}) > 1:
        yield "the models were judged on different problems"
    if run.bench:
        original, slimmed = (served(run.bench, side).model_digest for side in SIDES)
        if original == slimmed:
            yield "the load test served the same model under both names"
        if first and original != first:
            yield "the load test served another original than evaluate-original judged"
