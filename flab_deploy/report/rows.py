"""The before/after table: original against slimmed, every cell with where its figure came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.records.bench import (
    BenchRecord,
    CarbonRecord,
    EnergyRecord,
    Percentile,
    RoundRatios,
    ServedModel,
)
from flab_deploy.records.compare import ClaimFigures
from flab_deploy.records.footprint import FootprintRecord, ModelFootprint
from flab_deploy.records.report import BeforeAfterRow, CellStatus, Direction, ReportCell
from flab_deploy.report.cells import NOT_RUN, absent, cell, figure, kept, quotient
from flab_deploy.report.quality import ROBUSTNESS, ProblemSet, task_kinds, task_set
from flab_deploy.report.run import RunContents, read_run
from flab_deploy.wording.numbers import count, significant, times
from flab_deploy.wording.table import aligned, markdown

SIDES = ("original", "slimmed")
_SIDES_OF_TEXT = "<>>><"
_Ratio = Callable[[RunContents, ReportCell, ReportCell], ReportCell]


@dataclass(frozen=True, kw_only=True)
class BeforeAfterFigure:
    """What one row of the table shows. Adding a row is adding one of these to a list below."""

    key: str
    """Stable name."""
    group: str
    """Heading it stands under."""
    label: str
    """What is measured, in words."""
    unit: str
    """One of `wording.numbers.FORMATS`."""
    better: Direction
    """The direction a user wants."""
    read: Callable[[RunContents, str], ReportCell]
    """The figure of one model."""
    method: Callable[[RunContents], str]
    """How it was obtained."""
    ratio: _Ratio = lambda _, original, slimmed: quotient(original, slimmed)
    """Slimmed over original."""
    verdict: Callable[[RunContents], str | None] = lambda _: None
    """What the comparison says about keeping quality."""

    def row(self, run: RunContents) -> BeforeAfterRow:
        """The figure in a run."""
        original, slimmed = (self.read(run, side) for side in SIDES)
        ratio, method = self.ratio(run, original, slimmed), self.method(run)
        return BeforeAfterRow(
            key=self.key,
            group=self.group,
            label=self.label,
            unit=self.unit,
            better=self.better,
            original=original,
            slimmed=slimmed,
            ratio=ratio,
            verdict=self.verdict(run),
            method=method,
            provenance=_provenance(original, slimmed, ratio, method),
        )


def served(found: BenchRecord, side: str) -> ServedModel:
    """What a load test found of one model."""
    return found.models.original if side == "original" else found.models.slimmed


def before_after_rows(run: Path) -> list[BeforeAfterRow]:
    """The before/after table of the run directory at `run`, always with the same rows in the same
    order.

    Raises ArtifactError if there is no run at that path, or if one of its documents is damaged.
    """
    return rows_of(read_run(run))


def rows_of(run: RunContents) -> list[BeforeAfterRow]:
    """The before/after table of a run that has been read."""
    quality = [_quality(task_set(kind)) for kind in task_kinds(run)]
    figures = [*_SIZE, *quality, _quality(ROBUSTNESS), *_SPEED, *_ENERGY]
    return [one.row(run) for one in figures]


def _size(
    key: str,
    label: str,
    unit: str,
    status: CellStatus,
    of: Callable[[ModelFootprint], int],
    method: Callable[[FootprintRecord], str],
) -> BeforeAfterFigure:
    def read(run: RunContents, side: str) -> ReportCell:
        if run.footprint is None:
            return absent(run, "footprint")
        models = run.footprint.models
        return figure(of(models.original if side == "original" else models.slimmed), unit, status)

    return BeforeAfterFigure(
        key=key,
        group="Size",
        label=label,
        unit=unit,
        better="lower",
        read=read,
        method=lambda run: method(run.footprint) if run.footprint else "",
    )


_SIZE = (
    _size(
        "num_parameters",
        "parameters",
        "parameters",
        "computed",
        lambda model: model.num_parameters,
        lambda _: "counted from the tensors' shapes",
    ),
    _size(
        "bytes_on_disk",
        "weights on disk",
        "bytes",
        "measured",
        lambda model: model.bytes_on_disk,
        lambda _: "size of the weight files",
    ),
    _size(
        "peak_memory_bytes",
        "peak memory",
        "bytes",
        "measured",
        lambda model: model.peak_memory_bytes,
        lambda found: (
            "of a fresh process beyond its libraries, "
            f"{count(found.config.batch_size)} × {count(found.config.context_tokens)} tokens"
        ),
    ),
    _size(
        "forward_flops_per_token",
        "forward pass per token",
        "FLOP/token",
        "computed",
        lambda model: model.forward_flops_per_token,
        lambda found: (
            f"from the shapes, at a context of {count(found.config.context_tokens)} tokens"
        ),
    ),
)


def _quality(one: ProblemSet) -> BeforeAfterFigure:
    """A share of problems solved, with what the paired comparison says about keeping it."""
    robust = one is ROBUSTNESS

    def claim(run: RunContents) -> ClaimFigures | None:
        compared = run.comparisons.get(run.final)
        return one.claim(compared) if compared else None

    def verdict(run: RunContents) -> str | None:
        return found.verdict if (found := claim(run)) else None

    def ratio(run: RunContents, original: ReportCell, slimmed: ReportCell) -> ReportCell:
        return kept(run, f"compare-{run.final}", claim(run), original, slimmed)

    return BeforeAfterFigure(
        key="robust_pass_at_1" if robust else f"pass_at_1_{one.key}",
        group="Quality",
        label="robust pass@1" if robust else f"pass@1, {one.label}",
        unit="share",
        better="higher",
        read=lambda run, side: one.cell(run, "original" if side == "original" else run.final),
        method=lambda run: _problems(run, one),
        ratio=ratio,
        verdict=verdict,
    )


def _problems(run: RunContents, one: ProblemSet) -> str:
    judged = [run.evaluations.get(model) for model in ("original", run.final)]
    sizes = [(one.size(found), found.robustness.num_problems) for found in judged if found]
    size, problems = next(((n, whole) for n, whole in sizes if n is not None), (None, 0))
    if size is None:
        return "greedy answers, executed"
    if one is ROBUSTNESS:
        return f"{count(size)} rewordings of {count(problems)} held-out problems"
    return f"{count(size)} held-out problems"


def _served(
    key: str,
    label: str,
    unit: str,
    of: Callable[[ServedModel], Percentile | float | None],
    rounds: Callable[[RoundRatios], Sequence[float | None]] = lambda _: (),
    *,
    better: Direction = "lower",
    method: Callable[[RunContents], str] | None = None,
) -> BeforeAfterFigure:
    """A figure of the load test; `rounds` are its ratios round by round, where it has them."""

    def read(run: RunContents, side: str) -> ReportCell:
        found = of(served(run.bench, side)) if run.bench else None
        if not isinstance(found, Percentile):
            return absent(run, "bench") if found is None else figure(found, unit)
        if found.ms is None:
            return absent(run, "bench", found.reason)
        return figure(found.ms, unit, interval=found.interval_ms)

    def ratio(run: RunContents, original: ReportCell, slimmed: ReportCell) -> ReportCell:
        return _spread(quotient(original, slimmed), rounds(run.bench.ratios) if run.bench else ())

    return BeforeAfterFigure(
        key=key,
        group="Speed",
        label=label,
        unit=unit,
        better=better,
        read=read,
        method=method or _one_load,
        ratio=ratio,
    )


def _spread(ratio: ReportCell, rounds: Sequence[float | None]) -> ReportCell:
    """The ratio with the least and the largest of the ratios within one round, if there are several
    rounds.
    """
    known = [one for one in rounds if one is not None]
    if ratio.value is None or len(known) < 2:
        return ratio
    low, high = min(known), max(known)
    told = f"{significant(low)}–{times(high)} by round"
    return cell(ratio.value, ratio.text, ratio.status, interval=(low, high), interval_text=told)


def _one_load(run: RunContents) -> str:
    return "one load, both models" + _invalidity(run)


def _invalidity(run: RunContents) -> str:
    found = [served(run.bench, side).validity.verdict for side in SIDES] if run.bench else []
    bad = sorted({verdict for verdict in found if verdict != "valid"})
    return f"; load test judged {' and '.join(bad)}" if bad else ""


_SPEED = (
    _served(
        "p50_ttft_ms",
        "time to first token, p50",
        "ms",
        lambda model: model.ttft.p50,
        lambda rounds: rounds.p50_ttft_ms,
    ),
    _served("p99_ttft_ms", "time to first token, p99", "ms", lambda model: model.ttft.p99),
    _served(
        "p50_tpot_ms",
        "time per output token, p50",
        "ms",
        lambda model: model.tpot.p50,
        lambda rounds: rounds.p50_tpot_ms,
    ),
    _served("p99_tpot_ms", "time per output token, p99", "ms", lambda model: model.tpot.p99),
    _served(
        "burst_output_throughput",
        "output tokens per second, at most",
        "tokens/s",
        lambda model: model.burst_output_throughput,
        lambda rounds: rounds.burst_output_throughput,
        better="higher",
        method=lambda _: "all requests sent at once",
    ),
    _served(
        "output_throughput",
        "output tokens per second, under the load",
        "tokens/s",
        lambda model: model.output_throughput,
        better="higher",
        method=lambda run: f"{_one_load(run)}; set by the load, not the model",
    ),
)


def _energy(
    key: str,
    label: str,
    unit: str,
    of: Callable[[ServedModel], tuple[EnergyRecord | CarbonRecord, float | None]],
) -> BeforeAfterFigure:
    def read(run: RunContents, side: str) -> ReportCell:
        if run.bench is None:
            return absent(run, "bench")
        block, value = of(served(run.bench, side))
        if value is None or block.status == "unavailable":
            return absent(run, "bench", block.reason)
        return figure(value, unit, block.status, reason=block.reason or None)

    return BeforeAfterFigure(
        key=key,
        group="Energy",
        label=label,
        unit=unit,
        better="lower",
        read=read,
        method=lambda run: "during the load test" + _invalidity(run),
    )


_ENERGY = (
    _energy(
        "energy_per_output_token_joules",
        "energy per output token",
        "J/token",
        lambda model: (model.energy, model.energy.energy_per_output_token_joules),
    ),
    _energy(
        "gco2e_per_million_tokens",
        "carbon per million tokens",
        "gCO2e/million tokens",
        lambda model: (model.carbon, model.carbon.gco2e_per_million_tokens),
    ),
)


def _provenance(original: ReportCell, slimmed: ReportCell, ratio: ReportCell, method: str) -> str:
    """Where the figures of a row came from, in words."""
    cells = (original, slimmed)
    if original.status != slimmed.status:
        parts = [f"{side} {_origin(cell)}" for side, cell in zip(SIDES, cells, strict=True)]
        return "; ".join(parts)
    if original.status == "unavailable":
        told = "; ".join(dict.fromkeys(cell.reason for cell in cells if cell.reason))
        return told if original.text == NOT_RUN else f"unavailable: {told}"
    reasons = (method, original.reason, slimmed.reason, ratio.reason)
    notes = "; ".join(dict.fromkeys(note for note in reasons if note))
    return f"{original.status}: {notes}" if notes else original.status


def _origin(cell: ReportCell) -> str:
    if cell.text == NOT_RUN and cell.reason:
        return cell.reason
    return f"{cell.status} ({cell.reason})" if cell.reason else cell.status


def _texts(rows: Sequence[BeforeAfterRow]) -> list[tuple[str, ...]]:
    head = ("", "original", "slimmed", "ratio", "provenance")
    return [head, *(_line(row) for row in rows)]


def _line(row: BeforeAfterRow) -> tuple[str, ...]:
    kept = f" kept: {row.verdict}" if row.verdict else ""
    figures = (row.original.shown, row.slimmed.shown, row.ratio.shown + kept)
    return (row.label, *figures, row.provenance)


def as_text(rows: Sequence[BeforeAfterRow]) -> str:
    """The table with aligned columns for a terminal, ending in a newline; the last column is as
    long as it is.
    """
    return "\n".join(aligned(_texts(rows), _SIDES_OF_TEXT)) + "\n"


def as_markdown(rows: Sequence[BeforeAfterRow]) -> str:
    """The table in GitHub's Markdown, ending in a newline; pipes in reasons are escaped."""
    return markdown(_texts(rows), _SIDES_OF_TEXT)
