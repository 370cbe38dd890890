"""A scatter plot as one SVG text without scripts, fonts or outside references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 190, 46, 56
# Told apart by shape as well as by colour.
_COLORS = ("#0b5fcc", "#b4500f", "#3f7d20", "#8a3ffc", "#8d6a00", "#b0175f", "#56606e")
_MARKS = (
    "M-5 -5H5V5H-5Z",
    "M0 -6L6 5H-6Z",
    "M0 -6L6 0L0 6L-6 0Z",
    "M0 6L6 -5H-6Z",
    "M-6 -1.5H-1.5V-6H1.5V-1.5H6V1.5H1.5V6H-1.5V1.5H-6Z",
    "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z",
    "M-6 -6L6 6M6 -6L-6 6",
)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together."""

    label: str
    points: tuple[tuple[float, float], ...]
    joined: bool = False
    """Whether a line runs through the points in their order."""
    intervals: tuple[tuple[float, float], ...] = ()
    """For each point the low and high end of its interval along y; () for none."""


@dataclass(frozen=True, kw_only=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def scatter_svg(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """The drawing; axes are linear, x from its least value and y from 0 where all values are
    positive.
    """
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points] + [
        y for one in series for ends in one.intervals for y in ends
    ]
    x = _scale(xs, _LEFT, _WIDTH - _RIGHT, zero=False)
    y = _scale(ys, _HEIGHT - _BOTTOM, _TOP, zero=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="16">{escape(title)}</text>',
        *_axes(x, y, x_label, y_label),
    ]
    for index, one in enumerate(series):
        parts += _drawn(one, x, y, index)
    return "\n".join([*parts, "</svg>", ""])


def _scale(values: Sequence[float], start: float, end: float, *, zero: bool) -> _Scale:
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(low, 0.0) if zero else low
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return _Scale(low=low if zero else low - margin, high=high + margin, start=start, end=end)


def _ticks(scale: _Scale) -> list[float]:
    rough = (scale.high - scale.low) / 5
    unit = 10 ** floor(log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first = -(-scale.low // step) * step
    return [first + step * at for at in range(int((scale.high - first) // step) + 1)]


def _axes(x: _Scale, y: _Scale, x_label: str, y_label: str) -> list[str]:
    parts = []
    for value in _ticks(x):
        at = f"{x.at(value):.1f}"
        parts.append(f'<path d="M{at} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#d9dee5"/>')
        parts.append(
            f'<text x="{at}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{value:.6g}</text>'
        )
    for value in _ticks(y):
        at = f"{y.at(value):.1f}"
        parts.append(f'<path d="M{_LEFT} {at}H{_WIDTH - _RIGHT}" stroke="#d9dee5"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at}" dy="4" text-anchor="end">{value:.6g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(x_label)}</text>'
    )
    height = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f'transform="rotate(-90 18 {height})"'
    parts.append(
        f'<text x="18" y="{height}" text-anchor="middle" {turned}>{escape(y_label)}</text>'
    )
    return parts


def _drawn(one: Series, x: _Scale, y: _Scale, index: int) -> list[str]:
    color, mark = _COLORS[index % len(_COLORS)], _MARKS[index % len(_MARKS)]
    places = [(x.at(px), y.at(py)) for px, py in one.points]
    parts = []
    if one.joined and places:
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    for (px, _), (low, high) in zip(places, one.intervals, strict=False):
        parts.append(
            f'<path d="M{px:.1f} {y.at(low):.1f}V{y.at(high):.1f}" stroke="{color}" '
            'stroke-opacity="0.5"/>'
        )
    style = f'd="{mark}" fill="{color}" fill-opacity="0.75" stroke="{color}"'
    parts += [f'<path {style} transform="translate({px:.1f} {py:.1f})"/>' for px, py in places]
    row = _TOP + 22 * index
    parts.append(f'<path {style} transform="translate({_WIDTH - _RIGHT + 18} {row})"/>')
    parts.append(f'<text x="{_WIDTH - _RIGHT + 32}" y="{row}" dy="4">{escape(one.label)}</text>')
    return parts
