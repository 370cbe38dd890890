"""Reading what `flab evaluate` wrote, ready for pairing problem by problem."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flab_deploy.artifacts import Artifact, check_digest, open_artifact, read_json
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.evaluate import REPORT, VERDICTS
from flab_deploy.evaluation.statistics import Paired

Key = tuple[str, str | None, int]


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """What became of one problem, or of one perturbed form of it."""

    task_id: str
    kind: str
    cluster: str
    """Composition of the task, or else the task itself."""
    perturbation: str | None
    """Method that changed the prompt; None for the prompt as written."""
    baseline: str | None
    """Method whose prompt this one was made from; None for the prompt as written."""
    variant: int
    """Which of several forms that the method drew; 0 for the first."""
    probe: bool
    """The method changes what is asked, so it says nothing about robustness; it may be another
    one's baseline.
    """
    passed: float
    """Share of the samples that are right; 0 or 1 for a single answer."""
    verdict: str
    """Verdict on the first sample."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One model's evaluation."""

    artifact: Artifact
    report: dict[str, Any]
    """`report.json`."""
    rows: dict[Key, VerdictRow]
    """By task, perturbation and variant, without answers that could not be judged and probes that
    are no baseline.
    """

    @property
    def model_digest(self) -> str:
        """Digest of the evaluated model."""
        return str(self.report["model"]["digest"])

    @property
    def suite_digest(self) -> str:
        """Digest of the problems."""
        return str(self.report["suite"]["digest"])


Pair = tuple[VerdictRow, VerdictRow]


def read_evaluation(folder: Path) -> Judged:
    """The evaluation in `folder`. Raises ArtifactError if it is missing, was changed, or is of an
    unknown form.
    """
    artifact = open_artifact(folder, "evaluation")
    check_digest(artifact)
    try:
        report = cast("dict[str, Any]", read_json(folder / REPORT))
        methods = report["robustness"]["perturbations"]
        lines = (folder / VERDICTS).read_text(encoding="utf-8").splitlines()
        rows = read_rows((json.loads(line) for line in lines), methods)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ArtifactError(
            f"{folder} is not an evaluation this version can read ({error!r}); evaluate again"
        ) from None
    return Judged(artifact=artifact, report=report, rows=rows)


def read_rows(lines: Iterable[dict[str, Any]], methods: Mapping[str, Any]) -> dict[Key, VerdictRow]:
    """The lines of `verdicts.jsonl` as rows; `methods` is what the report says of each
    perturbation.
    """
    baselines = {entry["baseline"] for entry in methods.values()}
    unused = {name for name, entry in methods.items() if entry["probe"]} - baselines
    found: dict[Key, VerdictRow] = {}
    for line in lines:
        verdicts = [sample["verdict"] for sample in line.get("samples", [line])]
        judged = [verdict == "pass" for verdict in verdicts if verdict != "infra_error"]
        if judged and line["perturbation"] not in unused:
            row = _row(line, sum(judged) / len(judged), methods.get(line["perturbation"] or "", {}))
            found[row.task_id, row.perturbation, row.variant] = row
    return found


def _row(line: dict[str, Any], passed: float, method: Mapping[str, Any]) -> VerdictRow:
    return VerdictRow(
        task_id=line["task_id"],
        kind=line["kind"],
        cluster=line["composition"] or line["task_id"],
        perturbation=line["perturbation"],
        variant=line.get("variant", 0),
        verdict=line["verdict"],
        baseline=method.get("baseline"),
        probe=bool(method.get("probe")),
        passed=passed,
    )


def pair_rows(original: Judged, candidate: Judged) -> list[Pair]:
    """What both models made of the same prompts, in the original's order.

    Raises ConfigError if the evaluations used different suites or share no problem.
    """
    if original.suite_digest != candidate.suite_digest:
        raise ConfigError(
            f"the evaluations used different suites ({original.suite_digest[:12]} and "
            f"{candidate.suite_digest[:12]}); evaluate both models with the same tasks, counts, "
            "seed and perturbations"
        )
    pairs = [
        (row, candidate.rows[key]) for key, row in original.rows.items() if key in candidate.rows
    ]
    if not any(before.perturbation is None for before, _ in pairs):
        raise ConfigError("the evaluations share no judged problem; evaluate both models again")
    return pairs


def paired(pairs: Sequence[Pair]) -> Paired:
    """The pairs as numbers; rows of one composition, or else of one problem, are one cluster."""
    return Paired.of(
        [before.passed for before, _ in pairs],
        [after.passed for _, after in pairs],
        [b.cluster for b, _ in pairs],
    )
