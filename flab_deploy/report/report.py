"""The stage that turns a run directory into one page and the same figures as JSON."""

from __future__ import annotations

from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, Json, run_stage, tree_digest, write_json
from flab_deploy.records.document import write_record
from flab_deploy.records.report import LINEAGE_FILE, PAGE_FILE, REPORT_FILE
from flab_deploy.report.charts.all import draw_charts
from flab_deploy.report.document import report_record
from flab_deploy.report.page import TEMPLATES, render_page
from flab_deploy.report.run import read_run


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
    parents = {name: artifact.digest for name, artifact in found.artifacts.items()}

    def work(draft: Draft) -> None:
        charts = draw_charts(found)
        document = report_record(found, {key: chart for key, (chart, _) in charts.items()})
        drawings = {key: svg for key, (_, svg) in charts.items() if svg}
        write_record(draft.path / REPORT_FILE, document)
        write_json(draft.path / LINEAGE_FILE, parents)
        page = render_page(document, drawings)
        (draft.path / PAGE_FILE).write_text(page, encoding="utf-8")
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
