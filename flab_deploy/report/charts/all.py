"""The report's charts in the order of the page. Adding one is one more entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from flab_deploy.records.report import ReportChart
from flab_deploy.report.charts.cut import candidates_chart, cut_chart, recovery_chart
from flab_deploy.report.charts.importance import channel_chart, layer_chart, token_chart
from flab_deploy.report.charts.measured import (
    LATENCIES,
    latency_chart,
    retention_chart,
    robustness_chart,
)
from flab_deploy.report.charts.style import Drawing
from flab_deploy.report.run import RunContents


@dataclass(frozen=True, kw_only=True)
class ChartKind:
    """One chart of the page."""

    section: str
    """Part of the page that it stands in."""
    title: str
    """What is shown."""
    stages: tuple[str, ...]
    """What it is drawn from."""
    draw: Callable[[RunContents], Drawing | None]
    """The drawing of a run; None if the run lacks the figures for it."""


def _kind(
    section: str, title: str, stage: str, draw: Callable[[RunContents], Drawing | None]
) -> ChartKind:
    return ChartKind(section=section, title=title, stages=(stage,), draw=draw)


CHARTS: Mapping[str, ChartKind] = {
    "retention": _kind(
        "quality", "How much quality was kept", "compare-recovered", retention_chart
    ),
    "robustness": _kind(
        "quality", "Quality when the task is put differently", "evaluate-original", robustness_chart
    ),
    "cut": _kind("cut", "Where the cut came from", "plan", cut_chart),
    "candidates": _kind("cut", "Ways to make the cut", "plan", candidates_chart),
    "layers": _kind("cut", "Importance of each layer", "scores", layer_chart),
    "channels": _kind("cut", "Importance of feed-forward channels", "scores", channel_chart),
    "tokens": _kind("cut", "How often each token is used", "scores", token_chart),
    "recovery": _kind("cut", "Recovery training", "recovered", recovery_chart),
    **{
        f"latency-{stamp}": _kind(
            "serving", words.capitalize(), "bench", partial(latency_chart, stamp=stamp)
        )
        for stamp, words in LATENCIES.items()
    },
}


def draw_charts(run: RunContents) -> dict[str, tuple[ReportChart | None, str]]:
    """What every chart shows and its drawing as an `<svg>` element, by key; None and an empty text
    where the run lacks the figures for it.
    """
    charts: dict[str, tuple[ReportChart | None, str]] = {}
    for key, kind in CHARTS.items():
        found = kind.draw(run)
        charts[key] = (found.described(kind.title), found.svg(key)) if found else (None, "")
    return charts
