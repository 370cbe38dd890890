"""A plan in words and bars for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BAR = 40
_FIGURES = {
    "num_parameters": "parameters",
    "weight_bytes": "weights",
    "kv_bytes_per_token": "KV cache per token",
    "forward_flops_per_token": "FLOPs per token",
    "serving_memory_bytes": "memory to serve",
}
_SIZES = {
    "num_hidden_layers": "layers",
    "intermediate_size": "FFN channels",
    "num_key_value_heads": "key-value heads",
    "num_experts": "experts",
    "vocab_size": "tokens",
}
_PARTS = {
    "vocabulary": "vocabulary",
    "layers": "layers",
    "ffn": "FFN channels",
    "heads": "heads",
    "experts": "experts",
}


def table_of(document: Mapping[str, Any], cut_time: Mapping[str, Any]) -> str:
    """What a plan decides and what it takes, as a table with bars; `cut_time` is what the cut takes
    here.
    """
    before, after = document["figures"]["before"], document["figures"]["after"]
    rows = [("", "before", "after", "change")]
    rows += [
        (
            name,
            _amount(key, before[key]),
            _amount(key, after[key]),
            _change(before[key], after[key]),
        )
        for key, name in _FIGURES.items()
    ]
    sizes = [
        (document["before"][key], document["after"][key], name) for key, name in _SIZES.items()
    ]
    rows += [(name, f"{old:,}", f"{new:,}", _change(old, new)) for old, new, name in sizes if old]
    lines = [*_aligned(rows), "", *_bars(document["contribution"], before["num_parameters"])]
    lines += ["", *_candidates(document["candidates"]), "", *_costs(document, cut_time)]
    return "\n".join(lines)


def sweep_table(figures: Mapping[str, Any]) -> str:
    """The plans of a sweep, one row each, with a bar for the divergence."""
    plans = figures["plans"]
    most = max(plan["predicted_kl_nats"] for plan in plans) or 1.0
    rows = [
        ("removed", "parameters", "layers", "channels", "kv heads", "tokens", "nats per token", "")
    ]
    rows += [
        (
            f"{100 * plan['reduction']:.4g} %",
            f"{plan['num_parameters']:,}",
            str(plan["num_hidden_layers"]),
            str(plan["intermediate_size"]),
            str(plan["num_key_value_heads"]),
            f"{plan['vocab_size']:,}",
            f"{plan['predicted_kl_nats']:.3g}",
            f"{'#' * round(_BAR * plan['predicted_kl_nats'] / most):<{_BAR}}",
        )
        for plan in plans
    ]
    return "\n".join(line.rstrip() for line in _aligned(rows))


def _costs(document: Mapping[str, Any], cut_time: Mapping[str, Any]) -> list[str]:
    parts = document["predicted_kl_parts_nats"]
    return [
        f"predicted divergence: {document['predicted_kl_nats']:.3g} nats per token "
        f"({parts['structure']:.3g} from what is cut, {parts['vocabulary']:.3g} from dropped "
        "tokens)",
        f"new text of this kind: {100 * document['unseen_token_share']:.3g} % of tokens "
        "unseen (Good-Turing estimate)",
        f"the cut: {_bytes(cut_time['disk_bytes'])} on disk ({_bytes(cut_time['free_bytes'])} "
        f"free), about {max(cut_time['seconds'], 0.1):.2g} s at "
        f"{_bytes(cut_time['copy_bytes_per_s'])}/s",
    ]


def _bars(contribution: Mapping[str, int], before: int) -> list[str]:
    total = sum(contribution.values()) or 1
    names = [(_PARTS[key], removed) for key, removed in contribution.items()]
    width = max(len(name) for name, _ in names)
    lines = ["where the cut comes from"]
    for name, removed in names:
        bar = "#" * round(_BAR * removed / total)
        lines.append(
            f"  {name:<{width}} {bar:<{_BAR}} {removed:>14,}  -{100 * removed / before:.1f} %"
        )
    return lines


def _candidates(candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            "  measured cuts",
            "layers",
            "channels",
            "kv heads",
            "tokens",
            "parameters",
            "nats per token",
        )
    ]
    rows += [
        (
            "  chosen" if at == 0 else "",
            str(c["num_layers"]),
            str(c["intermediate_size"]),
            str(c["num_key_value_heads"]),
            f"{c['vocab_size']:,}",
            f"{c['num_parameters']:,}",
            f"{c['kl_nats']:.3g}",
        )
        for at, c in enumerate(candidates)
    ]
    return _aligned(rows)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of equal width, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [
                f"{row[0]:<{widths[0]}}",
                *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]


def _amount(key: str, value: int) -> str:
    return _bytes(value) if "bytes" in key else f"{value:,}"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.2f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def _change(before: int, after: int) -> str:
    return f"{100 * (after / before - 1):+.1f} %" if before else ""
