"""Charts: how all of them look, and their way from matplotlib to inline SVG.

Colours are drawn as the light theme's values and then replaced by CSS variables, so that one
drawing serves both themes. Models differ by marker and line style too, never by colour alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")
_WIDTH = 5.6  # inches: text stays readable on a telephone and does not shout on a desk
_WIDE = 8.0  # a logarithmic axis over less than this factor would have too few labels

COLORS = {
    "ink": "#1b212b",
    "muted": "#5a6472",
    "grid": "#d9dee5",
    "surface": "#fffffe",
    "original": "#56606e",
    "pruned": "#b4500f",
    "slimmed": "#0b5fcc",
}
"""Name of the page's CSS variable, and the colour of the light theme that stands for it in a
drawing.
"""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one model is drawn everywhere."""

    label: str
    color: str
    marker: str
    line: str


LOOKS = {
    "original": Look(label="original", color=COLORS["original"], marker="o", line=(":")),
    "pruned": Look(label="pruned", color=COLORS["pruned"], marker="^", line="--"),
    "recovered": Look(label="recovered", color=COLORS["slimmed"], marker="s", line="-"),
    "slimmed": Look(label="slimmed", color=COLORS["slimmed"], marker="s", line="-"),
}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "flab-deploy",
    # comes with matplotlib, and is wider than what browsers put in its place
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.facecolor": "none",
    "axes.edgecolor": COLORS["muted"],
    "axes.labelcolor": COLORS["ink"],
    "axes.titlecolor": COLORS["ink"],
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["muted"],
    "ytick.color": COLORS["muted"],
    "xtick.labelcolor": COLORS["ink"],
    "ytick.labelcolor": COLORS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLORS["grid"],
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.8,
    "figure.constrained_layout.use": True,
}
_FONT = re.compile(r"font: ([0-9.]+px|[^;\"]*?[0-9.]+px) [^;\"]*")
_IDENTITY = re.compile(r'(\bid="|url\(#|href="#)')


@dataclass(frozen=True, kw_only=True)
class Drawing(Generic[T]):
    """One drawing with what it says."""

    alt: str
    """The drawing in words, for readers who cannot see it."""
    data: T = field(repr=False)
    """The figures drawn."""
    draw: Callable[[Axes], None] = field(repr=False)
    """Puts them on a pair of axes."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What its caption speaks of, by name."""
    height: float = 3.4
    """Inches, as the width."""
    width: float = _WIDTH

    def svg(self, key: str) -> str:
        """The drawing as an `<svg>` element: themed, without dates, outside references or ids
        shared between charts.
        """
        with matplotlib.rc_context(_SETTINGS):
            figure = Figure(figsize=(self.width, self.height))
            self.draw(figure.subplots())
            return _inline(figure, key, self.alt)


def _inline(figure: Figure, key: str, alt: str) -> str:
    buffer = io.StringIO()
    figure.patch.set_visible(False)
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    inside = body[body.index(">") + 1 :]
    inside = _IDENTITY.sub(rf"\g<1>{key}-", inside.replace("xlink:href", "href"))
    inside = _FONT.sub(r"font: \1 var(--font)", inside)
    for name, color in COLORS.items():
        inside = inside.replace(color, f"var(--{name})")
    width, height = (72 * side for side in figure.get_size_inches())
    head = (
        f'<svg class="drawing" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{_attribute(alt)}">'
    )
    return head + inside.strip()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def legend_above(axes: Axes, columns: int, *, right: bool = False, **more: Any) -> None:
    """Put the legend in a row above the axes, where it covers no data; `right` where wide labels
    leave less room.
    """
    place = {"loc": "lower right" if right else "lower left", "bbox_to_anchor": (float(right), 1.0)}
    axes.legend(ncols=columns, borderaxespad=0.2, **{"handlelength": 1.6, **place, **more})


def scale_y(axes: Axes, values: Sequence[float]) -> None:
    """Make the y axis logarithmic, with plain labels at 1, 2, 5, 10, if the values are positive and
    far apart.
    """
    if not values or min(values) <= 0 or max(values) < _WIDE * min(values):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        return
    axes.set_yscale("log")
    steps = (1.0, 2.0, 5.0) if max(values) < 1e3 * min(values) else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=steps, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def plot(axes: Axes, points: Sequence[tuple[float, float]], **look: Any) -> None:
    """Plot (x, y) pairs, which may be none."""
    axes.plot([x for x, _ in points], [y for _, y in points], **look)


def note(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any
) -> None:
    """Write a text beside a point, `offset` in points of print."""
    axes.annotate(text, at, offset, textcoords="offset points", **look)


def name_lines(axes: Axes, names: Sequence[str], label: str) -> None:
    """Make the y axis a list of names from the top down, and name the x axis."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)


def interval(
    axes: Axes,
    height: float,
    value: float | None,
    bounds: tuple[float, float] | None,
    look: Look,
    *,
    first: bool,
) -> None:
    """Draw a share as per cent with its interval, in the way of a model, if there is one; the
    first of a model is named in the legend.
    """
    if value is None:
        return
    ends = [(100 * bound, height) for bound in bounds or (value, value)]
    plot(axes, ends, color=look.color, linewidth=1.8, solid_capstyle="butt")
    dot = {"marker": look.marker, "markersize": 6.5, "linestyle": "none"}
    label = look.label if first else None
    plot(axes, [(100 * value, height)], color=look.color, label=label, **dot)


def log_steps(size: int, most: int) -> list[int]:
    """Numbers from 1 to `size`: all of them up to `most`, then evenly on a logarithmic scale."""
    if size <= most:
        return list(range(1, size + 1))
    return sorted({round(size ** (i / (most - 1))) for i in range(most)} | {1, size})


def whole_numbers(axes: Axes, label: str) -> None:
    """Make the x axis count something."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(label)
