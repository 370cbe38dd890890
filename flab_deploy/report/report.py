"""The stage that turns a run directory into one page and the same figures as JSON."""

from __future__ import annotations

from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, Json, run_stage, tree_digest, write_json
from flab_deploy.report.charts.all import draw_charts
from flab_deploy.report.document import report_document
from flab_deploy.report.page import TEMPLATES, render_page
from flab_deploy.report.run import read_run


def report(run: Path, out: Path, *, force: bool = False) -> Artifact:
    """The report of the run directory `run`: `report.html`, `report.json` and `lineage.json` in
    `out`.

    Stages that were not run are shown as such. The same run gives the same bytes; a run whose
    timings alone differ gives the same digest, which covers the lineage and not the page.
    Raises ArtifactError if there is no run, or if one of its documents is damaged or was changed.
    """
    found = read_run(run)
    config: dict[str, Json] = {"content": found.digest(), "templates": tree_digest(TEMPLATES)}
    parents = {name: artifact.digest for name, artifact in found.artifacts.items()}

    def work(draft: Draft) -> None:
        charts = draw_charts(found)
        document = report_document(found, charts)
        write_json(draft.path / "report.json", document)
        write_json(draft.path / "lineage.json", parents)
        (draft.path / "report.html").write_text(render_page(document, charts), encoding="utf-8")
        draft.figures["num_stages"] = len(parents)
        draft.figures["num_charts"] = sum(chart is not None for chart in charts.values())

    return run_stage(
        out,
        kind="report",
        module=__name__,
        parents=parents,
        config=config,
        work=work,
        measurements=("report.html", "report.json"),
        force=force,
    )
