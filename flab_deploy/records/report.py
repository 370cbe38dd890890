"""What the report says of a run: `report.json`, the very figures that the page shows."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flab_deploy.records.bench import MachineRecord
from flab_deploy.records.compare import ClaimFigures
from flab_deploy.records.document import record
from flab_deploy.records.evaluate import Interval, RobustnessRecord
from flab_deploy.records.plan import CandidateRecord, Contribution
from flab_deploy.records.run import ManifestRecord, RunRecord

REPORT_FILE, PAGE_FILE, LINEAGE_FILE = "report.json", "report.html", "lineage.json"
CellStatus: TypeAlias = Literal["measured", "computed", "estimated", "unavailable"]
"""Read from an instrument or a test, worked out from other figures, modelled, or not there."""
Direction: TypeAlias = Literal["lower", "higher"]
FinalModel: TypeAlias = Literal["pruned", "recovered"]


@record
class ReportCell:
    """One figure and where it came from."""

    value: float | None
    """In the row's unit; None if unavailable."""
    text: str
    """The value with its unit, `not run`, or `unavailable`."""
    shown: str
    """The text with its interval, if it has one."""
    status: CellStatus
    interval: Interval | None
    """Confidence interval in the row's unit; for ratios of speed, the spread between rounds."""
    interval_text: str
    """The interval as shown; empty if there is none."""
    reason: str | None
    """Why the figure is unavailable or estimated."""


@record
class BeforeAfterRow:
    """One line of the before/after table."""

    key: str
    group: str
    """Heading it stands under."""
    label: str
    """What is measured, in words."""
    unit: str
    """Unit of the cells' values."""
    better: Direction
    """The direction a user wants."""
    original: ReportCell
    """The model as it came."""
    slimmed: ReportCell
    """The model after pruning and recovery."""
    ratio: ReportCell
    """Slimmed over original; for quality this is the share kept, with its interval."""
    verdict: str | None
    """What the comparison says about keeping quality: shown, not shown or underpowered."""
    method: str
    """How the figures were obtained."""
    provenance: str
    """Where the figures came from, in words."""


@record
class KeptShare:
    """One candidate against the original on one set of problems."""

    solved: ReportCell
    """Share of the problems that the candidate solves."""
    kept: ReportCell
    """Candidate's share over the original's, with its interval."""
    verdict: str
    """shown, not shown, underpowered, or not run."""
    claim: ClaimFigures | None
    """What the comparison found; None if there was none."""


@record
class QualityRow:
    """One set of problems under three models."""

    key: str
    """Task kind, `overall`, `robustness` or `worst_case`."""
    label: str
    """The set in words."""
    num_problems: int | None
    """Size of the set."""
    original: ReportCell
    """Share that the original solves."""
    pruned: KeptShare
    """Right after the cut."""
    recovered: KeptShare
    """After recovery."""


@record
class ReportTable:
    """A titled table of texts."""

    key: str
    title: str
    head: tuple[str, ...]
    """Column headings; the first column holds labels."""
    lines: tuple[tuple[str, ...], ...]
    """Cells as shown; none if the stage was not run."""
    note: str
    """One sentence of explanation, or `not run`."""


@record
class KeptPoint:
    """Share of the original's pass@1 that one model keeps."""

    kept: float | None
    interval: Interval | None


@record
class RetentionPoint:
    """What both models keep on one set of problems."""

    set: str
    pruned: KeptPoint
    recovered: KeptPoint


@record
class CutData:
    """Parameters before and after, and what took them away."""

    before: int
    after: int
    contribution: Contribution


@record
class LayerPoint:
    """What the model loses without one layer, and whether the plan keeps it."""

    layer: int
    kl_nats: float
    kept: bool


@record
class ChannelData:
    """Scores of the feed-forward channels of each layer."""

    num_channels: int
    num_kept_by_layer: tuple[int, ...] | None
    """0 for a layer that is dropped; None without a plan."""
    quantiles_by_layer: tuple[tuple[float, ...], ...]


@record
class TokenData:
    """How often tokens occur."""

    num_seen: int
    vocab_size: int
    num_kept: int | None
    """None without a plan."""
    rank_and_count: tuple[tuple[int, int], ...]


ChartData: TypeAlias = (
    CutData
    | ChannelData
    | TokenData
    | tuple[RetentionPoint, ...]
    | tuple[LayerPoint, ...]
    | tuple[CandidateRecord, ...]
    | tuple[tuple[float, float], ...]
    | dict[str, RobustnessRecord]
    | dict[str, tuple[tuple[float, float], ...]]
)
"""The figures of one drawing; those by name are by model."""


@record
class ReportChart:
    """What a drawing shows."""

    title: str
    alt: str
    """The drawing in words, for readers who cannot see it."""
    caption: str
    """How to read it."""
    data: ChartData


@record
class RunProvenance:
    """How the run was made."""

    run: RunRecord | None
    """What was asked of the run and on what machine; None if it left no record of it."""
    bench_machine: MachineRecord | None
    """Where the load test ran."""
    engine: str | None
    """What served the models; None without a load test."""
    stages: dict[str, ManifestRecord | None]
    """What each stage says of itself; None for one that was not run."""


@record
class ReportRecord:
    """Everything that the page shows."""

    schema_version: Literal[2]
    headline: str
    verdict: tuple[str, ...]
    """What was cut, what was kept and how sure that is, in sentences."""
    warnings: tuple[str, ...]
    """What makes the figures doubtful."""
    before_after: tuple[BeforeAfterRow, ...]
    quality: tuple[QualityRow, ...]
    final: FinalModel
    """The slimmed model: the recovered one, or the pruned one if the run got no further."""
    losses: tuple[ReportTable, ...]
    health: str
    """The health of the judging in a sentence; empty if nothing was judged."""
    margin: float
    """Share of the original's pass@1 that is claimed to be kept."""
    confidence: float
    """Of the intervals."""
    charts: dict[str, ReportChart | None]
    """None for a chart that the run has no figures for."""
    checks: tuple[ReportTable, ...]
    """The small print."""
    provenance: RunProvenance
