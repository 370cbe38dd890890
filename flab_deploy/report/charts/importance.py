"""What the scores said, and what the plan kept: layers, tokens and feed-forward channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from flab_deploy.records.plan import PlanRecord
from flab_deploy.records.report import ChannelData, LayerPoint, TokenData
from flab_deploy.report.charts.style import (
    COLORS,
    Drawing,
    legend_above,
    plot,
    scale_y,
    whole_numbers,
)
from flab_deploy.report.run import RunContents
from flab_deploy.wording.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEPT: dict[str, Any] = {"facecolor": COLORS["slimmed"], "edgecolor": COLORS["slimmed"]}
_DROPPED: dict[str, Any] = {"facecolor": "none", "edgecolor": COLORS["pruned"], "hatch": "////"}
_POINTS = ((True, "layer kept", "s", "slimmed"), (False, "layer dropped", "X", "pruned"))
_MAX_POINTS = 400
_LAYER_AXIS = "layer (index from the input)"


def layer_chart(run: RunContents) -> Drawing | None:
    """KL divergence caused by skipping each layer, with the layers that the plan keeps; None
    without scores.
    """
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
        caption="How far the predictions move when one layer is left out; the model hardly "
        "needs a layer that is low.",
        data=tuple(
            LayerPoint(layer=one.layer, kl_nats=one.kl_nats, kept=one.layer in keep)
            for one in layers
        ),
        draw=draw,
    )


def token_chart(run: RunContents) -> Drawing | None:
    """Token counts by rank, with the number of tokens that the plan keeps; None without scores."""
    counts = [c for c in run.scores.token_counts.sorted_counts if c > 0] if run.scores else []
    if not counts:
        return None
    size = run.plan.before.vocab_size if run.plan else len(counts)
    kept = len(run.plan.keep_token_ids) if run.plan else None
    points = tuple((rank, counts[rank - 1]) for rank in _ranks(len(counts)))

    def draw(axes: Axes) -> None:
        plot(axes, points, color=COLORS["slimmed"], linewidth=1.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1, max(size, kept or 1) * 1.05)
        axes.set_ylim(bottom=0.8, top=5 * max(counts))
        if kept:
            axes.axvline(kept, color=COLORS["pruned"], linestyle="--", linewidth=1.4)
            axes.annotate(
                f"{count(kept)} kept",
                (kept, 2.4 * max(counts)),
                (-6, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                color=COLORS["pruned"],
            )
        plain = FuncFormatter(lambda value, _: count(value) if value >= 1 else "")
        axes.xaxis.set_major_formatter(plain)
        axes.yaxis.set_major_formatter(plain)
        axes.set_xlabel("token rank, most frequent first (count)")
        axes.set_ylabel("times seen (count)")

    return Drawing(
        alt=f"Falling curve: {count(len(counts))} of {count(size)} tokens were seen in the "
        f"calibration text{f'; {count(kept)} are kept.' if kept else '.'}",
        caption="The dashed line is how many are kept: the most frequent, and also all bytes, "
        "special tokens and what merges need.",
        data=TokenData(num_seen=len(counts), vocab_size=size, num_kept=kept, rank_and_count=points),
        draw=draw,
    )


def _ranks(size: int) -> list[int]:
    """Ranks from 1 to `size`, all of them while they are few, then evenly on a logarithmic
    scale.
    """
    if size <= _MAX_POINTS:
        return list(range(1, size + 1))
    steps = {round(size ** (i / (_MAX_POINTS - 1))) for i in range(_MAX_POINTS)}
    return sorted(steps | {1, size})


def channel_chart(run: RunContents) -> Drawing | None:
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
        caption="From the lowest to the highest score in each layer; channels are kept from "
        "the top. The line across is the median; a bar without a kept part is a layer that was "
        "dropped whole.",
        data=ChannelData(num_channels=total, num_kept_by_layer=kept, quantiles_by_layer=layers),
        draw=draw,
    )


def _num_kept(plan: PlanRecord, num_layers: int, total: int) -> tuple[int, ...]:
    """Channels kept in each layer of the original, 0 where the layer itself is dropped."""
    sizes = [len(kept) for kept in plan.keep_channels] or [total] * len(plan.keep_layers)
    kept = dict(zip(plan.keep_layers, sizes, strict=True))
    return tuple(kept.get(layer, 0) for layer in range(num_layers))
