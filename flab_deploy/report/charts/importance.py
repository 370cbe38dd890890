"""What the scores said, and what the plan kept: layers, tokens and feed-forward channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from flab_deploy.artifacts import Json
from flab_deploy.report.charts.style import COLORS, Chart, canvas, inline_svg, legend_above, scale_y
from flab_deploy.report.run import Run, as_number, numbers, objects
from flab_deploy.wording.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEPT: dict[str, Any] = {"facecolor": COLORS["slimmed"], "edgecolor": COLORS["slimmed"]}
_DROPPED: dict[str, Any] = {"facecolor": "none", "edgecolor": COLORS["pruned"], "hatch": "////"}
_KEPT_POINT: dict[str, Any] = {"marker": "s", "color": COLORS["slimmed"], "label": "layer kept"}
_DROPPED_POINT: dict[str, Any] = {
    "marker": "X",
    "color": COLORS["pruned"],
    "label": "layer dropped",
}
_MAX_POINTS = 400


def layer_chart(run: Run) -> Chart | None:
    """KL divergence caused by skipping each layer, with the layers that the plan keeps; None
    without scores.
    """
    rows = objects(run.get("scores", "layers"))
    found = [(as_number(row.get("layer")), as_number(row.get("kl_nats"))) for row in rows]
    scores = [(int(layer), kl) for layer, kl in found if layer is not None and kl is not None]
    if not scores:
        return None
    planned = {int(layer) for layer in numbers(run.get("plan", "keep_layers"))}
    keep = planned if run.has("plan") else {layer for layer, _ in scores}
    dropped = [layer for layer, _ in scores if layer not in keep]
    alt = (
        f"Points: divergence when each of {len(scores)} layers is skipped; dropped: "
        f"{_names(dropped)}."
    )
    with canvas() as (figure, axes):
        for kept, look in ((True, _KEPT_POINT), (False, _DROPPED_POINT)):
            chosen = [(layer, kl) for layer, kl in scores if (layer in keep) is kept]
            axes.plot(
                [p[0] for p in chosen],
                [p[1] for p in chosen],
                linestyle="none",
                markersize=8,
                **look,
            )
        scale_y(axes, [kl for _, kl in scores])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("layer (index from the input)")
        axes.set_ylabel("KL divergence if skipped\n(nats per token)")
        legend_above(axes, 2)
        svg = inline_svg(figure, "layers", alt)
    return Chart(
        key="layers",
        title="Importance of each layer",
        alt=alt,
        svg=svg,
        caption="How far the predictions move when one layer is left out; the model hardly "
        "needs a layer that is low.",
        data=[{"layer": layer, "kl_nats": kl, "kept": layer in keep} for layer, kl in scores],
    )


def _names(layers: list[int]) -> str:
    return ", ".join(str(layer) for layer in layers) or "none"


def _kept_legend(axes: Axes, kept: str, dropped: str) -> None:
    axes.legend(
        handles=[Patch(label=kept, **_KEPT), Patch(label=dropped, **_DROPPED)],
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=2,
        borderaxespad=0.2,
    )


def token_chart(run: Run) -> Chart | None:
    """Token counts by rank, with the number of tokens that the plan keeps; None without scores."""
    counts = [c for c in numbers(run.get("scores", "token_counts", "sorted_counts")) if c > 0]
    if not counts:
        return None
    size = run.number("plan", "before", "vocab_size") or len(counts)
    kept = len(numbers(run.get("plan", "keep_token_ids"))) if run.has("plan") else None
    points = [(rank, counts[rank - 1]) for rank in _ranks(len(counts))]
    alt = (
        f"Falling curve: {count(len(counts))} of {count(size)} tokens were seen in the "
        "calibration text"
    )
    alt += f"; {count(kept)} are kept." if kept else "."
    with canvas() as (figure, axes):
        axes.plot(
            [p[0] for p in points], [p[1] for p in points], color=COLORS["slimmed"], linewidth=1.8
        )
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
        svg = inline_svg(figure, "tokens", alt)
    return Chart(
        key="tokens",
        title="How often each token is used",
        alt=alt,
        svg=svg,
        caption="The dashed line is how many are kept: the most frequent, and also all bytes, "
        "special tokens and what "
        "merges need.",
        data={
            "num_seen": len(counts),
            "vocab_size": size,
            "num_kept": kept,
            "rank_and_count": [list(p) for p in points],
        },
    )


def _ranks(size: int) -> list[int]:
    """Ranks from 1 to `size`, all of them while they are few, then evenly on a logarithmic
    scale.
    """
    steps = (
        {round(size ** (i / (_MAX_POINTS - 1))) for i in range(_MAX_POINTS)}
        if size > _MAX_POINTS
        else set(range(1, size + 1))
    )
    return sorted(steps | {1, size})


def channel_chart(run: Run) -> Chart | None:
    """Range of channel scores in each layer, split where the plan cuts; None without scores."""
    layers = [
        numbers(row)
        for row in cast("list[Json]", run.get("scores", "channels", "quantiles_by_layer") or [])
    ]
    if not layers or len(layers[0]) < 2 or len({len(row) for row in layers}) > 1:
        return None
    total = run.number("scores", "channels", "num_channels") or 0
    told = numbers(run.get("scores", "channels", "quantiles"))
    levels = (
        told
        if len(told) == len(layers[0])
        else [i / (len(layers[0]) - 1) for i in range(len(layers[0]))]
    )
    kept = _num_kept(run, len(layers), int(total))
    alt = (
        f"One upright bar per layer from the lowest to the highest of {count(total)} "
        "channel scores, split at the cut."
    )
    lowest = min((value for row in layers for value in row if value > 0), default=1e-12)
    with canvas() as (figure, axes):
        for layer, row in enumerate(layers):
            share = 1.0 if kept is None else kept[layer] / total if total else 0.0
            low, cut, high = row[0], _quantile(levels, row, 1 - share), row[-1]
            axes.bar(
                layer, cut - low, bottom=max(low, lowest), width=0.62, linewidth=1.0, **_DROPPED
            )
            if share > 0:
                axes.bar(
                    layer, high - cut, bottom=max(cut, lowest), width=0.62, linewidth=1.0, **_KEPT
                )
            middle = max(_quantile(levels, row, 0.5), lowest)
            axes.plot(
                [layer - 0.31, layer + 0.31],
                [middle, middle],
                color=COLORS["surface"],
                linewidth=1.6,
            )
        scale_y(axes, [max(value, lowest) for row in layers for value in row])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("layer (index from the input)")
        axes.set_ylabel("channel score (model units)")
        _kept_legend(axes, "channels kept", "channels dropped")
        svg = inline_svg(figure, "channels", alt)
    return Chart(
        key="channels",
        title="Importance of feed-forward channels",
        alt=alt,
        svg=svg,
        caption="From the lowest to the highest score in each layer; channels are kept from "
        "the top. The line across "
        "is the median; a bar without a kept part is a layer that was dropped whole.",
        data={
            "num_channels": total,
            "num_kept_by_layer": cast("Json", kept),
            "quantiles_by_layer": cast("Json", layers),
        },
    )


def _num_kept(run: Run, num_layers: int, total: int) -> list[int] | None:
    """Channels kept in each layer of the original, 0 where the layer itself is dropped; None
    without a plan.
    """
    rows = run.get("plan", "keep_channels")
    if not isinstance(rows, list):
        return None
    sizes = [len(row) if isinstance(row, list) else total for row in rows]
    keep = [int(layer) for layer in numbers(run.get("plan", "keep_layers"))]
    if len(sizes) == len(keep):
        by_layer = dict(zip(keep, sizes, strict=True))
        return [by_layer.get(layer, 0) for layer in range(num_layers)]
    return [
        sizes[layer] if layer in keep and layer < len(sizes) else 0 for layer in range(num_layers)
    ]


def _quantile(levels: list[float], row: list[float], level: float) -> float:
    """Value at `level` of the quantiles `row` at `levels`, interpolated."""
    return float(np.interp(level, levels, row))
