"""What was measured: retention, robustness and latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from flab_deploy.artifacts import Json
from flab_deploy.report.charts.style import COLORS, LOOKS, Chart, canvas, inline_svg, legend_above
from flab_deploy.report.quality import Retention, margin, quality_rows
from flab_deploy.report.run import Run, as_number, interval, mapping, numbers, pick
from flab_deploy.report.wording import percent, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES = {
    "ttft_ms_curve": "time to first token",
    "tpot_ms_curve": "time per output token",
    "e2el_ms_curve": "whole request",
}
_OFFSETS = {"original": -0.22, "pruned": 0.0, "recovered": 0.22}


def retention_chart(run: Run) -> Chart | None:
    """Share of the original's pass@1 kept before and after recovery; None without a comparison."""
    rows = [row for row in quality_rows(run) if row.pruned.kept.value is not None or row.recovered.kept.value is not None]
    if not rows:
        return None
    bound = margin(run)
    told = [f"{row.label}: {row.recovered.kept.text}" for row in rows]
    alt = f"Intervals of the share kept, against the bar of {100 * bound:.0f} %. After recovery: {'; '.join(told)}."
    with canvas(height=0.52 * len(rows) + 1.5) as (figure, (axes,)):
        for place, row in enumerate(rows):
            for model, found in (("pruned", row.pruned), ("recovered", row.recovered)):
                _interval(axes, place + 0.7 * _OFFSETS[model] - 0.07, _kept_percent(found), model, first=place == 0)
        axes.axvline(100, color=COLORS["muted"], linewidth=1.0)
        axes.axvline(100 * bound, color=COLORS["ink"], linewidth=1.2, linestyle=(0, (5, 3)))
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of the original's pass@1 kept (%)")
        legend_above(axes, 2)
        svg = inline_svg(figure, "retention", alt)
    return Chart(
        key="retention", title="How much quality was kept", alt=alt, svg=svg,
        caption=f"Points with their intervals; dashed: the bar of {100 * bound:.0f} %; thin line: as good as the "
        "original. A claim counts as shown only if the whole interval is right of the dashed line.",
        data=[
            {"set": row.label, "pruned": _kept_data(row.pruned), "recovered": _kept_data(row.recovered)} for row in rows
        ],
    )  # fmt: skip


_Point = tuple[float, float, float]


def _kept_percent(found: Retention) -> _Point | None:
    return _point(found.kept.value, found.kept.interval)


def _point(value: float | None, bounds: tuple[float, float] | None) -> _Point | None:
    if value is None:
        return None
    low, high = bounds or (value, value)
    return 100 * value, 100 * low, 100 * high


def _kept_data(found: Retention) -> Json:
    return {"kept": found.kept.value, "interval": list(found.kept.interval) if found.kept.interval else None}


def _interval(axes: Axes, height: float, point: _Point | None, model: str, *, first: bool) -> None:
    if point is None:
        return
    value, low, high = point
    look = LOOKS[model]
    axes.plot([low, high], [height, height], color=look.color, linewidth=1.8, solid_capstyle="butt")
    axes.plot([value], [height], color=look.color, marker=look.marker, markersize=6.5, linestyle="none",
              label=look.label if first else None)  # fmt: skip


