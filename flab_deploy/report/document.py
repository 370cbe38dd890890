"""The report as one JSON document; the page shows nothing that is not in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import cast

from flab_deploy.artifacts import Json
from flab_deploy.report.charts.style import Chart
from flab_deploy.report.checks import check_tables, lineage_warnings
from flab_deploy.report.effects import effect_tables
from flab_deploy.report.health import health_sentence, health_warnings
from flab_deploy.report.losses import loss_tables
from flab_deploy.report.quality import confidence, margin, quality_rows
from flab_deploy.report.rows import BeforeAfterRow, rows_of, shown
from flab_deploy.report.run import DOCUMENTS, Run, mapping
from flab_deploy.report.verdict import engine, headline, invalid_sentence, verdict_sentences

SCHEMA_VERSION = 1
_UNRECORDED = "not recorded by this run"


def report_document(run: Run, charts: Mapping[str, Chart | None]) -> dict[str, Json]:
    """Everything the report says, ready to be written as JSON."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "headline": headline(run),
        "verdict": verdict_sentences(run),
        "warnings": [
            *lineage_warnings(run),
            *health_warnings(run),
            *filter(None, [invalid_sentence(run)]),
        ],
        "before_after": [row_json(row) for row in rows_of(run)],
        "quality": [asdict(row) for row in quality_rows(run)],
        "final": run.final,
        "losses": [asdict(table) for table in (*loss_tables(run), *effect_tables(run))],
        "health": health_sentence(run),
        "margin": margin(run),
        "confidence": confidence(run),
        "charts": {key: _chart_json(chart) for key, chart in charts.items()},
        "checks": [asdict(table) for table in check_tables(run)],
        "provenance": provenance(run),
    }
    return cast("dict[str, Json]", json.loads(json.dumps(document, allow_nan=False)))


def row_json(row: BeforeAfterRow) -> dict[str, object]:
    """A row of the before/after table as JSON, with its texts as shown."""
    fields = asdict(row)
    for name, cell in (("original", row.original), ("slimmed", row.slimmed), ("ratio", row.ratio)):
        fields[name]["shown"] = shown(cell)
    return {**fields, "provenance": row.provenance}


def _chart_json(chart: Chart | None) -> dict[str, object] | None:
    if chart is None:
        return None
    return {"title": chart.title, "alt": chart.alt, "caption": chart.caption, "data": chart.data}


def provenance(run: Run) -> dict[str, Json]:
    """Command, machine, engine and, for each stage, digests, parents, configuration, versions and
    seconds.
    """
    record = mapping(run.record)
    machine = {**mapping(run.get("bench", "machine")), **mapping(record.get("machine"))}
    return {
        "command": _command(record.get("command")),
        "machine": machine or _UNRECORDED,
        "engine": engine(run) if run.has("bench") else None,
        "config": record.get("config"),
        "stages": {name: _stage(run, name) for name in DOCUMENTS},
    }


def _command(value: Json) -> str:
    if isinstance(value, list):
        return " ".join(str(word) for word in value)
    return value if isinstance(value, str) and value else _UNRECORDED


def _stage(run: Run, name: str) -> Json:
    artifact = run.artifacts.get(name)
    if artifact is None:
        return {"status": "not run"}
    kept = ("kind", "digest", "parents", "config", "versions", "figures", "seconds")
    return {"status": "finished", **{key: artifact.manifest.get(key) for key in kept}}
