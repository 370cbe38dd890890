"""What was measured: retention, robustness and latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flab_deploy.artifacts import Json
from flab_deploy.report.charts.style import (
    COLORS,
    LOOKS,
    Chart,
    canvas,
    inline_svg,
    legend_above,
    scale_y,
)
from flab_deploy.report.quality import KeptShare, margin, quality_rows
from flab_deploy.report.run import Run, as_number, interval, mapping, numbers, pick
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


def retention_chart(run: Run) -> Chart | None:
    """Share of the original's pass@1 kept before and after recovery; None without a comparison."""
    rows = [
        row
        for row in quality_rows(run)
        if row.pruned.kept.value is not None or row.recovered.kept.value is not None
    ]
    if not rows:
        return None
    bound = margin(run)
    told = [f"{row.label}: {getattr(row, run.final).kept.text}" for row in rows]
    alt = (
        f"Intervals of the share kept, against the bar of {100 * bound:.0f} %; {run.final}: "
        f"{'; '.join(told)}."
    )
    beside = mapping(run.get("evaluate-original", "robustness", "perturbations"))
    with canvas(height=max(_robustness_height(len(beside)), 0.52 * len(rows) + 1.5)) as (
        figure,
        axes,
    ):
        for place, row in enumerate(rows):
            for model, found in (("pruned", row.pruned), ("recovered", row.recovered)):
                _interval(
                    axes,
                    place + 0.7 * _OFFSETS[model] - 0.07,
                    _kept_percent(found),
                    model,
                    first=place == 0,
                )
        axes.axvline(100, color=COLORS["muted"], linewidth=1.0)
        axes.axvline(100 * bound, color=COLORS["ink"], linewidth=1.2, linestyle=(0, (5, 3)))
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of the original's pass@1 kept (%)")
        legend_above(axes, 2)
        svg = inline_svg(figure, "retention", alt)
    return Chart(
        key="retention",
        title="How much quality was kept",
        alt=alt,
        svg=svg,
        caption=f"Points with their intervals; dashed: the bar of {100 * bound:.0f} %; thin "
        "line: as good as the "
        "original. The further right of the dashed line an interval lies, the surer the claim.",
        data=[
            {
                "set": row.label,
                "pruned": _kept_data(row.pruned),
                "recovered": _kept_data(row.recovered),
            }
            for row in rows
        ],
    )


_Point = tuple[float, float, float]


def _kept_percent(found: KeptShare) -> _Point | None:
    return _point(found.kept.value, found.kept.interval)


def _point(value: float | None, bounds: tuple[float, float] | None) -> _Point | None:
    if value is None:
        return None
    low, high = bounds or (value, value)
    return 100 * value, 100 * low, 100 * high


def _kept_data(found: KeptShare) -> Json:
    return {
        "kept": found.kept.value,
        "interval": list(found.kept.interval) if found.kept.interval else None,
    }


def _interval(axes: Axes, height: float, point: _Point | None, model: str, *, first: bool) -> None:
    if point is None:
        return
    value, low, high = point
    look = LOOKS[model]
    axes.plot([low, high], [height, height], color=look.color, linewidth=1.8, solid_capstyle="butt")
    axes.plot(
        [value],
        [height],
        color=look.color,
        marker=look.marker,
        markersize=6.5,
        linestyle="none",
        label=look.label if first else None,
    )


