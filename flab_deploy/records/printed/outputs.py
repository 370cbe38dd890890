"""What verbs print with `--json`.

A stage prints what it made: the artifact's kind, where it lies, its digest and its figures. Other
verbs print a record of their own.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from flab_deploy.records.bench import BenchFigures
from flab_deploy.records.compare import ComparisonRecord
from flab_deploy.records.document import record
from flab_deploy.records.evaluate import EvaluationFigures
from flab_deploy.records.export import ExportFigures
from flab_deploy.records.likelihood import LikelihoodRecord
from flab_deploy.records.plan import PlanFigures
from flab_deploy.records.printed.imported import ImportRecord
from flab_deploy.records.prune import PruneRecord
from flab_deploy.records.recover import RecoverRecord
from flab_deploy.records.scores import ScoresFigures


@record
class ArtifactOutput:
    """A finished artifact."""

    path: str
    """Its directory, as it was named on the command line."""
    digest: str
    """SHA-256 over its files, measurements aside."""


@record
class ImportOutput(ArtifactOutput):
    """What `flab import --json` prints."""

    kind: Literal["checkpoint"]
    figures: ImportRecord


@record
class ScoreOutput(ArtifactOutput):
    """What `flab score --json` prints."""

    kind: Literal["scores"]
    figures: ScoresFigures


@record
class PlanOutput(ArtifactOutput):
    """What `flab plan --json` prints."""

    kind: Literal["plan"]
    figures: PlanFigures


@record
class PruneOutput(ArtifactOutput):
    """What `flab prune --json` prints."""

    kind: Literal["checkpoint"]
    figures: PruneRecord


@record
class RecoverOutput(ArtifactOutput):
    """What `flab recover --json` prints."""

    kind: Literal["checkpoint"]
    figures: RecoverRecord


@record
class EvaluateOutput(ArtifactOutput):
    """What `flab evaluate --json` prints."""

    kind: Literal["evaluation"]
    figures: EvaluationFigures


@record
class CompareOutput(ArtifactOutput):
    """What `flab compare --json` prints."""

    kind: Literal["comparison"]
    figures: ComparisonRecord


@record
class LikelihoodOutput(ArtifactOutput):
    """What `flab likelihood --json` prints."""

    kind: Literal["likelihood"]
    figures: LikelihoodRecord


@record
class FootprintOutput(ArtifactOutput):
    """What `flab footprint --json` prints; what it measured is in `footprint.json`."""

    kind: Literal["footprint"]
    figures: dict[str, JsonValue]


@record
class ExportOutput(ArtifactOutput):
    """What `flab export --json` prints; how close the formats are is in `parity.json`."""

    kind: Literal["export"]
    figures: ExportFigures


@record
class BenchOutput(ArtifactOutput):
    """What `flab bench --json` prints; what it measured is in `bench.json`."""

    kind: Literal["bench"]
    figures: BenchFigures


@record
class ReportFigures:
    """The figures that `report` shows."""

    num_stages: int
    """Finished stages of the run."""
    num_charts: int


@record
class ReportOutput(ArtifactOutput):
    """What `flab report --json` prints."""

    kind: Literal["report"]
    figures: ReportFigures


@record
class RunOutput:
    """What `flab run --json` prints."""

    run: str
    """The run directory."""
    report: str
    """The report's HTML page."""
    digests: dict[str, str]
    """Digests of the artifacts, by the name of their directory."""


@record
class Deployment:
    """What `flab deploy --json` prints: the deployment as the server has it."""

    name: str
    """Flow and deployment, as in `prefect deployment run NAME`."""
    id: str
    """The server's id of it."""
    page: str
    """Its page in the server's UI."""
    cron: str
    """When it runs."""
    timezone: str
    """The time zone of `cron`."""
    active: bool
    """Whether the schedule fires; false once somebody paused it."""
    work_pool: str
    """Work pool whose workers run it."""


@record
class EngineOutput:
    """One engine in the list that `flab engines --json` prints."""

    name: str
    purpose: str
    state: Literal["installed", "outdated", "missing", "external"]
    path: str
    """Its directory, or the interpreter that was named to be used instead."""
    bytes_on_disk: int
    """Size of its own files; 0 unless it is here."""


@record
class JudgedProgram:
    """How one program ended."""

    task_id: str
    verdict: str
    detail: str
    """One printable line; empty for `pass`."""
    cpu_s: float
    """Processor time of the program in seconds, loading included."""
    max_rss_bytes: int
    """Largest resident set of the program's process."""


@record
class JudgeSummary:
    """All programs together."""

    num_programs: int
    num_tasks: int
    num_passed: int
    pass_at_1: float | None
    """None where a program could not be judged."""
    verdicts: dict[str, int]
    """Programs by verdict, the most frequent first."""


@record
class FailedSolution:
    """A canonical solution that is not judged `pass` here."""

    task_id: str
    verdict: str
    detail: str


@record
class JudgeCalibration:
    """What the canonical solutions showed."""

    num_tasks: int
    """Tasks whose time limit follows their solution."""
    failed: tuple[FailedSolution, ...]


@record
class JudgeLimits:
    """What one program may use."""

    cpu_s: float
    wall_s: float
    memory_bytes: int
    file_bytes: int
    message_bytes: int


@record
class JudgeSandbox:
    """The isolation in force."""

    tier: str
    layers: tuple[str, ...]


@record
class JudgeOutput:
    """What `flab judge --json` prints."""

    results: tuple[JudgedProgram, ...]
    summary: JudgeSummary
    undefined_entry_points: tuple[str, ...]
    """Tasks for which no program defines the function asked for."""
    calibration: JudgeCalibration
    limits: JudgeLimits
    sandbox: JudgeSandbox
