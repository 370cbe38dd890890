"""Two evaluations side by side, prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.artifacts import Artifact, check_digest, open_artifact
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics import Paired
from flab_deploy.records.compare import ChangedProblem
from flab_deploy.records.document import read_lines, read_record
from flab_deploy.records.evaluate import (
    REPORT_FILE,
    VERDICTS_FILE,
    EvaluationRecord,
    PerturbationFigures,
    VerdictLine,
)

Key = tuple[str, str | None, int]


@dataclass(frozen=True, kw_only=True)
class PromptVerdict:
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
    report: EvaluationRecord
    prompts: dict[Key, PromptVerdict]
    """By task, perturbation and variant, without answers that could not be judged and probes that
    are no baseline.
    """


Pair = tuple[PromptVerdict, PromptVerdict]


def read_evaluation(folder: Path) -> Judged:
    """The evaluation in `folder`.

    Raises ArtifactError that names file and field if it is missing, was changed, or was written by
    a version that says other things.
    """
    artifact = open_artifact(folder, "evaluation")
    check_digest(artifact)
    report = read_record(EvaluationRecord, folder / REPORT_FILE)
    lines = read_lines(VerdictLine, folder / VERDICTS_FILE)
    prompts = prompt_verdicts(lines, report.robustness.perturbations)
    return Judged(artifact=artifact, report=report, prompts=prompts)


def prompt_verdicts(
    lines: Iterable[VerdictLine], methods: Mapping[str, PerturbationFigures]
) -> dict[Key, PromptVerdict]:
    """What became of each prompt; `methods` is what the report says of each perturbation."""
    baselines = {method.baseline for method in methods.values()}
    unused = {name for name, method in methods.items() if method.probe} - baselines
    found: dict[Key, PromptVerdict] = {}
    for line in lines:
        verdicts = [sample.verdict for sample in line.samples] or [line.verdict]
        judged = [verdict == "pass" for verdict in verdicts if verdict != "infra_error"]
        if judged and line.perturbation not in unused:
            method = methods.get(line.perturbation or "")
            found[line.task_id, line.perturbation, line.variant] = PromptVerdict(
                task_id=line.task_id,
                kind=line.kind,
                cluster=line.composition or line.task_id,
                perturbation=line.perturbation,
                baseline=method.baseline if method else None,
                variant=line.variant,
                probe=method is not None and method.probe,
                passed=sum(judged) / len(judged),
                verdict=line.verdict,
            )
    return found


def pair_prompts(original: Judged, candidate: Judged) -> list[Pair]:
    """What both models made of the same prompts, in the original's order.

    Raises ConfigError if the evaluations used different suites or share no problem.
    """
    suites = original.report.suite.digest, candidate.report.suite.digest
    if suites[0] != suites[1]:
        raise ConfigError(
            f"the evaluations used different suites ({suites[0][:12]} and "
            f"{suites[1][:12]}); evaluate both models with the same tasks, counts, "
            "seed and perturbations"
        )
    pairs = [
        (before, candidate.prompts[key])
        for key, before in original.prompts.items()
        if key in candidate.prompts
    ]
    if not any(before.perturbation is None for before, _ in pairs):
        raise ConfigError("the evaluations share no judged problem; evaluate both models again")
    return pairs


def paired(pairs: Sequence[Pair]) -> Paired:
    """The pairs as numbers; prompts of one composition, or else of one problem, are one cluster."""
    return Paired.of(
        [before.passed for before, _ in pairs],
        [after.passed for _, after in pairs],
        [b.cluster for b, _ in pairs],
    )


def changed_problems(nominal: Sequence[Pair], *, lost: bool) -> tuple[ChangedProblem, ...]:
    """Problems that only the original solves, or only the candidate, with how the other's answer
    ended; of several samples, more than half must be right.
    """
    found = [(b, a) if lost else (a, b) for b, a in nominal]
    return tuple(
        ChangedProblem(task_id=right.task_id, kind=right.kind, verdict=wrong.verdict)
        for right, wrong in found
        if right.passed > 0.5 >= wrong.passed
    )
