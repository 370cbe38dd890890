"""Health of the judging: whether the scores can be trusted, printed with every report."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flab_deploy.records.evaluate import EvaluationRecord, PerturbationFigures
from flab_deploy.records.report import ReportTable
from flab_deploy.report.run import RunContents
from flab_deploy.report.tables import DASH, Line, Reading, readings, table
from flab_deploy.wording.numbers import count, listed, percent

_FEWEST_SOUND = 0.98
_MOST_EXCLUDED = 100
_FACTS: list[Reading[EvaluationRecord]] = [
    (
        "known right answers that pass the judge",
        lambda found: percent(found.health.canonical_pass_rate),
    ),
    (
        "problems judged, of all that were asked",
        lambda found: f"{count(found.health.num_judged)} of {count(found.health.num_problems)}",
    ),
    (
        "problems left out because their known answer fails here",
        lambda found: count(found.health.num_excluded),
    ),
    (
        "answers the judge could not run",
        lambda found: count(found.health.num_infrastructure_errors),
    ),
    ("answers cut off at the length limit", lambda found: count(found.health.num_truncated)),
    ("answers that are not valid Python", lambda found: count(found.health.num_unparsable)),
    (
        "answers stopped for time",
        lambda found: count(
            sum(number for name, number in found.health.verdicts.items() if "timeout" in name)
        ),
    ),
    (
        "perturbations that changed nothing, left out",
        lambda found: _over_methods(found, lambda one: one.num_unchanged),
    ),
    (
        "perturbations that broke their promise, left out",
        lambda found: _over_methods(found, lambda one: one.num_rejected),
    ),
]
_REPEATED: Reading[EvaluationRecord] = (
    "perturbed forms alike under several seeds, counted each",
    lambda found: _over_methods(found, lambda one: one.num_repeated or 0),
)
_SUITE: Reading[EvaluationRecord] = (
    "problem suite",
    lambda found: f"{found.suite.name} ({found.suite.digest[:12]})",
)


def _over_methods(found: EvaluationRecord, of: Callable[[PerturbationFigures], int]) -> str:
    methods = found.robustness.perturbations.values()
    return count(sum(map(of, methods))) if methods else DASH


def health_table(run: RunContents) -> ReportTable:
    """A line per fact about the judging, a cell per evaluated model."""
    judged = run.evaluations
    seeds = max((found.robustness.num_seeds for found in judged.values()), default=1)
    verdicts = dict.fromkeys(name for found in judged.values() for name in found.health.verdicts)
    facts = [*_FACTS, *([_REPEATED] if seeds > 1 else []), *map(_verdict, verdicts), _SUITE]
    why = "A judge that fails known right answers would make every score too low."
    note = f"{health_sentence(run)} {why}".strip()
    return table("health", "Health of the judging", ("", *judged), readings(facts, judged), note)


def _verdict(name: str) -> Reading[EvaluationRecord]:
    label = f"verdict: {name.replace('_', ' ')}"
    return label, lambda found: count(found.health.verdicts.get(name, 0))


def health_sentence(run: RunContents) -> str:
    """The health of the judging in one sentence; empty if nothing was evaluated."""
    if not run.evaluations:
        return ""
    health = list(run.evaluations.values())[-1].health
    facts = [
        f"{percent(health.canonical_pass_rate)} of the known right answers pass the judge",
        f"{count(health.num_excluded)} problems left out",
        f"{count(health.num_infrastructure_errors)} answers not judged",
        f"{count(health.num_truncated)} answers cut off",
    ]
    return f"Health of the judging: {listed(facts)}."


def health_warnings(run: RunContents) -> Iterator[str]:
    """What about the judging makes scores doubtful."""
    for model, found in run.evaluations.items():
        health = found.health
        if health.canonical_pass_rate < _FEWEST_SOUND:
            names = ", ".join(problem.task_id for problem in health.excluded[:3])
            yield (
                f"{percent(1 - health.canonical_pass_rate)} of the problems were left out of "
                f"evaluate-{model} because their own known answer fails here"
                f"{f' ({names}, …)' if names else ''}"
            )
        if number := health.num_infrastructure_errors:
            yield (
                f"evaluate-{model} could not judge {count(number)} answers, which count neither way"
            )


def excluded_tables(run: RunContents) -> list[ReportTable]:
    """The problems that were left out because their known answer fails here, if there are any: how
    that ends, and for whom.
    """
    models: dict[Line, list[str]] = {}
    for model, found in run.evaluations.items():
        for one in found.health.excluded:
            facts = (one.task_id, one.verdict.replace("_", " "), one.detail)
            models.setdefault(facts, []).append(model)
    if not models:
        return []
    lines = [(*facts, listed(names)) for facts, names in models.items()]
    more = f" The first {_MOST_EXCLUDED} of {count(len(lines))}." * (len(lines) > _MOST_EXCLUDED)
    note = (
        "Their own known answer does not pass their test on this machine, so nobody was "
        f"asked.{more}"
    )
    head = ("", "verdict on the known answer", "detail", "left out for")
    title = f"Problems left out: {count(len(lines))}"
    return [table("excluded", title, head, lines[:_MOST_EXCLUDED], note)]
