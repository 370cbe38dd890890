"""Where the cut came from, what other cuts were considered, and how recovery went."""

from __future__ import annotations

from matplotlib.ticker import MaxNLocator

from flab_deploy.report.charts.style import COLORS, Chart, canvas, inline_svg, legend_above, scale_y
from flab_deploy.report.run import Run, as_number, numbers, objects, pick
from flab_deploy.report.wording import millions, significant

_PARTS = {"vocabulary": "vocabulary", "layers": "layers", "ffn": "feed-forward\nchannels"}


def cut_chart(run: Run) -> Chart | None:
    """Parameters from the original to the slimmed model, step by step; None without a plan."""
    before, after = (run.number("plan", when, "num_parameters") for when in ("before", "after"))
    if before is None or after is None:
        return None
    steps = [(label, run.number("plan", "contribution", key) or 0.0) for key, label in _PARTS.items()]
    words = ", ".join(f"{millions(size)} from {label}".replace("\n", " ") for label, size in steps)
    alt = f"Bars: the original has {millions(before)} parameters; the cut takes {words}; {millions(after)} remain."
    with canvas() as (figure, axes):
        scale, unit = (1e9, "billions") if before >= 1e9 else (1e6, "millions")
        rows = [("original", 0.0, before, COLORS["original"], "")]
        level = before
        for label, size in steps:
            rows.append((label, level - size, size, COLORS["pruned"], f"−{100 * size / before:.1f} %"))
            level -= size
        rows.append(("slimmed", 0.0, after, COLORS["slimmed"], f"−{100 * (1 - after / before):.1f} %"))
        for place, (_, left, size, color, note) in enumerate(rows):
            axes.barh(place, size / scale, left=left / scale, color=color, height=0.62)
            text = significant(size / scale) + (f" ({note})" if note else "")
            axes.annotate(text, ((left + size) / scale, place), (5, 0), textcoords="offset points", va="center")
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
        data={"before": before, "after": after, "contribution": pick(run.get("plan", "contribution"))},
    )


def candidates_chart(run: Run) -> Chart | None:
    """Every cut the planner considered, by size and predicted damage; None without candidates."""
    found = [c for c in objects(run.get("plan", "candidates")) if as_number(c.get("kl_nats")) is not None]
    points = [(as_number(c.get("num_parameters")), as_number(c.get("kl_nats"))) for c in found]
    pairs = [(size, damage) for size, damage in points if size is not None and damage is not None]
    if not pairs:
        return None
    size, damage = run.number("plan", "after", "num_parameters"), run.number("plan", "predicted_kl_nats")
    alt = f"Scatter: {len(pairs)} candidate cuts by parameters and predicted divergence"
    alt += f"; the chosen one has {millions(size)} parameters." if size is not None else "."
    with canvas() as (figure, axes):
        axes.scatter(
            [p[0] / 1e6 for p in pairs],
            [p[1] for p in pairs],
            s=26,
            facecolors="none",
            edgecolors=COLORS["original"],
            label="considered",
        )
        if size is not None and damage is not None:
            axes.scatter([size / 1e6], [damage], s=70, color=COLORS["slimmed"], marker="s", label="chosen")
        scale_y(axes, [p[1] for p in pairs])
        axes.set_xlabel("parameters of the slimmed model (millions)")
        axes.set_ylabel("predicted KL divergence (nats per token)")
        legend_above(axes, 2)
        svg = inline_svg(figure, "candidates", alt)
    return Chart(
        key="candidates",
        title="Size against predicted damage",
        alt=alt,
        svg=svg,
        data=run.get("plan", "candidates"),
        caption="One mark per combination of layers and channels; lower is closer to the original's predictions.",
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
    alt = f"Line: the loss goes from {significant(first[1])} to {significant(last[1])} in {last[0]:.0f} steps."
    with canvas() as (figure, axes):
        axes.plot([p[0] for p in pairs], [p[1] for p in pairs], color=COLORS["slimmed"], linewidth=1.6)
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
