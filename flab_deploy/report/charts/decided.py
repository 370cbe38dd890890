"""What the scores said, what the plan decided, and how recovery went."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from flab_deploy.records.plan import PlanRecord
from flab_deploy.records.report import ChannelData, ChartData, CutData, LayerPoint, TokenData
from flab_deploy.report.run import RunContents
from flab_deploy.wording.drawing import (
    COLORS,
    Drawing,
    legend_above,
    log_steps,
    note,
    plot,
    scale_y,
    whole_numbers,
)
from flab_deploy.wording.numbers import count, millions, significant

_MOST_NAMED = 12
_Part = Literal["vocabulary", "layers", "ffn", "heads", "experts"]
_PARTS: dict[_Part, str] = {
    "vocabulary": "vocabulary",
    "layers": "layers",
    "ffn": "feed-forward\nchannels",
    "heads": "attention\nheads",
    "experts": "experts",
}
_IF_CUT = ("heads", "experts")
_KEPT: dict[str, Any] = {"facecolor": COLORS["slimmed"], "edgecolor": COLORS["slimmed"]}
_DROPPED: dict[str, Any] = {"facecolor": "none", "edgecolor": COLORS["pruned"], "hatch": "////"}
_POINTS = ((True, "layer kept", "s", "slimmed"), (False, "layer dropped", "X", "pruned"))
_MAX_POINTS = 400
_LAYER_AXIS = "layer (index from the input)"


def cut_chart(run: RunContents) -> Drawing[ChartData] | None:
    """Parameters from the original to the slimmed model, step by step; None without a plan."""
    if run.plan is None:
        return None
    before, after = run.plan.before.num_parameters, run.plan.after.num_parameters
    removed = run.plan.contribution
    sizes = {part: removed.get(part, 0) for part in _PARTS}
    steps = [(_PARTS[part], n) for part, n in sizes.items() if n or part not in _IF_CUT]
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
        for place, (_, left, size, color, share) in enumerate(bars):
            axes.barh(place, size / scale, left=left / scale, color=color, height=0.62)
            text = significant(size / scale) + (f" ({share})" if share else "")
            note(axes, text, ((left + size) / scale, place), (5, 0), va="center")
        axes.set_yticks(range(len(bars)), [bar[0] for bar in bars])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.28 * before / scale)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"parameters ({unit})")

    return Drawing(
        alt=f"Bars: the original has {millions(before)} parameters; the cut takes {words}; "
        f"{millions(after)} remain.",
        data=CutData(before=before, after=after, contribution=removed),
        draw=draw,
    )


def candidates_chart(run: RunContents) -> Drawing[ChartData] | None:
    """Every cut the planner considered, by layers and damage; None without candidates."""
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
            small = {"ha": "center", "fontsize": 8.5, "color": COLORS["muted"]}
            for found in plan.candidates:
                at = (found.num_layers, found.kl_nats)
                note(axes, str(found.intermediate_size), at, (0, 8), **small)
        scale_y(axes, [damage for _, damage in points])
        axes.margins(0.13)
        whole_numbers(axes, "layers kept (count)")
        axes.set_ylabel("predicted KL divergence\n(nats per token)")
        legend_above(axes, 2)

    return Drawing(
        alt=f"Points: predicted divergence of {len(points)} cuts by layers kept; the chosen one "
        f"keeps {chosen[0]}.",
        data=plan.candidates,
        draw=draw,
    )


def recovery_chart(run: RunContents) -> Drawing[ChartData] | None:
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
        data=curve,
        draw=draw,
    )


def layer_chart(run: RunContents) -> Drawing[ChartData] | None:
    """Divergence caused by skipping each layer, and which are kept; None without scores."""
    if run.scores is None or not run.scores.layers:
        return None
    layers = run.scores.layers
    keep = set(run.plan.keep_layers if run.plan else [one.layer for one in layers])
    dropped = ", ".join(str(one.layer) for one in layers if one.layer not in keep)

    def draw(axes: Axes) -> None:
        for kept, label, marker, color in _POINTS:
            points = [(one.layer, one.kl_nats) for one in layers if (one.layer in keep) is kept]
            look = {"color": COLORS[color], "label": label, "marker": marker, "markersize": 8}
            plot(axes, points, linestyle="none", **look)
        scale_y(axes, [one.kl_nats for one in layers])
        axes.grid(visible=False, axis="x")
        whole_numbers(axes, _LAYER_AXIS)
        axes.set_ylabel("KL divergence if skipped\n(nats per token)")
        legend_above(axes, 2)

    return Drawing(
        alt=f"Points: divergence when each of {len(layers)} layers is skipped; dropped: "
        f"{dropped or 'none'}.",
        data=tuple(
            LayerPoint(layer=one.layer, kl_nats=one.kl_nats, kept=one.layer in keep)
            for one in layers
        ),
        draw=draw,
    )


def token_chart(run: RunContents) -> Drawing[ChartData] | None:
    """Token counts by rank, with the number of tokens that the plan keeps; None without scores."""
    counts = [c for c in run.scores.token_counts.sorted_counts if c > 0] if run.scores else []
    if not counts:
        return None
    size = run.plan.before.vocab_size if run.plan else len(counts)
    kept = len(run.plan.keep_token_ids) if run.plan else None
    points = tuple((rank, counts[rank - 1]) for rank in log_steps(len(counts), _MAX_POINTS))

    def draw(axes: Axes) -> None:
        plot(axes, points, color=COLORS["slimmed"], linewidth=1.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1, max(size, kept or 1) * 1.05)
        axes.set_ylim(bottom=0.8, top=5 * max(counts))
        if kept:
            axes.axvline(kept, color=COLORS["pruned"], linestyle="--", linewidth=1.4)
            at, look = (kept, 2.4 * max(counts)), {"ha": "right", "va": "center"}
            note(axes, f"{count(kept)} kept", at, (-6, 0), color=COLORS["pruned"], **look)
        plain = FuncFormatter(lambda value, _: count(value) if value >= 1 else "")
        axes.xaxis.set_major_formatter(plain)
        axes.yaxis.set_major_formatter(plain)
        axes.set_xlabel("token rank, most frequent first (count)")
        axes.set_ylabel("times seen (count)")

    return Drawing(
        alt=f"Falling curve: {count(len(counts))} of {count(size)} tokens were seen in the "
        f"calibration text{f'; {count(kept)} are kept.' if kept else '.'}",
        data=TokenData(num_seen=len(counts), vocab_size=size, num_kept=kept, rank_and_count=points),
        draw=draw,
    )


def channel_chart(run: RunContents) -> Drawing[ChartData] | None:
    """Range of channel scores in each layer, split where the plan cuts; None without scores."""
    scores = run.scores.channels if run.scores else None
    if scores is None or not scores.quantiles_by_layer or len(scores.quantiles) < 2:
        return None
    layers, total = scores.quantiles_by_layer, scores.num_channels
    kept = _num_kept(run.plan, len(layers), total) if run.plan else None
    lowest = min((value for row in layers for value in row if value > 0), default=1e-12)

    def draw(axes: Axes) -> None:
        for layer, row in enumerate(layers):
            share = 1.0 if kept is None else kept[layer] / total
            cut, middle = np.interp([1 - share, 0.5], scores.quantiles, row)
            bar: dict[str, Any] = {"width": 0.62, "linewidth": 1.0}
            axes.bar(layer, cut - row[0], bottom=max(row[0], lowest), **bar, **_DROPPED)
            if share > 0:
                axes.bar(layer, row[-1] - cut, bottom=max(cut, lowest), **bar, **_KEPT)
            ends = [(layer + side, max(middle, lowest)) for side in (-0.31, 0.31)]
            plot(axes, ends, color=COLORS["surface"], linewidth=1.6)
        scale_y(axes, [max(value, lowest) for row in layers for value in row])
        axes.grid(visible=False, axis="x")
        whole_numbers(axes, _LAYER_AXIS)
        axes.set_ylabel("channel score (model units)")
        sides = (Patch(label="channels kept", **_KEPT), Patch(label="channels dropped", **_DROPPED))
        legend_above(axes, 2, handles=sides, handlelength=2.0)

    return Drawing(
        alt=f"One upright bar per layer from the lowest to the highest of {count(total)} "
        "channel scores, split at the cut.",
        data=ChannelData(num_channels=total, num_kept_by_layer=kept, quantiles_by_layer=layers),
        draw=draw,
    )


def _num_kept(plan: PlanRecord, num_layers: int, total: int) -> tuple[int, ...]:
    """Channels kept in each layer of the original, 0 where the layer itself is dropped."""
    sizes = [len(kept) for kept in plan.keep_channels] or [total] * len(plan.keep_layers)
    kept = dict(zip(plan.keep_layers, sizes, strict=True))
    return tuple(kept.get(layer, 0) for layer in range(num_layers))
