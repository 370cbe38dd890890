"""Quality before and after recovery: original, pruned and recovered on the same problems."""

from __future__ import annotations

from dataclasses import dataclass

from flab_deploy.artifacts import Json
from flab_deploy.corpus import TASK_LABELS
from flab_deploy.report.rows import Cell, absent, figure, kept, task_kinds
from flab_deploy.report.run import Run, as_number, pick
from flab_deploy.settings.compare import CompareConfig
from flab_deploy.wording.numbers import percent

DEFAULT_MARGIN = CompareConfig.margin


@dataclass(frozen=True, kw_only=True)
class KeptShare:
    """One candidate against the original on one set of problems."""

    solved: Cell
    """Share of the problems that the candidate solves."""
    kept: Cell
    """Candidate's share over the original's, with its interval."""
    num_only_original: float | None
    """Problems that only the original solves."""
    num_only_candidate: float | None
    """Problems that only the candidate solves."""
    verdict: str
    """shown, not shown, underpowered, or not run."""
    mcnemar_p: float | None
    """Chance of so uneven a split if neither model were better."""
    non_inferiority_p: float | None
    """Chance of figures this good if the candidate kept less than the margin."""
    num_problems_needed: float | None
    """Problems that would decide an underpowered comparison."""


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """One set of problems under three models."""

    key: str
    """Task kind, `overall`, `robustness` or `worst_case`."""
    label: str
    """The set in words."""
    num_problems: float | None
    """Size of the set."""
    original: Cell
    """Share that the original solves."""
    pruned: KeptShare
    """Right after the cut."""
    recovered: KeptShare
    """After recovery."""


def quality_rows(run: Run) -> list[QualityRow]:
    """One row per task kind, one for all of them together, two for robustness: by rewording, and in
    the worst case.
    """
    rows = [_task_row(run, kind) for kind in task_kinds(run)]
    return [*rows, _overall_row(run), _robustness_row(run), _worst_case_row(run)]


def margin(run: Run) -> float:
    """Share of the original's pass@1 that must be kept, in [0, 1]."""
    found = run.number("compare-recovered", "margin")
    if found is None:
        found = run.number("compare-pruned", "margin")
    return DEFAULT_MARGIN if found is None else found


def confidence(run: Run) -> float:
    """Confidence level of the intervals, in (0, 1)."""
    found = [
        run.number(f"evaluate-{model}", "confidence")
        for model in ("original", "pruned", "recovered")
    ]
    return next((level for level in found if level is not None), 0.95)


def _task_row(run: Run, kind: str) -> QualityRow:
    where = ("tasks", kind)
    original = _solved(run, "original", where, "pass_at_1")
    return QualityRow(
        key=kind,
        label=TASK_LABELS.get(kind, kind.replace("_", " ")),
        original=original,
        num_problems=run.number("evaluate-original", *where, "num_problems"),
        pruned=_retention(
            run, "pruned", where, original, _solved(run, "pruned", where, "pass_at_1")
        ),
        recovered=_retention(
            run, "recovered", where, original, _solved(run, "recovered", where, "pass_at_1")
        ),
    )


def _robustness_row(run: Run) -> QualityRow:
    where = ("robustness",)
    original = _solved(run, "original", where, "robust_pass_at_1")
    return QualityRow(
        key="robustness",
        label="reworded tasks (robust)",
        original=original,
        num_problems=_rewordings(run),
        pruned=_retention(
            run, "pruned", where, original, _solved(run, "pruned", where, "robust_pass_at_1")
        ),
        recovered=_retention(
            run, "recovered", where, original, _solved(run, "recovered", where, "robust_pass_at_1")
        ),
    )


def _worst_case_row(run: Run) -> QualityRow:
    where, name = ("robustness",), "worst_case_pass_at_1"
    compared = ("robustness", "worst_case")
    original = _solved(run, "original", where, name, bounds="")
    return QualityRow(
        key="worst_case",
        label="all rewordings of a task at once",
        original=original,
        num_problems=run.number("evaluate-original", *where, "num_problems"),
        pruned=_retention(
            run, "pruned", compared, original, _solved(run, "pruned", where, name, bounds="")
        ),
        recovered=_retention(
            run, "recovered", compared, original, _solved(run, "recovered", where, name, bounds="")
        ),
    )


def _rewordings(run: Run) -> float | None:
    """Prompts that the robustness figures are over: one per problem and perturbation."""
    found = [
        run.number("evaluate-original", "robustness", name)
        for name in ("num_items", "num_problems")
    ]
    return next((number for number in found if number is not None), None)


def _overall_row(run: Run) -> QualityRow:
    """The pooled row, from the comparison if there is one and otherwise added up from the task
    kinds.
    """
    where = ("overall",)
    stage = "compare-recovered" if run.has("compare-recovered") else "compare-pruned"
    original = _pooled(run, stage, "original")
    number = run.number(stage, *where, "num_problems")
    return QualityRow(
        key="overall",
        label="all tasks together",
        original=original,
        num_problems=_sum(run, "original", "num_problems") if number is None else number,
        pruned=_retention(run, "pruned", where, original, _pooled(run, "compare-pruned", "pruned")),
        recovered=_retention(
            run, "recovered", where, original, _pooled(run, "compare-recovered", "recovered")
        ),
    )


def _solved(
    run: Run, model: str, where: tuple[str, ...], name: str, bounds: str = "interval"
) -> Cell:
    stage = f"evaluate-{model}"
    return figure(run, stage, run.get(stage, *where), name, "share", bounds=bounds)


def _pooled(run: Run, stage: str, model: str) -> Cell:
    role = "original" if model == "original" else "candidate"
    value = run.number(stage, "overall", f"{role}_pass_at_1")
    if value is not None:
        return Cell(value=value, text=percent(value), status="measured")
    passed, problems = (_sum(run, model, name) for name in ("num_passed", "num_problems"))
    if passed is None or not problems:
        return absent(f"evaluate-{model}", run)
    return Cell(value=passed / problems, text=percent(passed / problems), status="computed")


def _sum(run: Run, model: str, name: str) -> float | None:
    found = [run.number(f"evaluate-{model}", "tasks", kind, name) for kind in task_kinds(run)]
    known = [number for number in found if number is not None]
    return sum(known) if known and len(known) == len(found) else None


def _retention(
    run: Run, model: str, where: tuple[str, ...], original: Cell, solved: Cell
) -> KeptShare:
    stage = f"compare-{model}"
    part = run.get(stage, *where)
    return KeptShare(
        solved=solved,
        kept=kept(run, stage, part, original, solved),
        verdict=_verdict(run, stage, part),
        num_only_original=as_number(pick(part, "num_only_original")),
        num_only_candidate=as_number(pick(part, "num_only_candidate")),
        mcnemar_p=as_number(pick(part, "mcnemar_p")),
        non_inferiority_p=as_number(pick(part, "non_inferiority_p")),
        num_problems_needed=as_number(pick(part, "num_problems_needed")),
    )


def _verdict(run: Run, stage: str, part: Json) -> str:
    found = pick(part, "verdict")
    return found if isinstance(found, str) else "not run"
