"""The report as one record; the page shows nothing that is not in it."""

from __future__ import annotations

from collections.abc import Mapping

from flab_deploy.records.report import (
    FinishedStage,
    ReportChart,
    ReportRecord,
    RunProvenance,
    StageNotRun,
)
from flab_deploy.report.checks import check_tables, lineage_warnings
from flab_deploy.report.effects import effect_tables
from flab_deploy.report.health import health_sentence, health_warnings
from flab_deploy.report.losses import loss_tables
from flab_deploy.report.quality import confidence, margin, quality_rows
from flab_deploy.report.rows import rows_of
from flab_deploy.report.run import STAGES, RunContents
from flab_deploy.report.verdict import engine, headline, invalid_sentence, verdict_sentences


def report_record(run: RunContents, charts: Mapping[str, ReportChart | None]) -> ReportRecord:
    """Everything the report says."""
    invalid = invalid_sentence(run)
    return ReportRecord(
        schema_version=2,
        headline=headline(run),
        verdict=tuple(verdict_sentences(run)),
        warnings=(*lineage_warnings(run), *health_warnings(run), *([invalid] if invalid else [])),
        before_after=tuple(rows_of(run)),
        quality=tuple(quality_rows(run)),
        final=run.final,
        losses=(*loss_tables(run), *effect_tables(run)),
        health=health_sentence(run),
        margin=margin(run),
        confidence=confidence(run),
        charts=dict(charts),
        checks=tuple(check_tables(run)),
        provenance=_provenance(run),
    )


def _provenance(run: RunContents) -> RunProvenance:
    """Command, machine, engine and, for each stage, digests, parents, configuration, versions and
    seconds.
    """
    asked = run.record
    return RunProvenance(
        command=" ".join(asked.command) if asked else None,
        config=asked.config if asked else None,
        changed=asked.changed if asked else None,
        machine=asked.machine if asked else None,
        bench_machine=run.bench.machine if run.bench else None,
        engine=engine(run.bench) if run.bench else None,
        stages={name: _stage(run, name) for name in STAGES},
    )


def _stage(run: RunContents, name: str) -> FinishedStage | StageNotRun:
    manifest = run.manifests.get(name)
    if manifest is None:
        return StageNotRun(status="not run")
    return FinishedStage(
        status="finished",
        kind=manifest.kind,
        digest=manifest.digest,
        parents=manifest.parents,
        config=manifest.config,
        versions=manifest.versions,
        figures=manifest.figures,
        seconds=manifest.seconds,
    )
