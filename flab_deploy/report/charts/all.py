"""The report's charts in the order of the page. To add one, add an entry here and its prose."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from flab_deploy.records.report import ChartData, ReportChart
from flab_deploy.report.charts import decided, measured
from flab_deploy.report.run import RunContents
from flab_deploy.report.tables import PROSE
from flab_deploy.wording.drawing import Drawing


class ChartKind(NamedTuple):
    """Where a chart stands, the stage that it needs, and what draws it."""

    section: str
    stage: str
    draw: Callable[[RunContents], Drawing[ChartData] | None]


CHARTS = {
    "retention": ChartKind("quality", "compare-recovered", measured.retention_chart),
    "robustness": ChartKind("quality", "evaluate-original", measured.robustness_chart),
    "cut": ChartKind("cut", "plan", decided.cut_chart),
    "candidates": ChartKind("cut", "plan", decided.candidates_chart),
    "layers": ChartKind("cut", "scores", decided.layer_chart),
    "channels": ChartKind("cut", "scores", decided.channel_chart),
    "tokens": ChartKind("cut", "scores", decided.token_chart),
    "recovery": ChartKind("cut", "recovered", decided.recovery_chart),
    "latency-ttft": ChartKind("serving", "bench", partial(measured.latency_chart, "ttft")),
    "latency-tpot": ChartKind("serving", "bench", partial(measured.latency_chart, "tpot")),
    "latency-e2el": ChartKind("serving", "bench", partial(measured.latency_chart, "e2el")),
}


def draw_charts(run: RunContents) -> tuple[dict[str, ReportChart | None], dict[str, str]]:
    """What each chart shows, None if the run lacks the figures; and those drawn, as `<svg>`."""
    found = {key: kind.draw(run) for key, kind in CHARTS.items()}
    drawings = {key: drawing.svg(key) for key, drawing in found.items() if drawing}
    return {key: _described(key, drawing) for key, drawing in found.items()}, drawings


def _described(key: str, drawing: Drawing[ChartData] | None) -> ReportChart | None:
    if drawing is None:
        return None
    said = PROSE.charts[key]
    caption = said.note.format(**drawing.facts)
    return ReportChart(title=said.title, alt=drawing.alt, caption=caption, data=drawing.data)
