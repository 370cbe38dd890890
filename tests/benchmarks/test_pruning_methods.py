"""What each way of pruning keeps without training, at equal size: one table, one plot.

Every stage is an artifact, so a run that was stopped goes on where it was. FLAB_BENCH_OUT names the
directory that keeps them (default: build/pruning-methods).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.corpus import TASK_KINDS
from flab_deploy.evaluation.claims.compare import compare
from flab_deploy.evaluation.evaluate import evaluate
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.pruning import PlanConfig, plan, prune
from flab_deploy.pruning.baselines import BASELINES, plan_baseline
from flab_deploy.pruning.plot import Series, scatter_svg
from flab_deploy.records.document import read_record
from flab_deploy.records.plan import PLAN_FILE, PlanRecord
from flab_deploy.settings.evaluate import EvaluateConfig

REDUCTIONS = (0.10, 0.22, 0.35, 0.50)
METHODS = ("planner", *BASELINES)
EVALUATE = EvaluateConfig(
    num_function_synthesis=300,
    num_output_prediction=200,
    num_chain_of_thought=200,
    num_robustness=0,
    perturbations=(),
)


def measured_cut(root: Path, scores: Path, method: str, reduction: float) -> dict[str, Any]:
    """Plan, cut, evaluate and compare; every step that is already there is kept."""
    folder = root / f"{method}-{round(100 * reduction)}"
    config = PlanConfig(reduction=reduction)
    if method == "planner":
        planned = plan("reference", scores, folder / "plan", config)
    else:
        planned = plan_baseline("reference", scores, folder / "plan", method, config)
    pruned = prune("reference", folder / "plan", folder / "pruned")
    evaluate(folder / "pruned", folder / "evaluation", EVALUATE)
    figures = compare(root / "original", folder / "evaluation", folder / "comparison").figures
    after = read_record(PlanRecord, folder / "plan" / PLAN_FILE).after
    sets = {**figures["tasks"], "overall": figures["overall"]}  # type: ignore[dict-item]
    return {
        "method": method,
        "reduction": reduction,
        "num_parameters": pruned.figures["num_parameters"],
        "kl_nats": planned.figures["predicted_kl_nats"],
        "sizes": [after.num_hidden_layers, after.intermediate_size, after.vocab_size],
        "kept": {
            name: {
                key: found[key]
                for key in ("retention", "retention_interval", "candidate_pass_at_1")
            }
            for name, found in sets.items()
        },
    }


def table(rows: list[dict[str, Any]]) -> str:
    heads = [*TASK_KINDS, "overall"]
    lines = [
        "| removed | method | parameters | layers / channels / tokens | nats | "
        + " | ".join(heads)
        + " |"
    ]
    lines.append("|---" * (5 + len(heads)) + "|")
    for row in rows:
        layers, channels, tokens = row["sizes"]
        cells = [_percent(row["kept"][name]) for name in heads]
        lines.append(
            f"| {100 * row['reduction']:.0f} % | {row['method']} | {row['num_parameters']:,} | "
            f"{layers} / {channels} / {tokens:,} | {row['kl_nats']:.3g} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def _percent(found: dict[str, Any]) -> str:
    if found["retention"] is None:
        return "—"
    low, high = found["retention_interval"] or (float("nan"), float("nan"))
    return f"{100 * found['retention']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def plot(rows: list[dict[str, Any]], original: int) -> str:
    series = []
    for method in METHODS:
        found = [row for row in rows if row["method"] == method]
        kept = [row["kept"]["overall"] for row in found]
        series.append(
            Series(
                label=method,
                joined=True,
                points=tuple(
                    (100 * (1 - row["num_parameters"] / original), 100 * k["retention"])
                    for row, k in zip(found, kept, strict=True)
                ),
                intervals=tuple(
                    (100 * k["retention_interval"][0], 100 * k["retention_interval"][1])
                    for k in kept
                ),
            )
        )
    return scatter_svg(
        "Kept without training", "parameters removed (%)", "pass@1 kept, all tasks (%)", series
    )


@pytest.mark.benchmark
@pytest.mark.timeout(4 * 3600)
def test_retention_of_every_method_at_equal_size() -> None:
    root = Path(os.environ.get("FLAB_BENCH_OUT", "build/pruning-methods"))
    score("reference", root / "scores", ScoreConfig())
    evaluate("reference", root / "original", EVALUATE)
    rows = []
    for reduction in REDUCTIONS:
        for method in METHODS:
            rows.append(measured_cut(root, root / "scores", method, reduction))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    found = read_record(PlanRecord, root / "planner-22" / "plan" / PLAN_FILE)
    (root / "methods.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (root / "methods.svg").write_text(plot(rows, found.before.num_parameters), encoding="utf-8")
    print(f"\n{table(rows)}\n\n{root / 'methods.svg'}")
    for reduction in REDUCTIONS:
        same = [row for row in rows if row["reduction"] == reduction]
        ours = same[0]["kept"]["overall"]
        best = max(row["kept"]["overall"]["retention"] for row in same[1:])
        assert ours["retention_interval"][1] >= best, (
            f"at {reduction:.0%} a baseline keeps {best:.1%}"
        )
