"""The report's charts in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flab_deploy.report.charts.cut import candidates_chart, cut_chart, recovery_chart
from flab_deploy.report.charts.importance import channel_chart, layer_chart, token_chart
from flab_deploy.report.charts.measured import (
    LATENCIES,
    latency_chart,
    retention_chart,
    robustness_chart,
)
from flab_deploy.report.charts.style import Chart
from flab_deploy.report.run import Run

CHARTS: dict[str, tuple[str, tuple[str, ...], Callable[[Run], Chart | None]]] = {
    "retention": ("How much quality was kept", ("compare-recovered",), retention_chart),
    "robustness": (
        "Quality when the task is put differently",
        ("evaluate-original",),
        robustness_chart,
    ),
    "cut": ("Where the cut came from", ("plan",), cut_chart),
    "candidates": ("Ways to make the cut", ("plan",), candidates_chart),
    "layers": ("Importance of each layer", ("scores",), layer_chart),
    "channels": ("Importance of feed-forward channels", ("scores",), channel_chart),
    "tokens": ("How often each token is used", ("scores",), token_chart),
    "recovery": ("Recovery training", ("recovered",), recovery_chart),
    **{
        f"latency-{stamp}": (words.capitalize(), ("bench",), partial(latency_chart, stamp=stamp))
        for stamp, words in LATENCIES.items()
    },
}
"""Title, stages it is drawn from, and drawing function by key."""


def draw_charts(run: Run) -> dict[str, Chart | None]:
    """Every chart by key; None where the run lacks the figures for it."""
    return {key: draw(run) for key, (_, _, draw) in CHARTS.items()}
