"""The before/after table: original against slimmed, every cell with where its figure came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flab_deploy.records.bench import (
    BenchRecord,
    CarbonRecord,
    EnergyRecord,
    Percentile,
    RoundRatios,
    ServedModel,
)
from flab_deploy.records.footprint import ModelFootprint
from flab_deploy.records.report import BeforeAfterRow, CellStatus, Direction, ReportCell
from flab_deploy.report.cells import NOT_RUN, figure, kept, quotient
from flab_deploy.report.quality import ROBUSTNESS, ProblemSet, task_sets
from flab_deploy.report.run import RunContents, read_run
from flab_deploy.wording.numbers import count, significant, times
from flab_deploy.wording.table import aligned, markdown

SIDES = ("original", "slimmed")
_COLUMNS = ("", *SIDES, "ratio", "provenance")
_ALIGNED = "<>>><"


@dataclass(frozen=True, kw_only=True)
class BeforeAfterFigure:
    """One row of the table before it is filled in. To add a row, add one of these to a list."""

    key: str
    group: str
    label: str
    unit: str
    """One of `wording.numbers.FORMATS`."""
    better: Direction = "lower"
    read: Callable[[RunContents, str], ReportCell]
    """The figure of the original or the slimmed model."""
    method: Callable[[RunContents], str]
    """How it was obtained."""
    problems: ProblemSet | None = None
    """What a comparison says whether quality was kept on."""
    rounds: Callable[[RoundRatios], Sequence[float | None]] = lambda _: ()
    """Slimmed over original, in each round of a load test."""

    def row(self, run: RunContents) -> BeforeAfterRow:
        """The figure in a run."""
        cells = original, slimmed = self.read(run, "original"), self.read(run, "slimmed")
        claim = self.problems.claim_on(run, run.final) if self.problems else None
        if self.problems:
            ratio = kept(run, f"compare-{run.final}", claim, cells)
        else:
            ratio = _spread(quotient(*cells), self.rounds(run.bench.ratios) if run.bench else ())
        method = self.method(run)
        return BeforeAfterRow(
            key=self.key,
            group=self.group,
            label=self.label,
            unit=self.unit,
            better=self.better,
            original=original,
            slimmed=slimmed,
            ratio=ratio,
            verdict=claim.verdict if claim else None,
            method=method,
            provenance=_provenance(original, slimmed, ratio, method),
        )


def before_after_rows(run: Path) -> list[BeforeAfterRow]:
    """The table of the run directory at `run`, always with the same rows in the same order.

    Raises ArtifactError if there is no run at that path, or if one of its documents is damaged.
    """
    return rows_of(read_run(run))


def rows_of(run: RunContents) -> list[BeforeAfterRow]:
    """The before/after table of a run that has been read."""
    quality = [_quality(one) for one in (*task_sets(run), ROBUSTNESS)]
    return [one.row(run) for one in (*_SIZE, *quality, *_SERVED)]


def served(found: BenchRecord, side: str) -> ServedModel:
    """What a load test found of one model."""
    return found.models.original if side == "original" else found.models.slimmed


_Method = tuple[CellStatus, str]
_SHAPES: _Method = ("computed", "counted from the tensors' shapes")
_FILES: _Method = ("measured", "size of the weight files")
_PROCESS: _Method = (
    "measured",
    "of a fresh process beyond its libraries, {batch_size} × {context_tokens} tokens",
)
_CONTEXT: _Method = ("computed", "from the shapes, at a context of {context_tokens} tokens")


def _size(
    key: str, label: str, unit: str, of: Callable[[ModelFootprint], int], method: _Method
) -> BeforeAfterFigure:
    status, words = method

    def read(run: RunContents, side: str) -> ReportCell:
        if run.footprint is None:
            return figure(run, "footprint", None, unit)
        models = run.footprint.models
        value = of(models.original if side == "original" else models.slimmed)
        return figure(run, "footprint", value, unit, status)

    def how(run: RunContents) -> str:
        sizes = asdict(run.footprint.config) if run.footprint else {}
        return (
            words.format(
                **{name: count(size) for name, size in sizes.items() if isinstance(size, int)}
            )
            if sizes
            else ""
        )

    return BeforeAfterFigure(key=key, group="Size", label=label, unit=unit, read=read, method=how)


_SIZE = (
    _size("num_parameters", "parameters", "parameters", lambda m: m.num_parameters, _SHAPES),
    _size("bytes_on_disk", "weights on disk", "bytes", lambda m: m.bytes_on_disk, _FILES),
    _size("peak_memory_bytes", "peak memory", "bytes", lambda m: m.peak_memory_bytes, _PROCESS),
    _size(
        "forward_flops_per_token",
        "forward pass per token",
        "FLOP/token",
        lambda m: m.forward_flops_per_token,
        _CONTEXT,
    ),
)


def _quality(one: ProblemSet) -> BeforeAfterFigure:
    """A share of problems solved, with what the paired comparison says about keeping it."""
    robust = one is ROBUSTNESS
    return BeforeAfterFigure(
        key="robust_pass_at_1" if robust else f"pass_at_1_{one.key}",
        group="Quality",
        label="robust pass@1" if robust else f"pass@1, {one.label}",
        unit="share",
        better="higher",
        read=lambda run, side: one.cell(run, "original" if side == "original" else run.final),
        method=lambda run: _asked(run, one),
        problems=one,
    )


def _asked(run: RunContents, one: ProblemSet) -> str:
    judged = [run.evaluations.get(model) for model in ("original", run.final)]
    sizes = [(one.size(found), found.robustness.num_problems) for found in judged if found]
    size, problems = next((pair for pair in sizes if pair[0] is not None), (None, 0))
    if size is None:
        return "greedy answers, executed"
    if one is ROBUSTNESS:
        return f"{count(size)} rewordings of {count(problems)} held-out problems"
    return f"{count(size)} held-out problems"


_Measured = Percentile | EnergyRecord | CarbonRecord | float | None


def _served(
    key: str,
    label: str,
    unit: str,
    of: Callable[[ServedModel], _Measured],
    rounds: Callable[[RoundRatios], Sequence[float | None]] = lambda _: (),
    method: str = "one load, both models{invalid}",
    group: str = "Speed",
) -> BeforeAfterFigure:
    """A figure of the load test; `{invalid}` in its method says if that was not valid."""

    def read(run: RunContents, side: str) -> ReportCell:
        return _bench_cell(run, of(served(run.bench, side)) if run.bench else None, unit)

    return BeforeAfterFigure(
        key=key,
        group=group,
        label=label,
        unit=unit,
        better="higher" if unit == "tokens/s" else "lower",
        read=read,
        method=lambda run: method.format(invalid=_invalidity(run)),
        rounds=rounds,
    )


def _bench_cell(run: RunContents, found: _Measured, unit: str) -> ReportCell:
    if isinstance(found, Percentile):
        return figure(run, "bench", found.ms, unit, "measured", found.interval_ms, found.reason)
    if not isinstance(found, EnergyRecord | CarbonRecord):
        return figure(run, "bench", found, unit)
    if isinstance(found, EnergyRecord):
        value = found.energy_per_output_token_joules
    else:
        value = found.gco2e_per_million_tokens
    known = None if found.status == "unavailable" else value
    return figure(run, "bench", known, unit, found.status, reason=found.reason or None)


def _spread(ratio: ReportCell, rounds: Sequence[float | None]) -> ReportCell:
    """The ratio with the least and the largest of single rounds, if there are several."""
    known = [one for one in rounds if one is not None]
    if ratio.value is None or len(known) < 2:
        return ratio
    low, high = min(known), max(known)
    said = f"{significant(low)}–{times(high)} by round"
    shown = f"{ratio.text} [{said}]"
    return replace(ratio, interval=(low, high), interval_text=said, shown=shown)


def _invalidity(run: RunContents) -> str:
    found = [served(run.bench, side).validity.verdict for side in SIDES] if run.bench else []
    bad = sorted({verdict for verdict in found if verdict != "valid"})
    return f"; load test judged {' and '.join(bad)}" if bad else ""


_FIRST, _EACH = "time to first token", "time per output token"
_DURING = "during the load test{invalid}"
_SERVED = (
    _served("p50_ttft_ms", f"{_FIRST}, p50", "ms", lambda m: m.ttft.p50, lambda r: r.p50_ttft_ms),
    _served("p99_ttft_ms", f"{_FIRST}, p99", "ms", lambda m: m.ttft.p99),
    _served("p50_tpot_ms", f"{_EACH}, p50", "ms", lambda m: m.tpot.p50, lambda r: r.p50_tpot_ms),
    _served("p99_tpot_ms", f"{_EACH}, p99", "ms", lambda m: m.tpot.p99),
    _served(
        "burst_output_throughput",
        "output tokens per second, at most",
        "tokens/s",
        lambda m: m.burst_output_throughput,
        lambda r: r.burst_output_throughput,
        "all requests sent at once",
    ),
    _served(
        "output_throughput",
        "output tokens per second, under the load",
        "tokens/s",
        lambda m: m.output_throughput,
        method="one load, both models{invalid}; set by the load, not the model",
    ),
    _served(
        "energy_per_output_token_joules",
        "energy per output token",
        "J/token",
        lambda m: m.energy,
        method=_DURING,
        group="Energy",
    ),
    _served(
        "gco2e_per_million_tokens",
        "carbon per million tokens",
        "gCO2e/million tokens",
        lambda m: m.carbon,
        method=_DURING,
        group="Energy",
    ),
)


def _provenance(original: ReportCell, slimmed: ReportCell, ratio: ReportCell, method: str) -> str:
    """Where the figures of a row came from, in words."""
    if original.status != slimmed.status:
        return f"original {_origin(original)}; slimmed {_origin(slimmed)}"
    if original.status == "unavailable":
        said = _together(original.reason, slimmed.reason)
        return said if original.text == NOT_RUN else f"unavailable: {said}"
    notes = _together(method, original.reason, slimmed.reason, ratio.reason)
    return f"{original.status}: {notes}" if notes else original.status


def _together(*reasons: str | None) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def _origin(cell: ReportCell) -> str:
    reason = cell.reason or ""
    return reason if cell.text == NOT_RUN else cell.status + (f" ({reason})" if reason else "")


def _line(row: BeforeAfterRow) -> tuple[str, ...]:
    ratio = row.ratio.shown + (f" kept: {row.verdict}" if row.verdict else "")
    return (row.label, row.original.shown, row.slimmed.shown, ratio, row.provenance)


def as_text(rows: Sequence[BeforeAfterRow]) -> str:
    """The table with aligned columns for a terminal, ending in a newline."""
    return "\n".join(aligned([_COLUMNS, *map(_line, rows)], _ALIGNED)) + "\n"


def as_markdown(rows: Sequence[BeforeAfterRow]) -> str:
    """The table in GitHub's Markdown, ending in a newline."""
    return markdown([_COLUMNS, *map(_line, rows)], _ALIGNED)
