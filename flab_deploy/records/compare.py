"""What two evaluations say together: `comparison.json`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flab_deploy.records.document import record
from flab_deploy.records.evaluate import HealthRecord, Interval

COMPARISON_FILE = "comparison.json"
ProblemIdentity: TypeAlias = Literal["texts", "data set", "ids"]
"""What shows that two result files are on the same problems: each problem's text, the digest of the
data set, or nothing but the problems' ids.
"""
ClaimVerdict: TypeAlias = Literal["shown", "not shown", "underpowered"]


@record
class ClaimFigures:
    """The claim "keeps at least the margin" on one set of problems."""

    num_problems: int
    num_clusters: int
    design_effect: float
    """Variance with clusters over that without."""
    original_pass_at_1: float
    candidate_pass_at_1: float
    difference: float
    difference_interval: Interval
    retention: float | None
    """Candidate's share over the original's; None where the original solves nothing."""
    retention_interval: Interval | None
    num_only_original: int
    num_only_candidate: int
    mcnemar_p: float
    non_inferiority_p: float | None
    verdict: ClaimVerdict
    num_problems_needed: int | None
    """Problems that would show the claim for an equal model."""


@record
class TaskClaim(ClaimFigures):
    """The claim on one kind of task."""

    holm_p: float | None
    """Adjusted for the number of kinds: holds for calling it shown of some kind."""


@record
class WorstCaseClaim(ClaimFigures):
    """The claim over problems that count only if solved under every form."""

    num_forms: int


@record
class PairFigures:
    """Two models on the perturbed prompts of one method or family."""

    num_items: int
    original_pass_at_1: float
    candidate_pass_at_1: float
    difference: float
    difference_interval: Interval
    retention: float | None
    retention_interval: Interval | None
    num_only_original: int
    num_only_candidate: int
    mcnemar_p: float
    """Exact over clusters."""


@record
class FamilyPair(PairFigures):
    """One family of methods."""

    holm_p: float


@record
class MethodPair(PairFigures):
    """One method."""

    benjamini_hochberg_p: float


@record
class DropRecord:
    """Robust drop (ReCode) of both models."""

    original: float | None
    candidate: float | None
    difference: float | None
    """The candidate's minus the original's."""
    interval: Interval | None


@record
class RobustnessClaim(ClaimFigures):
    """The claim over all perturbed prompts, and where it fails."""

    worst_case: WorstCaseClaim | None
    drop: DropRecord | None
    families: dict[str, FamilyPair]
    perturbations: dict[str, MethodPair]


@record
class ChangedProblem:
    """A problem that only one of the models solves."""

    task_id: str
    kind: str
    verdict: str
    """How the other model's answer ended."""


@record
class NoiseRecord:
    """How often one model disagrees with itself."""

    num_problems: int
    num_flips: int
    flip_rate: float
    interval: Interval
    difference: float
    num_disagreements: int | None
    """Problems on which the two models differ; None if the pair itself is of one model."""
    more_disagreements_p: float | None
    """Chance of so many more if the candidate differed no more than the original from itself."""


@record
class BothHealth:
    """Health of both evaluations."""

    original: HealthRecord
    candidate: HealthRecord


@record
class OutsideSource:
    """A result file of another harness that verdicts were taken from."""

    file: str
    """Its name and that of its directory."""
    sha256: str
    num_problems: int
    fewest_samples: int
    """Samples of the problem that has the fewest."""
    most_samples: int


@record
class OutsideSources:
    """Where the verdicts are from if another harness judged both models."""

    harness: str
    task: str | None
    """The harness's name of the problems; None where neither file says it."""
    metric: str
    same_problems: ProblemIdentity
    num_other_prompts: int | None
    """Problems on which the models were asked with different prompts; None where the files do not
    say it.
    """
    original: OutsideSource
    candidate: OutsideSource


@record
class ComparisonRecord:
    """A candidate against its original, problem by problem."""

    schema_version: Literal[2]
    answer: tuple[str, ...]
    """The findings in sentences."""
    original: str | None
    """Digest of the model; None if another harness judged it."""
    candidate: str | None
    original_name: str
    """Name of the model, or else of the result file."""
    candidate_name: str
    margin: float
    alpha: float
    confidence: float
    suite: str | None
    """Digest of the problems; None if another harness chose them."""
    tasks: dict[str, TaskClaim]
    """By kind of task; empty if another harness chose the problems."""
    overall: ClaimFigures
    robustness: RobustnessClaim | None
    """None without perturbed prompts."""
    lost: tuple[ChangedProblem, ...]
    gained: tuple[ChangedProblem, ...]
    noise: NoiseRecord | None
    """None unless the original was evaluated twice."""
    health: BothHealth | None
    """None if another harness judged the answers."""
    sources: OutsideSources | None
    """None if this program judged the answers."""
