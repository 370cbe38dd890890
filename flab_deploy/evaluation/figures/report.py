"""The records of an evaluation from its judged attempts: the report, and a line for each prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from flab_deploy.corpus import ALL_TASK_KINDS
from flab_deploy.evaluation.figures.effects import pass_at_more, security, thought_effect
from flab_deploy.evaluation.figures.perturbed_report import perturbed_report, rate
from flab_deploy.evaluation.tasks.suite import Suite
from flab_deploy.evaluation.writing.attempt import Attempt
from flab_deploy.records.evaluate import (
    EvaluatedModel,
    EvaluationRecord,
    HealthRecord,
    SampleVerdict,
    SandboxRecord,
    SuiteRecord,
    TaskFigures,
    VerdictLine,
)
from flab_deploy.sandbox import describe_sandbox
from flab_deploy.settings.evaluate import EvaluateConfig


def make_report(
    attempts: Sequence[Attempt], suite: Suite, config: EvaluateConfig, model: EvaluatedModel
) -> EvaluationRecord:
    """The report: rates with Wilson intervals by kind and by perturbation, and how sound the data
    is.
    """
    judged = [a for a in attempts if a.verdict != "infra_error"]
    nominal = [a for a in judged if a.nominal]
    by_kind = {kind: [a for a in nominal if a.task.kind == kind] for kind in ALL_TASK_KINDS}
    sandbox = describe_sandbox()
    return EvaluationRecord(
        schema_version=1,
        model=model,
        suite=SuiteRecord(name=suite.name, digest=suite.digest, num_problems=len(suite.tasks)),
        confidence=config.confidence,
        tasks={kind: _task_figures(found, config) for kind, found in by_kind.items() if found},
        robustness=perturbed_report(
            [a for a in judged if a.thought == "own"], suite, config.confidence
        ),
        chain_of_thought=thought_effect(judged, config.confidence),
        security=security(nominal),
        health=_health(attempts, suite),
        sandbox=SandboxRecord(
            tier=str(sandbox["tier"]),
            layers=tuple(str(layer) for layer in sandbox["layers"]),
            cpu_limit_s=config.cpu_limit_s,
            memory_limit_bytes=config.memory_limit_bytes,
        ),
    )


def _task_figures(found: Sequence[Attempt], config: EvaluateConfig) -> TaskFigures:
    pass_at_1, interval = rate(found, config.confidence)
    return TaskFigures(
        num_problems=len({a.task.task_id for a in found}),
        num_passed=sum(a.passed for a in found),
        pass_at_1=pass_at_1,
        interval=interval,
        pass_at_k=pass_at_more(found, config.pass_k, config.num_samples),
    )


def _health(attempts: Sequence[Attempt], suite: Suite) -> HealthRecord:
    nominal = [a for a in attempts if a.nominal]
    return HealthRecord(
        num_problems=len(suite.tasks),
        num_judged=sum(a.verdict != "infra_error" for a in nominal),
        canonical_pass_rate=suite.canonical_pass_rate,
        num_excluded=len(suite.excluded),
        excluded=suite.excluded,
        verdicts=dict(sorted(Counter(a.verdict for a in nominal).items())),
        num_truncated=sum(a.truncated for a in nominal),
        num_unparsable=sum(a.unparsable for a in nominal),
        num_infrastructure_errors=sum(a.verdict == "infra_error" for a in attempts),
    )


def verdict_lines(attempts: Iterable[Attempt]) -> list[VerdictLine]:
    """One line per prompt: its first sample, and how many of all were right."""
    grouped: dict[tuple[str, str | None, int, str], list[Attempt]] = {}
    for attempt in attempts:
        key = (attempt.task.task_id, attempt.perturbation, attempt.variant, attempt.thought)
        grouped.setdefault(key, []).append(attempt)
    return [_verdict_line(same) for same in grouped.values()]


def _verdict_line(same: Sequence[Attempt]) -> VerdictLine:
    first = same[0]
    samples = tuple(SampleVerdict(verdict=a.verdict, completion=a.completion) for a in same)
    return VerdictLine(
        task_id=first.task.task_id,
        kind=first.task.kind,
        composition=first.task.composition,
        perturbation=first.perturbation,
        variant=first.variant,
        thought=first.thought,
        verdict=first.verdict,
        passed=first.passed,
        completion=first.completion,
        num_samples=len(same),
        num_passed=sum(a.passed for a in same),
        findings=first.findings,
        samples=samples if len(same) > 1 else (),
    )
