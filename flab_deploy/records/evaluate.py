"""What `evaluate` says of one model: `report.json`, a line per prompt, and how long it took."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flab_deploy.records.document import record

REPORT_FILE, VERDICTS_FILE, THOUGHTS_FILE, TIMINGS_FILE = (
    "report.json",
    "verdicts.jsonl",
    "thoughts.jsonl",
    "timings.json",
)
Interval: TypeAlias = tuple[float, float]


@record
class EvaluatedModel:
    """Who was judged."""

    digest: str
    name: str


@record
class SuiteRecord:
    """What it was judged on."""

    name: str
    digest: str
    """SHA-256 over the problems and their perturbed forms."""
    num_problems: int


@record
class TaskFigures:
    """One kind of task."""

    num_problems: int
    num_passed: int
    """Answers that are right, over all samples."""
    pass_at_1: float | None
    interval: Interval
    pass_at_k: dict[str, float]
    """By k, for every k above 1 that was asked for."""


@record
class RobustFigures:
    """Worst and mean case over the forms of each problem (ReCode, equations 1 to 3), for k = 1."""

    num_problems: int
    num_forms: int
    pass_at_1: float | None
    mean_case_pass_at_1: float | None
    robust_pass_at_1: float | None
    robust_drop_at_1: float | None
    robust_relative_at_1: float | None
    attack_success_at_1: float | None
    exchangeable_robust_pass_at_1: float | None
    """Only with several samples per form."""


@record
class PerturbationFigures:
    """One perturbation method."""

    family: str
    probe: bool
    """Whether it stays out of the headline figure."""
    baseline: str | None
    """Method whose prompts it is compared with; None for the prompts as written."""
    num_items: int
    num_unchanged: int
    num_rejected: int
    num_repeated: int | None
    """Forms that read as another seed's do; None with one seed."""
    nominal_pass_at_1: float | None
    pass_at_1: float | None
    interval: Interval
    worst_case: RobustFigures


@record
class RobustnessRecord:
    """Perturbed prompts of function-synthesis problems."""

    task_kind: str
    num_problems: int
    num_items: int
    num_seeds: int
    """Forms drawn of each problem under each method."""
    nominal_pass_at_1: float | None
    robust_pass_at_1: float | None
    interval: Interval
    robust_drop_at_1: float | None
    worst_case_pass_at_1: float | None
    """Share of the problems that are solved under every method and seed."""
    perturbations: dict[str, PerturbationFigures]


@record
class PlanGain:
    """What a plan adds to pass@1, paired over the problems."""

    difference: float
    interval: Interval
    num_only_without: int
    num_only_with: int
    mcnemar_p: float


@record
class WaysOfThought:
    """pass@1 by the plan that was given."""

    own: float
    none: float
    reference: float


@record
class ThoughtRecord:
    """Chain-of-thought problems asked for in three ways."""

    num_problems: int
    pass_at_1: WaysOfThought
    own_plan: PlanGain
    reference_plan: PlanGain
    bleu_4: float
    """Words of the model's plans against the reference's."""


@record
class SecurityRecord:
    """Static findings in the programs written."""

    num_programs: int
    num_unparsable: int
    num_with_findings: int
    secure_and_correct_at_1: float
    findings: dict[str, int]
    """Programs by rule."""


@record
class ExcludedProblem:
    """A problem whose own solution fails here."""

    task_id: str
    verdict: str
    detail: str


@record
class HealthRecord:
    """How sound the judging was."""

    num_problems: int
    num_judged: int
    canonical_pass_rate: float
    """Share of the problems whose own solution passes."""
    num_excluded: int
    excluded: tuple[ExcludedProblem, ...]
    verdicts: dict[str, int]
    """Answers to unperturbed prompts by verdict."""
    num_truncated: int
    num_unparsable: int
    num_infrastructure_errors: int


@record
class SandboxRecord:
    """What the programs were confined by."""

    tier: str
    layers: tuple[str, ...]
    cpu_limit_s: float
    memory_limit_bytes: int


@record
class EvaluationRecord:
    """One model on one suite."""

    schema_version: Literal[1]
    model: EvaluatedModel
    suite: SuiteRecord
    confidence: float
    tasks: dict[str, TaskFigures]
    """By kind of task."""
    robustness: RobustnessRecord
    chain_of_thought: ThoughtRecord | None
    security: SecurityRecord | None
    health: HealthRecord
    sandbox: SandboxRecord


@record
class SampleVerdict:
    """One answer to a prompt."""

    verdict: str
    completion: str


@record
class VerdictLine:
    """What became of one prompt: a line of `verdicts.jsonl`; of several samples, the first."""

    task_id: str
    kind: str
    composition: str
    """Problems of one composition are one cluster; empty if each stands alone."""
    perturbation: str | None
    variant: int
    """Which of several forms that the method drew."""
    thought: Literal["own", "none", "reference"]
    """Whose plan the prompt holds."""
    verdict: str
    passed: bool
    completion: str
    num_samples: int
    num_passed: int
    findings: tuple[str, ...]
    samples: tuple[SampleVerdict, ...]
    """Every sample, where there are several."""


@record
class EvaluationTimings:
    """Where the time went: `timings.json`."""

    schema_version: Literal[1]
    suite_s: float
    generation_s: float
    judging_s: float
    num_prompts: int
    num_new_tokens: int
    new_tokens_per_s: float
    num_tasks_with_more_time: int
    most_cpu_limit_s: float


@record
class EvaluationFigures:
    """The figures that `evaluate` shows."""

    suite: SuiteRecord
    tasks: dict[str, TaskFigures]
    health: HealthRecord
