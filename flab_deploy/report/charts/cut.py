"""Where the cut came from, what other cuts were considered, and how recovery went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flab_deploy.records.report import CutData
from flab_deploy.report.charts.style import (
    COLORS,
    Drawing,
    legend_above,
    plot,
    scale_y,
    whole_numbers,
)
from flab_deploy.report.run import RunContents
from flab_deploy.report.verdict import removed_by
from flab_deploy.wording.numbers import millions, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 12
_PARTS = {
    "vocabulary": "vocabulary",
    "layers": "layers",
    "ffn": "feed-forward\nchannels",
    "heads": "attention\nheads",
    "experts": "experts",
}


def cut_chart(run: RunContents) -> Drawing | None:
    """Parameters from the original to the slimmed model, step by step; None without a plan."""
    if run.plan is None:
        return None
    before, after = run.plan.before.num_parameters, run.plan.after.num_parameters
    removed = removed_by(run.plan)
    steps = [(label, removed[key]) for key, label in _PARTS.items()]
    steps = [*steps[:3], *((label, size) for label, size in steps[3:] if size)]
    words = ", ".join(f"{millions(size)} from {label}".replace("\n", " ") for label, size in steps)
    scale, unit = (1e9, "billions") if before >= 1e9 else (1e6, "millions")

    def draw(axes: Axes) -> None:
        bars = [("original", 0, before, COLORS["original"], "")]
        level = before
        for label, size in steps:
            level -= size
            bars.append((label, level, size, COLORS["pruned"], f"−{100 * size / before:.1f} %"))
        change = f"−{100 * (1 - after / before):.1f} %"
        bars.append(("slimmed", 0, after, COLORS["slimmed"], change))
        for place, (_, left, size, color, note) in enumerate(bars):
            axes.barh(place, size / scale, left=left / scale, color=color, height=0.62)
            text = significant(size / scale) + (f" ({note})" if note else "")
            end = ((left + size) / scale, place)
            axes.annotate(text, end, (5, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(bars)), [bar[0] for bar in bars])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.28 * before / scale)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"parameters ({unit})")

    return Drawing(
        alt=f"Bars: the original has {millions(before)} parameters; the cut takes {words}; "
        f"{millions(after)} remain.",
        caption="Each orange bar is what one kind of cut removed; shares are of the original.",
        data=CutData(before=before, after=after, contribution=run.plan.contribution),
        draw=draw,
    )


def candidates_chart(run: RunContents) -> Drawing | None:
    """Every cut the planner considered, by layers kept and predicted damage; None without
    candidates.
    """
    plan = run.plan
    if plan is None or not plan.candidates:
        return None
    points = [(found.num_layers, found.kl_nats) for found in plan.candidates]
    chosen = (plan.after.num_hidden_layers, plan.predicted_kl_nats)

    def draw(axes: Axes) -> None:
        hollow = {"marker": "o", "markersize": 6.5, "markerfacecolor": "none", "linestyle": "none"}
        solid = {"marker": "s", "markersize": 8, "linestyle": "none"}
        plot(axes, points, color=COLORS["original"], label="considered", **hollow)
        plot(axes, [chosen], color=COLORS["slimmed"], label="chosen", **solid)
        if len({layers for layers, _ in points}) == len(points) <= _MOST_NAMED:
            for found in plan.candidates:
                axes.annotate(
                    str(found.intermediate_size),
                    (found.num_layers, found.kl_nats),
                    (0, 8),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8.5,
                    color=COLORS["muted"],
                )
        scale_y(axes, [damage for _, damage in points])
        axes.margins(0.13)
        whole_numbers(axes, "layers kept (count)")
        axes.set_ylabel("predicted KL divergence\n(nats per token)")
        legend_above(axes, 2)

    return Drawing(
        alt=f"Points: predicted divergence of {len(points)} cuts by layers kept; the chosen one "
        f"keeps {chosen[0]}.",
        caption="Cuts that meet the size budget, before recovery; lower is closer to the "
        "original's predictions. Numbers beside the points are feed-forward channels per layer.",
        data=plan.candidates,
        draw=draw,
    )


def recovery_chart(run: RunContents) -> Drawing | None:
    """Training loss of the recovery; None if it was not run or kept no curve."""
    if run.recovered is None or not run.recovered.loss_curve:
        return None
    curve = run.recovered.loss_curve
    (_, first), (steps, last) = curve[0], curve[-1]

    def draw(axes: Axes) -> None:
        plot(axes, curve, color=COLORS["slimmed"], linewidth=1.6)
        whole_numbers(axes, "training step (count)")
        axes.set_ylabel("loss on answers (nats per token)")
        axes.set_ylim(bottom=0)

    return Drawing(
        alt=f"Line: the loss goes from {significant(first)} to {significant(last)} in {steps} "
        "steps.",
        caption="Loss of the pruned model while it is trained again; it counts the answers alone.",
        data=curve,
        draw=draw,
    )
