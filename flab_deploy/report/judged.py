"""The judged models: can their scores be trusted, what do plans do, what do programs risk."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flab_deploy.records.evaluate import (
    EvaluationRecord,
    PerturbationFigures,
    PlanGain,
    SecurityRecord,
    ThoughtRecord,
)
from flab_deploy.records.report import ReportTable
from flab_deploy.report.run import RunContents
from flab_deploy.report.tables import Line, Reading, readings, table
from flab_deploy.wording.fields import DASH
from flab_deploy.wording.numbers import count, gain, listed, percent, probability

_FEWEST_SOUND = 0.98
_MOST_EXCLUDED = 100
_FACTS: list[Reading[EvaluationRecord]] = [
    ("known right answers that pass the judge", lambda e: percent(e.health.canonical_pass_rate)),
    (
        "problems judged, of all that were asked",
        lambda e: f"{count(e.health.num_judged)} of {count(e.health.num_problems)}",
    ),
    (
        "problems left out because their known answer fails here",
        lambda e: count(e.health.num_excluded),
    ),
    ("answers the judge could not run", lambda e: count(e.health.num_infrastructure_errors)),
    ("answers cut off at the length limit", lambda e: count(e.health.num_truncated)),
    ("answers that are not valid Python", lambda e: count(e.health.num_unparsable)),
    (
        "answers stopped for time",
        lambda e: count(sum(n for name, n in e.health.verdicts.items() if "timeout" in name)),
    ),
    (
        "perturbations that changed nothing, left out",
        lambda e: _over_methods(e, lambda method: method.num_unchanged),
    ),
    (
        "perturbations that broke their promise, left out",
        lambda e: _over_methods(e, lambda method: method.num_rejected),
    ),
]
_REPEATED = "perturbed forms alike under several seeds, counted each"


def _over_methods(found: EvaluationRecord, of: Callable[[PerturbationFigures], int]) -> str:
    methods = found.robustness.perturbations.values()
    return count(sum(map(of, methods))) if methods else DASH


def health_table(run: RunContents) -> ReportTable:
    """A line per fact about the judging, a cell per evaluated model."""
    judged = run.evaluations
    seeds = max((found.robustness.num_seeds for found in judged.values()), default=1)
    verdicts = dict.fromkeys(name for found in judged.values() for name in found.health.verdicts)
    facts = [*_FACTS]
    if seeds > 1:
        facts.append((_REPEATED, lambda e: _over_methods(e, lambda one: one.num_repeated or 0)))
    facts += map(_verdict, verdicts)
    facts.append(("problem suite", lambda e: f"{e.suite.name} ({e.suite.digest[:12]})"))
    return table("health", readings(facts, judged), list(judged), sentence=health_sentence(run))


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
    """The problems left out because their known answer fails, if any: how, and for whom."""
    models: dict[Line, list[str]] = {}
    for model, found in run.evaluations.items():
        for one in found.health.excluded:
            facts = (one.task_id, one.verdict.replace("_", " "), one.detail)
            models.setdefault(facts, []).append(model)
    if not models:
        return []
    lines = [(*facts, listed(names)) for facts, names in models.items()]
    number, most = count(len(lines)), _MOST_EXCLUDED
    more = f" The first {most} of {number}." if len(lines) > most else ""
    return [table("excluded", lines[:most], number=number, more=more)]


def effect_tables(run: RunContents) -> list[ReportTable]:
    """Chain of thought and security of the written code, a column per evaluated model."""
    judged = run.evaluations
    risks = {model: found.security for model, found in judged.items()}
    plans = {model: found.chain_of_thought for model, found in judged.items()}
    rules = sorted({rule for found in risks.values() if found for rule in found.findings})
    security = [*_SECURITY, *map(_finding, rules)]
    return [
        table("chain-of-thought", readings(_THOUGHT, plans), list(judged)),
        table("security", readings(security, risks), list(judged)),
    ]


def _gain(found: PlanGain) -> str:
    return f"{gain(found.difference, found.interval)}, {probability(found.mcnemar_p)}"


def _finding(rule: str) -> Reading[SecurityRecord]:
    label = f"programs with the finding: {rule.replace('_', ' ')}"
    return label, lambda found: count(found.findings.get(rule, 0))


_THOUGHT: list[Reading[ThoughtRecord]] = [
    ("problems asked in all three ways", lambda found: count(found.num_problems)),
    ("solved without a plan", lambda found: percent(found.pass_at_1.none)),
    ("solved with the model's own plan", lambda found: percent(found.pass_at_1.own)),
    ("solved with the reference plan", lambda found: percent(found.pass_at_1.reference)),
    ("gain from its own plan", lambda found: _gain(found.own_plan)),
    ("gain from the reference plan", lambda found: _gain(found.reference_plan)),
    ("BLEU-4 of its plans against the reference's", lambda found: f"{found.bleu_4:.3f}"),
]
_SECURITY: list[Reading[SecurityRecord]] = [
    ("programs looked at", lambda found: count(found.num_programs)),
    ("right, and free of findings", lambda found: percent(found.secure_and_correct_at_1)),
    ("programs with findings", lambda found: count(found.num_with_findings)),
    ("not valid Python", lambda found: count(found.num_unparsable)),
]
