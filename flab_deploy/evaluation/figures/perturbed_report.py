"""What one model achieves on perturbed prompts: rates by method, over all of them, and in the worst
case.
"""

from __future__ import annotations

from collections.abc import Sequence

from flab_deploy.evaluation.figures.robustness import robust_figures
from flab_deploy.evaluation.perturb.catalogue import METHODS
from flab_deploy.evaluation.statistics import clustered_wilson_interval
from flab_deploy.evaluation.tasks.suite import Suite
from flab_deploy.evaluation.writing.attempt import Attempt
from flab_deploy.records.evaluate import Interval, PerturbationFigures, RobustnessRecord

_Key = tuple[str | None, str, int]


def rate(attempts: Sequence[Attempt], confidence: float) -> tuple[float | None, Interval]:
    """pass@1 and its Wilson interval; attempts at one composition, or else at one problem, are a
    cluster. None without attempts.
    """
    passed = [a.passed for a in attempts]
    interval = clustered_wilson_interval(
        passed, [a.task.composition or a.task.task_id for a in attempts], confidence
    )
    return sum(passed) / len(passed) if passed else None, interval


def perturbed_report(
    judged: Sequence[Attempt], suite: Suite, confidence: float
) -> RobustnessRecord:
    """Rates under each perturbation, over all perturbed items, and for problems right under every
    perturbation.

    The worst case is ReCode's robust pass@1: by method over its seeds, and over all seeds of all
    methods but the probes. Items are compared with the unperturbed prompt of their shape.
    """
    plain = {(a.perturbation, a.task.task_id, a.sample): a for a in judged if a.variant == 0}
    methods: dict[str, PerturbationFigures] = {}
    pooled: list[Attempt] = []
    for name in suite.methods:
        found = [a for a in judged if a.perturbation == name and _baseline_of(a) in plain]
        methods[name] = _method_figures(name, found, plain, suite, confidence)
        pooled += [] if METHODS[name].probe else found
    worst: dict[tuple[str, int], bool] = {}
    for attempt in pooled:
        key = (attempt.task.task_id, attempt.sample)
        worst[key] = worst.get(key, True) and attempt.passed
    robust_pass_at_1, interval = rate(pooled, confidence)
    before = sum(plain[_baseline_of(a)].passed for a in pooled)
    after = sum(a.passed for a in pooled)
    return RobustnessRecord(
        task_kind="function_synthesis",
        num_problems=len({key for key, _ in worst}),
        num_items=len(pooled),
        num_seeds=suite.perturbation_seeds,
        nominal_pass_at_1=before / len(pooled) if pooled else None,
        robust_pass_at_1=robust_pass_at_1,
        interval=interval,
        robust_drop_at_1=(before - after) / before if before else None,
        worst_case_pass_at_1=sum(worst.values()) / len(worst) if worst else None,
        perturbations=methods,
    )


def _method_figures(
    name: str, found: Sequence[Attempt], plain: dict[_Key, Attempt], suite: Suite, confidence: float
) -> PerturbationFigures:
    """Counts, rates and worst case under one method."""
    method, counts = METHODS[name], suite.methods[name]
    before = [plain[_baseline_of(a)] for a in found]
    nominal = _forms([plain[key] for key in dict.fromkeys(map(_baseline_of, found))])
    pass_at_1, interval = rate(found, confidence)
    return PerturbationFigures(
        family=method.family,
        probe=method.probe,
        baseline=method.baseline,
        num_items=counts.num_items,
        num_unchanged=counts.num_unchanged,
        num_rejected=counts.num_rejected,
        num_repeated=suite.num_repeated(name) if suite.perturbation_seeds > 1 else None,
        nominal_pass_at_1=rate(before, confidence)[0],
        pass_at_1=pass_at_1,
        interval=interval,
        worst_case=robust_figures(
            {task_id: forms[0] for task_id, forms in nominal.items()}, _forms(found)
        ),
    )


def _forms(attempts: Sequence[Attempt]) -> dict[str, list[list[bool]]]:
    """Verdicts by problem, form and sample; forms of which not every sample was judged are left
    out.
    """
    samples: dict[tuple[str, int], list[bool]] = {}
    for attempt in attempts:
        samples.setdefault((attempt.task.task_id, attempt.variant), []).append(attempt.passed)
    most = max(map(len, samples.values()), default=0)
    forms: dict[str, list[list[bool]]] = {}
    for (task_id, _), verdicts in samples.items():
        if len(verdicts) == most:
            forms.setdefault(task_id, []).append(verdicts)
    return forms


def _baseline_of(attempt: Attempt) -> _Key:
    """Perturbation, task id and sample of the unperturbed prompt that an item is compared with."""
    return METHODS[attempt.perturbation or ""].baseline, attempt.task.task_id, attempt.sample
