"""Quality before and after recovery: original, pruned and recovered on the same problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from flab_deploy.corpus import TASK_LABELS
from flab_deploy.records.compare import ClaimFigures, ComparisonRecord
from flab_deploy.records.evaluate import EvaluationRecord, Interval, TaskFigures
from flab_deploy.records.report import KeptShare, QualityRow, ReportCell
from flab_deploy.report.cells import NOT_RUN, figure, kept
from flab_deploy.report.run import MODELS, RunContents
from flab_deploy.settings.compare import CompareConfig


@dataclass(frozen=True, kw_only=True)
class ProblemSet:
    """A set of problems that models are judged and compared on."""

    key: str
    label: str
    """The set in words."""
    solved: Callable[[EvaluationRecord], tuple[float | None, Interval | None]]
    """Share that a model solves, with its interval."""
    size: Callable[[EvaluationRecord], int | None]
    """Problems in it."""
    claim: Callable[[ComparisonRecord], ClaimFigures | None]
    """What a comparison says of it."""

    def cell(self, run: RunContents, model: str) -> ReportCell:
        """Share of the set that a model of the run solves."""
        found = run.evaluations.get(model)
        value, interval = self.solved(found) if found else (None, None)
        return figure(run, f"evaluate-{model}", value, "share", interval=interval)

    def claim_on(self, run: RunContents, model: str) -> ClaimFigures | None:
        """What the comparison of a model of the run says of the set."""
        found = run.comparisons.get(model)
        return self.claim(found) if found else None


def task_label(kind: str) -> str:
    """A kind of task in words."""
    return TASK_LABELS.get(kind, kind.replace("_", " "))


def task_sets(run: RunContents) -> list[ProblemSet]:
    """The problems of each kind that was evaluated, or of each known kind if none was."""
    found = {kind for evaluation in run.evaluations.values() for kind in evaluation.tasks}
    known = [kind for kind in TASK_LABELS if kind in found or not found]
    return [_task_set(kind) for kind in known + sorted(found - set(known))]


def _task_set(kind: str) -> ProblemSet:
    return ProblemSet(
        key=kind,
        label=task_label(kind),
        solved=lambda e: (t.pass_at_1, t.interval) if (t := e.tasks.get(kind)) else (None, None),
        size=lambda e: t.num_problems if (t := e.tasks.get(kind)) else None,
        claim=lambda c: c.tasks.get(kind),
    )


ROBUSTNESS = ProblemSet(
    key="robustness",
    label="reworded tasks (robust)",
    solved=lambda e: (e.robustness.robust_pass_at_1, e.robustness.interval),
    size=lambda e: e.robustness.num_items,
    claim=lambda c: c.robustness,
)
"""Every perturbed prompt by itself."""
_WORST_CASE = ProblemSet(
    key="worst_case",
    label="all rewordings of a task at once",
    solved=lambda e: (e.robustness.worst_case_pass_at_1, None),
    size=lambda e: e.robustness.num_problems,
    claim=lambda c: c.robustness.worst_case if c.robustness else None,
)
_OVERALL = ProblemSet(
    key="overall",
    label="all tasks together",
    solved=lambda e: (_pooled(list(e.tasks.values())), None),
    size=lambda e: sum(one.num_problems for one in e.tasks.values()),
    claim=lambda c: c.overall,
)


def _pooled(parts: list[TaskFigures]) -> float | None:
    shares = [(one.pass_at_1, one.num_problems) for one in parts]
    solved = [share * size for share, size in shares if share is not None]
    return sum(solved) / sum(size for _, size in shares) if len(solved) == len(parts) > 0 else None


def quality_rows(run: RunContents) -> list[QualityRow]:
    """One row per task kind, one for all together, one by rewording and one for the worst case."""
    return [_row(run, one) for one in (*task_sets(run), _OVERALL, ROBUSTNESS, _WORST_CASE)]


def final_share(final: str, row: QualityRow) -> KeptShare:
    """What a row says of the slimmed model, `final`."""
    return row.pruned if final == "pruned" else row.recovered


def margin(run: RunContents) -> float:
    """Share of the original's pass@1 that must be kept, in [0, 1]."""
    found = run.compare_recovered or run.compare_pruned
    return found.margin if found else CompareConfig().margin


def confidence(run: RunContents) -> float:
    """Confidence level of the intervals, in (0, 1)."""
    found = next(iter(run.evaluations.values()), None)
    return found.confidence if found else CompareConfig().confidence


def _row(run: RunContents, one: ProblemSet) -> QualityRow:
    original, pruned, recovered = (_solved(run, one, model) for model in MODELS)
    judged, compared = run.evaluate_original, run.compare_recovered or run.compare_pruned
    size = one.size(judged) if judged else None
    return QualityRow(
        key=one.key,
        label=one.label,
        num_problems=compared.overall.num_problems if one is _OVERALL and compared else size,
        original=original,
        pruned=_share(run, one, "pruned", (original, pruned)),
        recovered=_share(run, one, "recovered", (original, recovered)),
    )


def _solved(run: RunContents, one: ProblemSet, model: str) -> ReportCell:
    """What a model solves; of all tasks together what the comparison says, if there is one."""
    if one is not _OVERALL:
        return one.cell(run, model)
    last = "recovered" if run.compare_recovered else "pruned"
    name = last if model == "original" else model
    if found := run.comparisons.get(name):
        whole = found.overall
        share = whole.original_pass_at_1 if model == "original" else whole.candidate_pass_at_1
        return figure(run, f"compare-{name}", share, "share")
    pooled = one.cell(run, model)
    return pooled if pooled.value is None else replace(pooled, status="computed")


def _share(
    run: RunContents, one: ProblemSet, model: str, solved: tuple[ReportCell, ReportCell]
) -> KeptShare:
    claim = one.claim_on(run, model)
    return KeptShare(
        solved=solved[1],
        kept=kept(run, f"compare-{model}", claim, solved),
        verdict=claim.verdict if claim else NOT_RUN,
        claim=claim,
    )
