"""Quality before and after recovery: original, pruned and recovered on the same problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flab_deploy.corpus import TASK_LABELS
from flab_deploy.records.compare import ClaimFigures, ComparisonRecord
from flab_deploy.records.evaluate import EvaluationRecord, Interval, TaskFigures
from flab_deploy.records.report import KeptShare, QualityRow, ReportCell
from flab_deploy.report.cells import NOT_RUN, absent, figure, kept
from flab_deploy.report.run import MODELS, RunContents
from flab_deploy.settings.compare import CompareConfig

_Solved = tuple[float | None, Interval | None]


@dataclass(frozen=True, kw_only=True)
class ProblemSet:
    """A set of problems that models are judged and compared on."""

    key: str
    """Stable name."""
    label: str
    """The set in words."""
    solved: Callable[[EvaluationRecord], _Solved]
    """Share that a model solves, with its interval."""
    size: Callable[[EvaluationRecord], int | None]
    """Problems in it."""
    claim: Callable[[ComparisonRecord], ClaimFigures | None]
    """What a comparison says of it."""

    def cell(self, run: RunContents, model: str) -> ReportCell:
        """Share of the set that a model of the run solves."""
        found = run.evaluations.get(model)
        value, interval = self.solved(found) if found else (None, None)
        if value is None:
            return absent(run, f"evaluate-{model}")
        return figure(value, "share", interval=interval)


def quality_rows(run: RunContents) -> list[QualityRow]:
    """One row per task kind, one for all of them together, two for robustness: by rewording, and in
    the worst case.
    """
    kinds = [_row(run, task_set(kind)) for kind in task_kinds(run)]
    return [*kinds, _overall_row(run), _row(run, ROBUSTNESS), _row(run, _WORST_CASE)]


def task_kinds(run: RunContents) -> list[str]:
    """Task kinds of the run's evaluations, the known ones first; the known ones alone if nothing
    was evaluated.
    """
    found = {kind for evaluation in run.evaluations.values() for kind in evaluation.tasks}
    known = [kind for kind in TASK_LABELS if kind in found or not found]
    return known + sorted(found - set(known))


def task_label(kind: str) -> str:
    """A kind of task in words."""
    return TASK_LABELS.get(kind, kind.replace("_", " "))


def task_set(kind: str) -> ProblemSet:
    """The problems of one kind."""

    def figures(found: EvaluationRecord) -> TaskFigures | None:
        return found.tasks.get(kind)

    return ProblemSet(
        key=kind,
        label=task_label(kind),
        solved=lambda found: (one.pass_at_1, one.interval) if (one := figures(found)) else _NONE,
        size=lambda found: one.num_problems if (one := figures(found)) else None,
        claim=lambda found: found.tasks.get(kind),
    )


_NONE: _Solved = (None, None)
ROBUSTNESS = ProblemSet(
    key="robustness",
    label="reworded tasks (robust)",
    solved=lambda found: (found.robustness.robust_pass_at_1, found.robustness.interval),
    size=lambda found: found.robustness.num_items,
    claim=lambda found: found.robustness,
)
"""Every perturbed prompt by itself."""
_WORST_CASE = ProblemSet(
    key="worst_case",
    label="all rewordings of a task at once",
    solved=lambda found: (found.robustness.worst_case_pass_at_1, None),
    size=lambda found: found.robustness.num_problems,
    claim=lambda found: found.robustness.worst_case if found.robustness else None,
)


def margin(run: RunContents) -> float:
    """Share of the original's pass@1 that must be kept, in [0, 1]."""
    found = run.compare_recovered or run.compare_pruned
    return found.margin if found else CompareConfig().margin


def confidence(run: RunContents) -> float:
    """Confidence level of the intervals, in (0, 1)."""
    found = next(iter(run.evaluations.values()), None)
    return found.confidence if found else CompareConfig().confidence


def _row(run: RunContents, one: ProblemSet) -> QualityRow:
    original, judged = one.cell(run, "original"), run.evaluate_original
    return QualityRow(
        key=one.key,
        label=one.label,
        num_problems=one.size(judged) if judged else None,
        original=original,
        pruned=_kept_share(run, "pruned", one.claim, original, one.cell(run, "pruned")),
        recovered=_kept_share(run, "recovered", one.claim, original, one.cell(run, "recovered")),
    )


def _overall_row(run: RunContents) -> QualityRow:
    """The pooled row, from the comparison if there is one and otherwise added up from the task
    kinds.
    """

    def claim(found: ComparisonRecord) -> ClaimFigures:
        return found.overall

    compared = run.compare_recovered or run.compare_pruned
    original = _pooled(run, "original", compared)
    pruned, recovered = (_pooled(run, model, run.comparisons.get(model)) for model in MODELS[1:])
    judged = run.evaluate_original
    size = sum(part.num_problems for part in judged.tasks.values()) if judged else None
    return QualityRow(
        key="overall",
        label="all tasks together",
        num_problems=compared.overall.num_problems if compared else size,
        original=original,
        pruned=_kept_share(run, "pruned", claim, original, pruned),
        recovered=_kept_share(run, "recovered", claim, original, recovered),
    )


def _pooled(run: RunContents, model: str, compared: ComparisonRecord | None) -> ReportCell:
    if compared is not None:
        whole = compared.overall
        role = whole.original_pass_at_1 if model == "original" else whole.candidate_pass_at_1
        return figure(role, "share")
    judged = run.evaluations.get(model)
    parts = [judged.tasks.get(kind) for kind in task_kinds(run)] if judged else []
    shares = [(part.pass_at_1, part.num_problems) if part else (None, 0) for part in parts]
    known = [(share * size, size) for share, size in shares if share is not None]
    if not known or len(known) < len(shares):
        return absent(run, f"evaluate-{model}")
    return figure(sum(s for s, _ in known) / sum(n for _, n in known), "share", "computed")


def _kept_share(
    run: RunContents,
    model: str,
    read: Callable[[ComparisonRecord], ClaimFigures | None],
    original: ReportCell,
    solved: ReportCell,
) -> KeptShare:
    compared = run.comparisons.get(model)
    claim = read(compared) if compared else None
    return KeptShare(
        solved=solved,
        kept=kept(run, f"compare-{model}", claim, original, solved),
        num_only_original=claim.num_only_original if claim else None,
        num_only_candidate=claim.num_only_candidate if claim else None,
        verdict=claim.verdict if claim else NOT_RUN,
        mcnemar_p=claim.mcnemar_p if claim else None,
        non_inferiority_p=claim.non_inferiority_p if claim else None,
        num_problems_needed=claim.num_problems_needed if claim else None,
    )
