"""Writing evaluation directories with chosen verdicts, as `flab evaluate` leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flab_deploy.artifacts import Draft, run_stage
from flab_deploy.evaluation.figures.robustness import robust_figures
from flab_deploy.records.document import write_lines, write_record
from flab_deploy.records.evaluate import (
    REPORT_FILE,
    VERDICTS_FILE,
    EvaluatedModel,
    EvaluationRecord,
    HealthRecord,
    PerturbationFigures,
    RobustnessRecord,
    SandboxRecord,
    SuiteRecord,
    TaskFigures,
    VerdictLine,
)

# Family, whether it is a probe, and the method whose prompt it starts from.
METHODS = {
    "char_case": ("wording", False, None),
    "synonyms": ("wording", False, None),
    "blank_lines": ("layout", False, None),
    "last_character": ("layout", True, None),
    "code_prefix": ("syntax", True, None),
    "var_renamer": ("syntax", False, "code_prefix"),
}


def write_evaluation(
    folder: Path,
    solved: Sequence[bool],
    *,
    perturbed: Mapping[str, Sequence[bool] | Sequence[Sequence[bool]]] | None = None,
    model: str = "a",
    suite: str = "s",
    cluster_size: int = 1,
    batch_size: int = 128,
) -> Path:
    """An evaluation of `len(solved)` function problems, and of some of them under each
    perturbation.

    The verdicts under a perturbation are one per problem, or for each of several seeds one per
    problem.
    """
    lines = [verdict_line(i, right, cluster_size=cluster_size) for i, right in enumerate(solved)]
    for method, verdicts in (perturbed or {}).items():
        for variant, seed in enumerate(verdicts if isinstance(verdicts[0], list) else [verdicts]):
            lines += [
                verdict_line(i, right, method, variant, cluster_size=cluster_size)
                for i, right in enumerate(seed)
            ]
    report = evaluation_record(
        solved,
        model=model,
        suite=suite,
        methods={name: method_figures(name) for name in perturbed or {}},
    )

    def work(draft: Draft) -> None:
        write_record(draft.path / REPORT_FILE, report)
        write_lines(draft.path / VERDICTS_FILE, lines)

    run_stage(
        folder,
        kind="evaluation",
        module="flab_deploy.artifacts",
        parents={"model": model * 64},
        config={"batch_size": batch_size},
        work=work,
    )
    return folder


def evaluation_record(
    solved: Sequence[bool],
    *,
    model: str = "a",
    suite: str = "s",
    methods: Mapping[str, PerturbationFigures] | None = None,
) -> EvaluationRecord:
    """The report of an evaluation; what comparisons do not look at is made up."""
    return EvaluationRecord(
        schema_version=1,
        model=EvaluatedModel(digest=model * 64, name=f"model-{model}"),
        suite=SuiteRecord(name="made up", digest=suite * 64, num_problems=len(solved)),
        confidence=0.95,
        tasks={
            "function_synthesis": TaskFigures(
                num_problems=len(solved),
                num_passed=sum(solved),
                pass_at_1=sum(solved) / len(solved),
                interval=(0.0, 1.0),
                pass_at_k={},
            )
        },
        robustness=RobustnessRecord(
            task_kind="function_synthesis",
            num_problems=0,
            num_items=0,
            num_seeds=1,
            nominal_pass_at_1=None,
            robust_pass_at_1=None,
            interval=(0.0, 1.0),
            robust_drop_at_1=None,
            worst_case_pass_at_1=None,
            perturbations=dict(methods or {}),
        ),
        chain_of_thought=None,
        security=None,
        health=HealthRecord(
            num_problems=len(solved),
            num_judged=len(solved),
            canonical_pass_rate=1.0,
            num_excluded=0,
            excluded=(),
            verdicts={},
            num_truncated=2,
            num_unparsable=1,
            num_infrastructure_errors=0,
        ),
        sandbox=SandboxRecord(tier="none", layers=(), cpu_limit_s=1.0, memory_limit_bytes=1 << 28),
    )


def method_figures(name: str) -> PerturbationFigures:
    """What the report says of a perturbation method that made one item."""
    family, probe, baseline = METHODS[name]
    return PerturbationFigures(
        family=family,
        probe=probe,
        baseline=baseline,
        num_items=1,
        num_unchanged=1,
        num_rejected=0,
        num_repeated=None,
        nominal_pass_at_1=None,
        pass_at_1=None,
        interval=(0.0, 1.0),
        worst_case=robust_figures({}, {}),
    )


def verdict_line(
    number: int,
    right: bool,
    perturbation: str | None = None,
    variant: int = 0,
    *,
    cluster_size: int = 1,
) -> VerdictLine:
    """What became of the problem of that number; so many problems after one another are one
    cluster.
    """
    return VerdictLine(
        task_id=f"t/{number}",
        kind="function_synthesis",
        composition=f"c{number // cluster_size}" if cluster_size > 1 else "",
        perturbation=perturbation,
        variant=variant,
        thought="own",
        verdict="pass" if right else "fail_assert",
        passed=right,
        completion="",
        num_samples=1,
        num_passed=int(right),
        findings=(),
        samples=(),
    )
