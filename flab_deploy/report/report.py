"""The stage that turns a run directory into one page and the same figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, Json, run_stage, tree_digest, write_json
from flab_deploy.records.document import write_record
from flab_deploy.records.report import (
    LINEAGE_FILE,
    PAGE_FILE,
    REPORT_FILE,
    ReportChart,
    ReportRecord,
    RunProvenance,
)
from flab_deploy.report.charts.all import draw_charts
from flab_deploy.report.checks import check_tables, lineage_warnings
from flab_deploy.report.judged import effect_tables, health_sentence, health_warnings
from flab_deploy.report.likelihood import likelihood_table
from flab_deploy.report.losses import loss_tables
from flab_deploy.report.page import render_page
from flab_deploy.report.quality import confidence, margin, quality_rows
from flab_deploy.report.rows import rows_of
from flab_deploy.report.run import STAGES, RunContents, read_run
from flab_deploy.report.tables import TEMPLATES
from flab_deploy.report.verdict import engine, headline, invalid_sentence, verdict_sentences


def report(run: Path, out: Path, *, force: bool = False) -> Artifact:
    """The report of the run directory `run`: `report.html`, `report.json` and `lineage.json` in
    `out`.

    Stages that were not run are shown as such. The same run gives the same bytes; a run whose
    timings alone differ gives the same digest, which covers the lineage and not the page.
    Raises ArtifactError if there is no run, or if one of its documents was changed, is damaged or
    lacks a field.
    """
    found = read_run(run)
    config: dict[str, Json] = {"content": found.digest(), "templates": tree_digest(TEMPLATES)}
    parents = {name: manifest.digest for name, manifest in found.manifests.items()}

    def work(draft: Draft) -> None:
        charts, drawings = draw_charts(found)
        document = report_record(found, charts)
        write_record(draft.path / REPORT_FILE, document)
        write_json(draft.path / LINEAGE_FILE, parents)
        (draft.path / PAGE_FILE).write_text(render_page(document, drawings), encoding="utf-8")
        draft.figures |= {"num_stages": len(parents), "num_charts": len(drawings)}

    return run_stage(
        out,
        kind="report",
        module=__name__,
        parents=parents,
        config=config,
        work=work,
        measurements=(PAGE_FILE, REPORT_FILE),
        force=force,
    )


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
        losses=(*loss_tables(run), likelihood_table(run), *effect_tables(run)),
        health=health_sentence(run),
        margin=margin(run),
        confidence=confidence(run),
        charts=dict(charts),
        checks=tuple(check_tables(run)),
        provenance=RunProvenance(
            run=run.record,
            bench_machine=run.bench.machine if run.bench else None,
            engine=engine(run.bench) if run.bench else None,
            stages={name: run.manifests.get(name) for name in STAGES},
        ),
    )
