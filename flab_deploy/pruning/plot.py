"""A scatter plot as one SVG text: no scripts, no outside references, the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

_SIZE_INCHES = (7.2, 4.4)
# Series differ by shape as well as by colour.
_COLORS = ("#0b5fcc", "#b4500f", "#3f7d20", "#8a3ffc", "#8d6a00", "#b0175f", "#56606e")
_MARKERS = ("s", "^", "D", "v", "P", "o", "X")
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "flab-deploy",  # names of elements are random without it
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine measures texts alike
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d9dee5",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together."""

    label: str
    points: tuple[tuple[float, float], ...]
    joined: bool = False
    """Whether a line runs through the points in their order."""
    intervals: tuple[tuple[float, float], ...] = ()
    """For each point the low and high end of its interval along y; () for none."""


def scatter_svg(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """The drawing; axes are linear, y starts at 0 where all values are positive."""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=_SIZE_INCHES)
        axes = figure.subplots()
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        lowest = 0.0
        for index, one in enumerate(series):
            color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
            x, y = [point[0] for point in one.points], [point[1] for point in one.points]
            line = "-" if one.joined else "none"
            axes.plot(x, y, color=color, marker=marker, linestyle=line, label=one.label, alpha=0.75)
            if one.intervals:
                low, high = zip(*one.intervals, strict=True)
                axes.vlines(x, low, high, color=color, alpha=0.5)
            lowest = min([lowest, *y, *(ends[0] for ends in one.intervals)])
        if lowest == 0:
            axes.set_ylim(bottom=0)
        figure.legend(loc="outside right upper")
        return _text_of(figure, title)


def _text_of(figure: Figure, title: str) -> str:
    stream = io.StringIO()
    without_date = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=without_date)
    text = stream.getvalue()
    labelled = f'<svg role="img" aria-label="{escape(title)}" '
    return text[text.index("<svg ") :].replace("<svg ", labelled, 1)
