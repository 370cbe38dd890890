"""What was measured: retention, robustness and latency."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes

from flab_deploy.records.bench import LatencyFigures, ServedModel
from flab_deploy.records.evaluate import Interval, PerturbationFigures, RobustnessRecord
from flab_deploy.records.report import ChartData, KeptPoint, RetentionPoint
from flab_deploy.report.quality import margin, quality_rows
from flab_deploy.report.rows import SIDES, served
from flab_deploy.report.run import MODELS, RunContents
from flab_deploy.wording.drawing import (
    COLORS,
    LOOKS,
    Drawing,
    interval,
    legend_above,
    name_lines,
    plot,
    scale_y,
)
from flab_deploy.wording.numbers import percent, significant

_LATENCIES: dict[str, tuple[str, Callable[[ServedModel], LatencyFigures]]] = {
    "ttft": ("time to first token", lambda model: model.ttft),
    "tpot": ("time per output token", lambda model: model.tpot),
    "e2el": ("time of the whole request", lambda model: model.e2el),
}
_OFFSETS = {"original": -0.22, "pruned": 0.0, "recovered": 0.22}
_PLAIN, _ALL, _EVERY = "as written", "all together", "right in all of them"
_Point = tuple[float | None, Interval | None]


def retention_chart(run: RunContents) -> Drawing[ChartData] | None:
    """Share of the original's pass@1 kept before and after recovery; None without a comparison."""
    shares = {row.label: (row.pruned.kept, row.recovered.kept) for row in quality_rows(run)}
    shares = {name: both for name, both in shares.items() if any(c.value is not None for c in both)}
    if not shares:
        return None
    bar, final, judged = margin(run), MODELS[1:].index(run.final), run.evaluate_original
    said = "; ".join(f"{name}: {both[final].text}" for name, both in shares.items())
    beside = _robustness_height(len(judged.robustness.perturbations) if judged else 0)

    def draw(axes: Axes) -> None:
        for place, both in enumerate(shares.values()):
            for model, cell in zip(MODELS[1:], both, strict=True):
                height = place + 0.7 * _OFFSETS[model] - 0.07
                look, first = LOOKS[model], place == 0
                interval(axes, height, cell.value, cell.interval, look, first=first)
        axes.axvline(100, color=COLORS["muted"], linewidth=1.0)
        axes.axvline(100 * bar, color=COLORS["ink"], linewidth=1.2, linestyle=(0, (5, 3)))
        name_lines(axes, list(shares), "share of the original's pass@1 kept (%)")
        axes.set_ylim(len(shares) - 0.5, -0.6)
        legend_above(axes, 2)

    points = [
        [KeptPoint(kept=c.value, interval=c.interval) for c in both] for both in shares.values()
    ]
    return Drawing(
        alt=f"Intervals of the share kept, against the bar of {100 * bar:.0f} %; {run.final}: "
        f"{said}.",
        facts={"bar": f"{100 * bar:.0f} %"},
        data=tuple(
            RetentionPoint(set=name, pruned=pruned, recovered=recovered)
            for name, (pruned, recovered) in zip(shares, points, strict=True)
        ),
        draw=draw,
        height=max(beside, 0.52 * len(shares) + 1.5),
    )


def robustness_chart(run: RunContents) -> Drawing[ChartData] | None:
    """Pass@1 under each perturbation for each model; None if nothing was evaluated."""
    models = {model: found.robustness for model, found in run.evaluations.items()}
    if not models:
        return None
    methods = {name: one for block in models.values() for name, one in block.perturbations.items()}
    names = sorted(methods, key=lambda name: (methods[name].family, name))
    lines = [_PLAIN, *names, _ALL, _EVERY]
    labels = [_label(name, methods[name]) if name in methods else name for name in lines]
    whole = [(model, block.robust_pass_at_1) for model, block in models.items()]
    said = ", ".join(f"{model} {percent(share)}" for model, share in whole if share is not None)

    def draw(axes: Axes) -> None:
        for place, name in enumerate(lines):
            for model, block in models.items():
                point, height = _robust_point(block, name), place + _OFFSETS[model]
                interval(axes, height, *point, LOOKS[model], first=place == 0)
            if place % 2:
                ends, shade = (place - 0.5, place + 0.5), COLORS["grid"]
                axes.axhspan(*ends, color=shade, alpha=0.35, linewidth=0)
        name_lines(axes, labels, "pass@1 (% of problems)")
        legend_above(axes, 3, right=True)

    return Drawing(
        alt=f"Pass@1 of {', '.join(models)} under {len(names)} ways of putting it differently. "
        + (f"Over all of them: {said}." if said else ""),
        data=models,
        draw=draw,
        height=_robustness_height(len(names)),
    )


def _robustness_height(num_perturbations: int) -> float:
    return 0.4 * (num_perturbations + 3) + 1.3


def _label(name: str, found: PerturbationFigures) -> str:
    words = name.replace("_", " ")
    notes = [found.family.replace("_", " "), "probe" if found.probe else ""]
    said = ", ".join(note for note in notes if note and note != words)
    return f"{words} ({said})" if said else words


def _robust_point(block: RobustnessRecord, name: str) -> _Point:
    if found := block.perturbations.get(name):
        return found.pass_at_1, found.interval
    whole = {_PLAIN: block.nominal_pass_at_1, _EVERY: block.worst_case_pass_at_1}
    return (block.robust_pass_at_1, block.interval) if name == _ALL else (whole.get(name), None)


def latency_chart(stamp: str, run: RunContents) -> Drawing[ChartData] | None:
    """Quantile curves of `ttft`, `tpot` or `e2el`; None without a load test or enough answers."""
    words, of = _LATENCIES[stamp]
    models = {side: of(served(run.bench, side)) for side in SIDES} if run.bench else {}
    curves = {side: found.curve for side, found in models.items()}
    if not any(curves.values()):
        return None
    middles = [(side, found.p50.ms) for side, found in models.items()]
    medians = ", ".join(f"{side} {significant(ms)} ms" for side, ms in middles if ms is not None)

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
        f"{medians or 'unavailable'}.",
        data=curves,
        draw=draw,
        height=3.2,
        width=4.4,
    )
