"""What was measured: retention, robustness and latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flab_deploy.records.bench import LatencyFigures, ServedModel
from flab_deploy.records.evaluate import Interval, RobustnessRecord
from flab_deploy.records.report import KeptPoint, KeptShare, QualityRow, RetentionPoint
from flab_deploy.report.charts.style import COLORS, LOOKS, Drawing, legend_above, plot, scale_y
from flab_deploy.report.quality import margin, quality_rows
from flab_deploy.report.rows import SIDES, served
from flab_deploy.report.run import RunContents
from flab_deploy.wording.numbers import percent, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LATENCIES = {
    "ttft": "time to first token",
    "tpot": "time per output token",
    "e2el": "time of the whole request",
}
"""Latencies of a load test, by their short names."""
_OFFSETS = {"original": -0.22, "pruned": 0.0, "recovered": 0.22}
_PLAIN, _ALL, _EVERY = "as written", "all together", "right in all of them"
_Point = tuple[float, Interval]


def retention_chart(run: RunContents) -> Drawing | None:
    """Share of the original's pass@1 kept before and after recovery; None without a comparison."""
    rows = [
        row
        for row in quality_rows(run)
        if row.pruned.kept.value is not None or row.recovered.kept.value is not None
    ]
    if not rows:
        return None
    bar, beside = f"{100 * margin(run):.0f} %", run.evaluate_original
    told = [f"{row.label}: {_shares(row)[run.final].kept.text}" for row in rows]
    num_perturbations = len(beside.robustness.perturbations) if beside else 0

    def draw(axes: Axes) -> None:
        for place, row in enumerate(rows):
            for model, found in _shares(row).items():
                height = place + 0.7 * _OFFSETS[model] - 0.07
                point = _point(found.kept.value, found.kept.interval)
                _interval(axes, height, point, model, first=place == 0)
        axes.axvline(100, color=COLORS["muted"], linewidth=1.0)
        dashed = (0, (5, 3))
        axes.axvline(100 * margin(run), color=COLORS["ink"], linewidth=1.2, linestyle=dashed)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of the original's pass@1 kept (%)")
        legend_above(axes, 2)

    return Drawing(
        alt=f"Intervals of the share kept, against the bar of {bar}; {run.final}: "
        f"{'; '.join(told)}.",
        caption=f"Points with their intervals; dashed: the bar of {bar}; thin line: as good as the "
        "original. The further right of the dashed line an interval lies, the surer the claim.",
        data=tuple(
            RetentionPoint(set=row.label, pruned=_kept(row.pruned), recovered=_kept(row.recovered))
            for row in rows
        ),
        draw=draw,
        height=max(_robustness_height(num_perturbations), 0.52 * len(rows) + 1.5),
    )


def _shares(row: QualityRow) -> dict[str, KeptShare]:
    return {"pruned": row.pruned, "recovered": row.recovered}


def _kept(found: KeptShare) -> KeptPoint:
    return KeptPoint(kept=found.kept.value, interval=found.kept.interval)


def _point(value: float | None, bounds: Interval | None) -> _Point | None:
    return None if value is None else (value, bounds or (value, value))


def _interval(axes: Axes, height: float, point: _Point | None, model: str, *, first: bool) -> None:
    if point is None:
        return
    value, (low, high) = point
    look = LOOKS[model]
    line = [(100 * low, height), (100 * high, height)]
    plot(axes, line, color=look.color, linewidth=1.8, solid_capstyle="butt")
    label = look.label if first else None
    dot = {"marker": look.marker, "markersize": 6.5, "linestyle": "none"}
    plot(axes, [(100 * value, height)], color=look.color, label=label, **dot)


