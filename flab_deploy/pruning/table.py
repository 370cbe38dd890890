"""A plan in words and bars for the terminal.

To show another cost or size, add a line to `_COSTS` or `_SIZES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from flab_deploy.records.plan import (
    CandidateRecord,
    Contribution,
    CostRecord,
    CutTimeRecord,
    PlanRecord,
    ShapeRecord,
    SweepRecord,
)
from flab_deploy.wording.table import aligned

_BAR = 40


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.2f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


_COSTS: tuple[tuple[str, Callable[[CostRecord], int], Callable[[int], str]], ...] = (
    ("parameters", lambda cost: cost.num_parameters, "{:,}".format),
    ("weights", lambda cost: cost.weight_bytes, _bytes),
    ("KV cache per token", lambda cost: cost.kv_bytes_per_token, _bytes),
    ("FLOPs per token", lambda cost: cost.forward_flops_per_token, "{:,}".format),
    ("memory to serve", lambda cost: cost.serving_memory_bytes, _bytes),
)
_SIZES: tuple[tuple[str, Callable[[ShapeRecord], int]], ...] = (
    ("layers", lambda shape: shape.num_hidden_layers),
    ("FFN channels", lambda shape: shape.intermediate_size),
    ("key-value heads", lambda shape: shape.num_key_value_heads),
    ("experts", lambda shape: shape.num_experts),
    ("tokens", lambda shape: shape.vocab_size),
)
_PARTS: dict[Literal["vocabulary", "layers", "ffn", "heads", "experts"], str] = {
    "vocabulary": "vocabulary",
    "layers": "layers",
    "ffn": "FFN channels",
    "heads": "heads",
    "experts": "experts",
}


def table_of(plan: PlanRecord, cut: CutTimeRecord) -> str:
    """What a plan decides and what it takes, as a table with bars; `cut` is what the cut takes
    here.
    """
    before, after = plan.figures.before, plan.figures.after
    rows = [("", "before", "after", "change")]
    for name, cost_of, text in _COSTS:
        old, new = cost_of(before), cost_of(after)
        rows.append((name, text(old), text(new), _change(old, new)))
    for name, size_of in _SIZES:
        old, new = size_of(plan.before), size_of(plan.after)
        if old:
            rows.append((name, f"{old:,}", f"{new:,}", _change(old, new)))
    lines = [*aligned(rows, "<>"), "", *_bars(plan.contribution, before.num_parameters)]
    lines += ["", *_candidates(plan.candidates), "", *_outlook(plan, cut)]
    return "\n".join(lines)


def sweep_table(sweep: SweepRecord) -> str:
    """The plans of a sweep, one row each, with a bar for the divergence."""
    most = max(plan.predicted_kl_nats for plan in sweep.plans) or 1.0
    rows = [
        ("removed", "parameters", "layers", "channels", "kv heads", "tokens", "nats per token", "")
    ]
    rows += [
        (
            f"{100 * plan.reduction:.4g} %",
            f"{plan.after.num_parameters:,}",
            str(plan.after.num_hidden_layers),
            str(plan.after.intermediate_size),
            str(plan.after.num_key_value_heads),
            f"{plan.after.vocab_size:,}",
            f"{plan.predicted_kl_nats:.3g}",
            f"{'#' * round(_BAR * plan.predicted_kl_nats / most):<{_BAR}}",
        )
        for plan in sweep.plans
    ]
    return "\n".join(aligned(rows, "<>"))


def _outlook(plan: PlanRecord, cut: CutTimeRecord) -> list[str]:
    parts = plan.predicted_kl_parts_nats
    return [
        f"predicted divergence: {plan.predicted_kl_nats:.3g} nats per token "
        f"({parts.structure:.3g} from what is cut, {parts.vocabulary:.3g} from dropped tokens)",
        f"new text of this kind: {100 * plan.unseen_token_share:.3g} % of tokens "
        "unseen (Good-Turing estimate)",
        f"the cut: {_bytes(cut.disk_bytes)} on disk ({_bytes(cut.free_bytes)} free), about "
        f"{max(cut.seconds, 0.1):.2g} s at {_bytes(cut.copy_bytes_per_s)}/s",
    ]


def _bars(contribution: Contribution, before: int) -> list[str]:
    parts = [(name, contribution[key]) for key, name in _PARTS.items() if key in contribution]
    total = sum(removed for _, removed in parts) or 1
    width = max(len(name) for name, _ in parts)
    lines = ["where the cut comes from"]
    for name, removed in parts:
        bar = "#" * round(_BAR * removed / total)
        lines.append(
            f"  {name:<{width}} {bar:<{_BAR}} {removed:>14,}  -{100 * removed / before:.1f} %"
        )
    return lines


def _candidates(candidates: Sequence[CandidateRecord]) -> list[str]:
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
            str(cut.num_layers),
            str(cut.intermediate_size),
            str(cut.num_key_value_heads),
            f"{cut.vocab_size:,}",
            f"{cut.num_parameters:,}",
            f"{cut.kl_nats:.3g}",
        )
        for at, cut in enumerate(candidates)
    ]
    return aligned(rows, "<>")


def _change(before: int, after: int) -> str:
    return f"{100 * (after / before - 1):+.1f} %" if before else ""
