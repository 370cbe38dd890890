"""Where the cut came from, what other cuts were considered, and how recovery went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from flab_deploy.report.charts.style import COLORS, Chart, canvas, inline_svg, legend_above, scale_y
from flab_deploy.report.run import Run, as_number, numbers, objects, pick
from flab_deploy.wording.numbers import millions, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 12
_PARTS = {"vocabulary": "vocabulary", "layers": "layers", "ffn": "feed-forward\nchannels"}
_OPTIONAL_PARTS = {"heads": "attention\nheads", "experts": "experts"}


def cut_chart(run: Run) -> Chart | None:
    """Parameters from the original to the slimmed model, step by step; None without a plan."""
    before, after = (run.number("plan", when, "num_parameters") for when in ("before", "after"))
    if before is None or after is None:
        return None
    steps = [
        (label, run.number("plan", "contribution", key) or 0.0) for key, label in _PARTS.items()
    ]
    more = [
        (label, run.number("plan", "contribution", key) or 0.0)
        for key, label in _OPTIONAL_PARTS.items()
    ]
    steps += [(label, size) for label, size in more if size]
    words = ", ".join(f"{millions(size)} from {label}".replace("\n", " ") for label, size in steps)
    alt = (
        f"Bars: the original has {millions(before)} parameters; the cut takes {words}; "
        f"{millions(after)} remain."
    )
    with canvas() as (figure, axes):
        scale, unit = (1e9, "billions") if before >= 1e9 else (1e6, "millions")
        rows = [("original", 0.0, before, COLORS["original"], "")]
        level = before
        for label, size in steps:
            rows.append(
                (label, level - size, size, COLORS["pruned"], f"−{100 * size / before:.1f} %")
            )
            level -= size
        rows.append(
            ("slimmed", 0.0, after, COLORS["slimmed"], f"−{100 * (1 - after / before):.1f} %")
        )
        for place, (_, left, size, color, note) in enumerate(rows):
            axes.barh(place, size / scale, left=left / scale, color=color, height=0.62)
            text = significant(size / scale) + (f" ({note})" if note else "")
            axes.annotate(
                text,
                ((left + size) / scale, place),
                (5, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.28 * before / scale)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"parameters ({unit})")
        svg = inline_svg(figure, "cut", alt)
    return Chart(
        key="cut",
        title="Where the cut came from",
        alt=alt,
        svg=svg,
        caption="Each orange bar is what one kind of cut removed; shares are of the original.",
        data={
            "before": before,
            "after": after,
            "contribution": pick(run.get("plan", "contribution")),
        },
    )


def candidates_chart(run: Run) -> Chart | None:
    """Every cut the planner considered, by layers kept and predicted damage; None without
    candidates.
    """
    names = ("num_layers", "kl_nats", "intermediate_size")
    rows = [
        [as_number(found.get(name)) for name in names]
        for found in objects(run.get("plan", "candidates"))
    ]
    points = [
        (layers, damage, width)
        for layers, damage, width in rows
        if layers is not None and damage is not None
    ]
    if not points:
        return None
    chosen = (
        run.number("plan", "after", "num_hidden_layers"),
        run.number("plan", "predicted_kl_nats"),
    )
    alt = f"Points: predicted divergence of {len(points)} cuts by layers kept"
    alt += f"; the chosen one keeps {chosen[0]:.0f}." if chosen[0] is not None else "."
    with canvas() as (figure, axes):
        axes.plot(
            [p[0] for p in points],
            [p[1] for p in points],
            linestyle="none",
            marker="o",
            markersize=6.5,
            markerfacecolor="none",
            color=COLORS["original"],
            label="considered",
        )
        if chosen[0] is not None and chosen[1] is not None:
            axes.plot(
                chosen[0],
                chosen[1],
                color=COLORS["slimmed"],
                marker="s",
                markersize=8,
                linestyle="none",
                label="chosen",
            )
        if len({p[0] for p in points}) == len(points) <= _MOST_NAMED:
            _name_widths(axes, points)
        scale_y(axes, [p[1] for p in points])
        axes.margins(0.13)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("layers kept (count)")
        axes.set_ylabel("predicted KL divergence\n(nats per token)")
        legend_above(axes, 2)
        svg = inline_svg(figure, "candidates", alt)
    return Chart(
        key="candidates",
        title="Ways to make the cut",
        alt=alt,
        svg=svg,
        data=run.get("plan", "candidates"),
        caption="Cuts that meet the size budget, before recovery; lower is closer to the "
        "original's predictions. "
        "Numbers beside the points are feed-forward channels per layer.",
    )


def _name_widths(axes: Axes, points: Sequence[tuple[float, float, float | None]]) -> None:
    for layers, damage, width in points:
        if width is not None:
            axes.annotate(
                f"{width:.0f}",
                (layers, damage),
                (0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=COLORS["muted"],
            )


def recovery_chart(run: Run) -> Chart | None:
    """Training loss of the recovery; None if it was not run or kept no curve."""
    recovered = run.artifacts.get("recovered")
    curve = pick(recovered.figures, "loss_curve") if recovered else None
    pairs = [numbers(point) for point in curve] if isinstance(curve, list) else []
    pairs = [pair for pair in pairs if len(pair) == 2]
    if not pairs:
        return None
    first, last = pairs[0], pairs[-1]
    alt = (
        f"Line: the loss goes from {significant(first[1])} to {significant(last[1])} in "
        f"{last[0]:.0f} steps."
    )
    with canvas() as (figure, axes):
        axes.plot(
            [p[0] for p in pairs], [p[1] for p in pairs], color=COLORS["slimmed"], linewidth=1.6
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("training step (count)")
        axes.set_ylabel("loss on answers (nats per token)")
        axes.set_ylim(bottom=0)
        svg = inline_svg(figure, "recovery", alt)
    return Chart(
        key="recovery",
        title="Recovery training",
        alt=alt,
        svg=svg,
        data=curve,
        caption="Loss of the pruned model while it is trained again; it counts the answers alone.",
    )
