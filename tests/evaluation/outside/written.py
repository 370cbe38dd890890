"""Result files as other harnesses write them, on made-up problems with chosen verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

Samples = Sequence[Sequence[bool]]
"""Per problem, whether each sample is right."""


def once(solved: Sequence[bool]) -> Samples:
    """One sample per problem."""
    return [[right] for right in solved]


def hashed(text: str) -> str:
    """A digest as lm-evaluation-harness writes it."""
    return hashlib.sha256(text.encode()).hexdigest()


def lm_eval_line(
    number: int, metrics: dict[str, object], *, filter_: str | None = "none", prompt: str = "Add: "
) -> dict[str, object]:
    """One line of a sample log; without a filter, as releases before 0.4.6 wrote it."""
    doc = {"question": f"{number} and {number}?", "answer": str(2 * number)}
    line: dict[str, object] = {
        "doc_id": number,
        "doc": doc,
        "target": doc["answer"],
        "arguments": {"gen_args_0": {"arg_0": prompt + doc["question"], "arg_1": {}}},
        "resps": [["so much"]],
        "filtered_resps": ["so much"],
    }
    if filter_ is not None:
        line |= {"filter": filter_, "metrics": list(metrics)}
    return {
        **line,
        "doc_hash": hashed(json.dumps(doc, indent=2)),
        "prompt_hash": hashed(prompt + doc["question"]),
        "target_hash": hashed(doc["answer"]),
        **metrics,
    }


def json_lines(path: Path, lines: Sequence[object]) -> Path:
    """A file with a JSON value per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def json_file(path: Path, value: object) -> Path:
    """A file that is one JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    return path


def lm_eval_file(folder: Path, samples: Samples) -> Path:
    """A sample log; several samples per problem give the metric `pass@1`."""
    lines = []
    for number, right in enumerate(samples):
        share = sum(right) / len(right)
        line = lm_eval_line(number, {"pass@1": share}, filter_="create_test")
        answers = [f"answer {i}" for i in range(len(right))]
        lines.append({**line, "resps": [answers], "filtered_resps": [answers]})
    return json_lines(folder / "samples_sums_2026-01-02T03-04-05.678901.jsonl", lines)


def lm_eval_list(folder: Path, samples: Samples) -> Path:
    """A sample log as releases before 0.4.3 wrote it: a list, without digests and filters."""
    rows = []
    for number, (right,) in enumerate(samples):
        line = lm_eval_line(number, {"acc": float(right)}, filter_=None)
        rows.append({name: v for name, v in line.items() if not name.endswith("_hash")})
    return json_file(folder / "pretrained__model_sums.jsonl", rows)


def evalplus_file(
    folder: Path,
    samples: Samples,
    *,
    plus: Samples | None = None,
    data_set: str = "0cc175b9c0f1b6a831c399e269772661",
) -> Path:
    """What `evalplus.evaluate` writes; without `plus`, with --base-only."""
    more = plus or [[None] * len(right) for right in samples]
    status = {None: None, True: "pass", False: "timeout"}
    return json_file(
        folder / "model_temp_0.0.eval_results.json",
        {
            "date": "2026-01-02 03:04",
            "hash": data_set,
            "eval": {
                f"Sums/{number}": [
                    {
                        "task_id": f"Sums/{number}",
                        "solution": f"def f():\n    return {number}\n",
                        "base_status": "pass" if first else "fail",
                        "plus_status": status[second],
                        "base_fail_tests": [],
                        "plus_fail_tests": [],
                    }
                    for first, second in zip(right, more[number], strict=True)
                ]
                for number, right in enumerate(samples)
            },
            "pass_at_k": {"base": {"pass@1": 0.5}},
        },
    )


def evalplus_older_file(folder: Path, samples: Samples) -> Path:
    """What releases up to 0.2.0 wrote."""
    return json_file(
        folder / "model_eval_results.json",
        {
            "date": "2023-11-12 13:14",
            "hash": "92eb5ffee6ae2fec3ad71c777531578f",
            "eval": {
                f"Sums/{number}": {
                    "nfiles": len(right),
                    "base": [["success" if one else "timed out", [one]] for one in right],
                    "plus": [],
                }
                for number, right in enumerate(samples)
            },
        },
    )


def bigcode_log(folder: Path, samples: Samples) -> Path:
    """`logs.json` of a HumanEvalPack task; its order is that in which programs ended."""
    logs = {
        str(number): [
            [
                sample,
                {
                    "task_id": number,
                    "passed": right,
                    "result": "passed" if right else "failed: name 'x' is not defined",
                    "completion_id": sample,
                },
            ]
            for sample, right in enumerate(found)
        ]
        for number, found in enumerate(samples)
    }
    return json_file(folder / "logs.json", dict(reversed(logs.items())))


def multiple_folder(folder: Path, samples: Samples, *, text: str = "sum", lang: str = "js") -> Path:
    """A directory with a `NAME.results.json` for each problem of `multiple-*`."""
    for number, found in enumerate(samples):
        json_file(
            folder / f"Sums_{number}_{text}.results.json",
            {
                "name": f"Sums_{number}",
                "language": lang,
                "prompt": f"//{text} {number}",
                "tests": "check(1)",
                "results": [
                    {
                        "program": "",
                        "stdout": "",
                        "stderr": "",
                        "exit_code": 0 if right else 1,
                        "status": "OK" if right else "Exception",
                        "timestamp": 1,
                    }
                    for right in found
                ],
            },
        )
    return folder


FORMS = {
    "lm-eval": lm_eval_file,
    "lm-eval before 0.4.3": lm_eval_list,
    "EvalPlus": evalplus_file,
    "EvalPlus to 0.2.0": evalplus_older_file,
    "bigcode humanevalpack": bigcode_log,
    "bigcode multiple": multiple_folder,
}
"""Every form that is read, by a name for it."""