def robustness_chart(run: Run) -> Chart | None:
    """Pass@1 under each perturbation for each model; None if no evaluation has robustness figures."""
    models = {model: mapping(run.get(f"evaluate-{model}", "robustness")) for model in _OFFSETS}
    models = {model: block for model, block in models.items() if block}
    if not models:
        return None
    names = list(dict.fromkeys(name for block in models.values() for name in mapping(block.get("perturbations"))))
    names.sort(key=lambda name: (_family(models, name), name))
    rows = ["as written", *names, "every wording"]
    alt = f"Pass@1 of {', '.join(models)} under {len(names)} rewordings. " + _robust_words(models)
    with canvas(height=0.46 * len(rows) + 1.4) as (figure, (axes,)):
        for place, name in enumerate(rows):
            for model, block in models.items():
                _interval(axes, place + _OFFSETS[model], _robust_point(block, name), model, first=place == 0)
            if place % 2:
                axes.axhspan(place - 0.5, place + 0.5, color=COLORS["grid"], alpha=0.35, linewidth=0)
        axes.set_yticks(range(len(rows)), [_row_label(models, name) for name in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("pass@1 (% of problems)")
        legend_above(axes, 3)
        svg = inline_svg(figure, "robustness", alt)
    return Chart(
        key="robustness", title="Quality when the task is put differently", alt=alt, svg=svg,
        caption="Each rewording keeps the task's meaning: the right answer still passes. `As written` is the plain "
        "prompt; `every wording` counts a problem only if it is solved in all of them.",
        data=cast("Json", models),
    )  # fmt: skip


def _family(models: dict[str, dict[str, Json]], name: str) -> str:
    found = [pick(block, "perturbations", name, "family") for block in models.values()]
    return next((text for text in found if isinstance(text, str)), "")


def _row_label(models: dict[str, dict[str, Json]], name: str) -> str:
    family = _family(models, name)
    words = name.replace("_", " ")
    return f"{words} ({family.replace('_', ' ')})" if family and family != name else words


def _robust_point(block: dict[str, Json], name: str) -> _Point | None:
    if name == "as written":
        return _point(as_number(block.get("nominal_pass_at_1")), None)
    if name == "every wording":
        return _point(as_number(block.get("robust_pass_at_1")), interval(block.get("interval")))
    found = pick(block, "perturbations", name)
    return _point(as_number(pick(found, "pass_at_1")), interval(pick(found, "interval")))


def _robust_words(models: dict[str, dict[str, Json]]) -> str:
    values = {model: as_number(block.get("robust_pass_at_1")) for model, block in models.items()}
    told = [f"{model} {percent(value)}" for model, value in values.items() if value is not None]
    return f"In every wording: {', '.join(told)}." if told else ""


def latency_chart(run: Run) -> Chart | None:
    """Quantile curves of the three latencies for both models; None without a load test."""
    models = {model: mapping(run.get("bench", "models", model)) for model in ("original", "slimmed")}
    curves = {key: {model: _curve(block.get(key)) for model, block in models.items()} for key in _CURVES}
    if not any(points for curve in curves.values() for points in curve.values()):
        return None
    alt = "Rising curves of latency over the share of requests. Medians: " + _medians(models)
    with canvas(width=10.8, height=3.7, columns=len(_CURVES)) as (figure, panels):
        for axes, (key, label) in zip(panels, _CURVES.items(), strict=True):
            _latency_panel(axes, curves[key], label)
        legend_above(panels[0], 2)
        svg = inline_svg(figure, "latency", alt)
    return Chart(
        key="latency", title="Latency under load", alt=alt, svg=svg, data=cast("Json", curves),
        caption="Read up from a share of requests to the time within which they were served; lower is better. Times "
        "count from the moment a request was due, so waiting is part of them.",
    )  # fmt: skip


def _curve(value: Json) -> list[list[float]]:
    found = [numbers(point) for point in value] if isinstance(value, list) else []
    return [point for point in found if len(point) == 2]


def _latency_panel(axes: Axes, curves: dict[str, list[list[float]]], label: str) -> None:
    for model, points in curves.items():
        look = LOOKS[model]
        axes.plot([100 * p[0] for p in points], [p[1] for p in points], color=look.color, linestyle=look.line,
                  linewidth=2.0, label=look.label)  # fmt: skip
    times = [p[1] for points in curves.values() for p in points]
    if times and min(times) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: significant(value, 2)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of requests (%)")
    axes.set_ylabel(f"{label} (ms)")


def _medians(models: dict[str, dict[str, Json]]) -> str:
    told = []
    for stamp, words in (("ttft", "first token"), ("tpot", "per output token"), ("e2el", "whole request")):
        values = [(model, as_number(block.get(f"p50_{stamp}_ms"))) for model, block in models.items()]
        parts = [f"{model} {significant(value)} ms" for model, value in values if value is not None]
        told += [f"{words} {', '.join(parts)}"] if parts else []
    return "; ".join(told) + "."