def robustness_chart(run: Run) -> Chart | None:
    """Pass@1 under each perturbation for each model; None if no evaluation has robustness
    figures.
    """
    models = {model: mapping(run.get(f"evaluate-{model}", "robustness")) for model in _OFFSETS}
    models = {model: block for model, block in models.items() if block}
    if not models:
        return None
    names = list(
        dict.fromkeys(
            name for block in models.values() for name in mapping(block.get("perturbations"))
        )
    )
    names.sort(key=lambda name: (_family(models, name), name))
    rows = [_PLAIN, *names, _ALL, _EVERY]
    alt = (
        f"Pass@1 of {', '.join(models)} under {len(names)} ways of putting it differently. "
        + _robust_words(models)
    )
    with canvas(height=_robustness_height(len(names))) as (figure, axes):
        for place, name in enumerate(rows):
            for model, block in models.items():
                _interval(
                    axes,
                    place + _OFFSETS[model],
                    _robust_point(block, name),
                    model,
                    first=place == 0,
                )
            if place % 2:
                axes.axhspan(
                    place - 0.5, place + 0.5, color=COLORS["grid"], alpha=0.35, linewidth=0
                )
        axes.set_yticks(range(len(rows)), [_row_label(models, name) for name in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("pass@1 (% of problems)")
        legend_above(axes, 3, right=True)
        svg = inline_svg(figure, "robustness", alt)
    return Chart(
        key="robustness",
        title="Quality when the task is put differently",
        alt=alt,
        svg=svg,
        caption="The right answer still passes after every change. “As written” is the plain "
        "prompt of the same tasks; "
        "“right in all of them” counts a task only if it is solved each time. Probes stay out "
        "of the last two.",
        data=cast("Json", models),
    )


_PLAIN, _ALL, _EVERY = "as written", "all together", "right in all of them"


def _robustness_height(num_perturbations: int) -> float:
    return 0.4 * (num_perturbations + 3) + 1.3


def _family(models: dict[str, dict[str, Json]], name: str) -> str:
    found = [pick(block, "perturbations", name, "family") for block in models.values()]
    return next((text for text in found if isinstance(text, str)), "")


def _row_label(models: dict[str, dict[str, Json]], name: str) -> str:
    family = _family(models, name)
    words = name.replace("_", " ")
    probe = any(pick(block, "perturbations", name, "probe") is True for block in models.values())
    notes = [
        note
        for note in (family.replace("_", " "), "probe" if probe else "")
        if note and note != words
    ]
    return f"{words} ({', '.join(notes)})" if notes else words


def _robust_point(block: dict[str, Json], name: str) -> _Point | None:
    if name == _PLAIN:
        return _point(as_number(block.get("nominal_pass_at_1")), None)
    if name == _EVERY:
        return _point(as_number(block.get("worst_case_pass_at_1")), None)
    if name == _ALL:
        return _point(as_number(block.get("robust_pass_at_1")), interval(block.get("interval")))
    found = pick(block, "perturbations", name)
    return _point(as_number(pick(found, "pass_at_1")), interval(pick(found, "interval")))


def _robust_words(models: dict[str, dict[str, Json]]) -> str:
    values = {model: as_number(block.get("robust_pass_at_1")) for model, block in models.items()}
    told = [f"{model} {percent(value)}" for model, value in values.items() if value is not None]
    return f"Over all of them: {', '.join(told)}." if told else ""


def latency_chart(run: Run, stamp: str) -> Chart | None:
    """Quantile curves of one latency (`ttft`, `tpot` or `e2el`) for both models; None without a
    load test.
    """
    models = {
        model: mapping(run.get("bench", "models", model)) for model in ("original", "slimmed")
    }
    curves = {model: _curve(block.get(f"{stamp}_ms_curve")) for model, block in models.items()}
    if not any(curves.values()):
        return None
    words = LATENCIES[stamp]
    alt = (
        f"Rising curves of the {words} over the share of requests. Medians: "
        f"{_medians(models, stamp)}."
    )
    with canvas(height=3.2, width=4.4) as (figure, axes):
        for model, points in curves.items():
            look = LOOKS[model]
            axes.plot(
                [100 * p[0] for p in points],
                [p[1] for p in points],
                color=look.color,
                linestyle=look.line,
                linewidth=2.0,
                label=look.label,
            )
        scale_y(axes, [p[1] for points in curves.values() for p in points])
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of requests (%)")
        axes.set_ylabel(f"{words} (ms)")
        legend_above(axes, 2)
        svg = inline_svg(figure, f"latency-{stamp}", alt)
    return Chart(
        key=f"latency-{stamp}",
        title=words.capitalize(),
        alt=alt,
        svg=svg,
        data=cast("Json", curves),
        caption="Read up from a share of requests to the time within which they were served.",
    )


def _curve(value: Json) -> list[list[float]]:
    found = [numbers(point) for point in value] if isinstance(value, list) else []
    return [point for point in found if len(point) == 2]


def _medians(models: dict[str, dict[str, Json]], stamp: str) -> str:
    values = [(model, as_number(block.get(f"p50_{stamp}_ms"))) for model, block in models.items()]
    return (
        ", ".join(
            f"{model} {significant(value)} ms" for model, value in values if value is not None
        )
        or "unavailable"
    )
