"""The report's charts in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flab_deploy.report.charts.cut import candidates_chart, cut_chart, recovery_chart
from flab_deploy.report.charts.importance import channel_chart, layer_chart, token_chart
from flab_deploy.report.charts.measured import LATENCIES, latency_chart, retention_chart, robustness_chart
from flab_deploy.report.charts.style import Chart
from flab_deploy.report.run import Run

CHARTS: dict[str, tuple[str, Callable[[Run], Chart | None]]] = {
    "retention": ("How much quality was kept", retention_chart),
    "robustness": ("Quality when the task is put differently", robustness_chart),
    "cut": ("Where the cut came from", cut_chart),
    "candidates": ("Size against predicted damage", candidates_chart),
    "layers": ("Importance of each layer", layer_chart),
    "channels": ("Importance of feed-forward channels", channel_chart),
    "tokens": ("How often each token is used", token_chart),
    "recovery": ("Recovery training", recovery_chart),
    **{
        f"latency-{stamp}": (words.capitalize(), partial(latency_chart, stamp=stamp))
        for stamp, words in LATENCIES.items()
    },
}
"""Title and drawing function by key."""


def draw_charts(run: Run) -> dict[str, Chart | None]:
    """Every chart by key; None where the run lacks the figures for it."""
    return {key: draw(run) for key, (_, draw) in CHARTS.items()}
