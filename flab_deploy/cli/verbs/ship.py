"""The verbs for what comes out: footprint, export, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from flab_deploy.cli.options import Flat, Force, Json, Out
from flab_deploy.cli.output import show, show_text
from flab_deploy.export import export as export_stage
from flab_deploy.footprint import footprint as footprint_stage
from flab_deploy.report.report import report as report_stage
from flab_deploy.report.rows import as_text, before_after_rows
from flab_deploy.settings.export import ExportConfig
from flab_deploy.settings.footprint import FootprintConfig


def footprint(
    original: str,
    slimmed: str,
    /,
    *,
    out: Out,
    config: Annotated[FootprintConfig, Flat] = FootprintConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure size, peak memory and operations per token of two checkpoints.

    Parameters
    ----------
    original
        Directory, hub id or `reference`.
    slimmed
        The smaller model.
    """
    artifact = footprint_stage(original, slimmed, out, config, force=force)
    show(artifact, as_json=as_json)


def export(
    model: str = "reference",
    /,
    *,
    out: Out,
    config: Annotated[ExportConfig, Flat] = ExportConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a vLLM-ready directory and an ONNX model, each compared with the model it comes from.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    show(export_stage(model, out, config, force=force), as_json=as_json)


def report(
    run: Path, /, *, out: Path | None = None, force: Force = False, as_json: Json = False
) -> None:
    """Write the report of a run directory: one HTML page and the same figures as JSON.

    Parameters
    ----------
    run
        Run directory; stages that have not run are shown as such.
    out
        Where to write; `report` inside the run directory if left out.
    """
    artifact = report_stage(run, out or run / "report", force=force)
    if as_json:
        show(artifact, as_json=True)
        return
    show_text(as_text(before_after_rows(run)) + f"\n\nreport: {artifact.path / 'report.html'}")