def robustness_chart(run: RunContents) -> Drawing | None:
    """Pass@1 under each perturbation for each model; None if nothing was evaluated."""
    models = {model: found.robustness for model, found in run.evaluations.items()}
    if not models:
        return None
    found = {name: one for block in models.values() for name, one in block.perturbations.items()}
    labels = {name: _label(name, one.family, probe=one.probe) for name, one in found.items()}
    families = {
        name: found.family
        for block in models.values()
        for name, found in block.perturbations.items()
    }
    names = sorted(labels, key=lambda name: (families[name], name))
    rows = [_PLAIN, *names, _ALL, _EVERY]

    def draw(axes: Axes) -> None:
        for place, name in enumerate(rows):
            for model, block in models.items():
                point = _robust_point(block, name)
                _interval(axes, place + _OFFSETS[model], point, model, first=place == 0)
            if place % 2:
                ends, shade = (place - 0.5, place + 0.5), COLORS["grid"]
                axes.axhspan(*ends, color=shade, alpha=0.35, linewidth=0)
        axes.set_yticks(range(len(rows)), [labels.get(name, name) for name in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("pass@1 (% of problems)")
        legend_above(axes, 3, right=True)

    return Drawing(
        alt=f"Pass@1 of {', '.join(models)} under {len(names)} ways of putting it differently. "
        + _robust_words(models),
        caption="The right answer still passes after every change. “As written” is the plain "
        "prompt of the same tasks; “right in all of them” counts a task only if it is solved each "
        "time. Probes stay out of the last two.",
        data=models,
        draw=draw,
        height=_robustness_height(len(names)),
    )


def _robustness_height(num_perturbations: int) -> float:
    return 0.4 * (num_perturbations + 3) + 1.3


def _label(name: str, family: str, *, probe: bool) -> str:
    words = name.replace("_", " ")
    notes = [family.replace("_", " "), "probe" if probe else ""]
    told = ", ".join(note for note in notes if note and note != words)
    return f"{words} ({told})" if told else words


def _robust_point(block: RobustnessRecord, name: str) -> _Point | None:
    if name == _PLAIN:
        return _point(block.nominal_pass_at_1, None)
    if name == _EVERY:
        return _point(block.worst_case_pass_at_1, None)
    if name == _ALL:
        return _point(block.robust_pass_at_1, block.interval)
    found = block.perturbations.get(name)
    return _point(found.pass_at_1, found.interval) if found else None


def _robust_words(models: Mapping[str, RobustnessRecord]) -> str:
    values = {model: block.robust_pass_at_1 for model, block in models.items()}
    told = [f"{model} {percent(value)}" for model, value in values.items() if value is not None]
    return f"Over all of them: {', '.join(told)}." if told else ""


def latency_chart(run: RunContents, stamp: str) -> Drawing | None:
    """Quantile curves of one latency (`ttft`, `tpot` or `e2el`) for both models; None without a
    load test, or if neither model answered enough requests.
    """
    models = {side: _latency(served(run.bench, side), stamp) for side in SIDES} if run.bench else {}
    curves = {side: found.curve for side, found in models.items()}
    if not any(curves.values()):
        return None
    words = LATENCIES[stamp]
    medians = [
        f"{side} {significant(found.p50.ms)} ms"
        for side, found in models.items()
        if found.p50.ms is not None
    ]

    def draw(axes: Axes) -> None:
        for side, points in curves.items():
            look = LOOKS[side]
            line = {"color": look.color, "linestyle": look.line, "linewidth": 2.0}
            plot(axes, [(100 * share, ms) for share, ms in points], label=look.label, **line)
        scale_y(axes, [ms for points in curves.values() for _, ms in points])
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of requests (%)")
        axes.set_ylabel(f"{words} (ms)")
        legend_above(axes, 2)

    return Drawing(
        alt=f"Rising curves of the {words} over the share of requests. Medians: "
        f"{', '.join(medians) or 'unavailable'}.",
        caption="Read up from a share of requests to the time within which they were served.",
        data=curves,
        draw=draw,
        height=3.2,
        width=4.4,
    )


def _latency(model: ServedModel, stamp: str) -> LatencyFigures:
    return {"ttft": model.ttft, "tpot": model.tpot, "e2el": model.e2el}[stamp]
