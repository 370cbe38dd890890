"""Writing evaluation directories with chosen verdicts, as `flab evaluate` leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from flab_deploy.artifacts import run_stage, write_json

# Family, whether it is a probe, and the method whose prompt it starts from.
METHODS = {
    "char_case": ("wording", False, None),
    "synonyms": ("wording", False, None),
    "blank_lines": ("layout", False, None),
    "last_character": ("layout", True, None),
    "code_prefix": ("syntax", True, None),
    "var_renamer": ("syntax", False, "code_prefix"),
}


def write_evaluation(
    folder: Path,
    solved: Sequence[bool],
    *,
    perturbed: Mapping[str, Sequence[bool] | Sequence[Sequence[bool]]] | None = None,
    model: str = "a",
    suite: str = "s",
    cluster_size: int = 1,
    batch_size: int = 128,
) -> Path:
    """An evaluation of `len(solved)` function problems, and of some of them under each
    perturbation.

    The verdicts under a perturbation are one per problem, or for each of several seeds one per
    problem.
    """
    rows = [_row(i, None, right, cluster_size) for i, right in enumerate(solved)]
    for method, verdicts in (perturbed or {}).items():
        for variant, seed in enumerate(verdicts if isinstance(verdicts[0], list) else [verdicts]):
            rows += [
                _row(i, method, right, cluster_size) | {"variant": variant}
                for i, right in enumerate(seed)
            ]
    methods = {
        name: {
            "family": METHODS[name][0],
            "probe": METHODS[name][1],
            "baseline": METHODS[name][2],
            "num_unchanged": 1,
            "num_rejected": 0,
        }
        for name in perturbed or {}
    }
    report = {
        "model": {"digest": model * 64, "name": f"model-{model}"},
        "suite": {"digest": suite * 64, "name": "made up"},
        "confidence": 0.95,
        "robustness": {"perturbations": methods},
        "sandbox": {},
        "tasks": {
            "function_synthesis": {
                "num_problems": len(solved),
                "pass_at_1": sum(solved) / len(solved),
            }
        },
        "health": {
            "canonical_pass_rate": 1.0,
            "num_excluded": 0,
            "excluded": [],
            "verdicts": {},
            "num_truncated": 2,
            "num_unparsable": 1,
            "num_infrastructure_errors": 0,
        },
    }

    def work(draft: object) -> None:
        path = draft.path  # type: ignore[attr-defined]
        write_json(path / "report.json", report)
        (path / "verdicts.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )

    run_stage(
        folder,
        kind="evaluation",
        module="flab_deploy.artifacts",
        parents={"model": model * 64},
        config={"batch_size": batch_size},
        work=work,
    )
    return folder


def _row(number: int, method: str | None, right: bool, cluster_size: int) -> dict[str, object]:
    return {
        "task_id": f"t/{number}",
        "kind": "function_synthesis",
        "perturbation": method,
        "composition": f"c{number // cluster_size}" if cluster_size > 1 else "",
        "verdict": "pass" if right else "fail_assert",
        "passed": right,
        "completion": "",
    }
