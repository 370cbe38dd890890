"""The before/after table: original against slimmed, every cell with where its figure came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from flab_deploy.artifacts import Json
from flab_deploy.corpus import TASK_LABELS
from flab_deploy.report.run import Run, as_number, interval, mapping, numbers, pick, read_run
from flab_deploy.wording.numbers import FORMATS, count, percent, significant, span, times

Status = Literal["measured", "computed", "estimated", "unavailable"]
STATUSES: tuple[Status, ...] = get_args(Status)
NOT_RUN = "not run"
_PREFIXES = ("p50", "p99")
_STAMPS = {"ttft": "time to first token", "tpot": "time per output token"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure and where it came from."""

    value: float | None = None
    """In the row's unit; None if unavailable."""
    text: str
    """As shown: the value with its unit, `not run`, or `unavailable`."""
    status: Status
    """Read from an instrument or a test, worked out from other figures, modelled, or not there."""
    interval: tuple[float, float] | None = None
    """Confidence interval in the row's unit; for ratios of speed, the spread between rounds."""
    interval_text: str = ""
    """The interval as shown."""
    reason: str | None = None
    """Why the figure is unavailable or estimated."""


@dataclass(frozen=True, kw_only=True)
class BeforeAfterRow:
    """One line of the table."""

    key: str
    """Stable name."""
    group: str
    """Heading it stands under."""
    label: str
    """What is measured, in words."""
    unit: str
    """Unit of the cells' values."""
    better: Literal["lower", "higher"]
    """The direction a user wants."""
    original: Cell
    """The model as it came."""
    slimmed: Cell
    """The model after pruning and recovery."""
    ratio: Cell
    """Slimmed over original; for quality this is the share kept, with its interval."""
    verdict: str | None = None
    """What the comparison says about keeping quality: shown, not shown or underpowered."""
    method: str = ""
    """How the figures were obtained."""

    @property
    def provenance(self) -> str:
        """Where the figures came from, in words."""
        return _provenance(self)


def before_after_rows(run: Path) -> list[BeforeAfterRow]:
    """The before/after table of the run directory at `run`, always with the same rows in the same
    order.

    Raises ArtifactError if there is no run at that path.
    """
    return rows_of(read_run(run))


def rows_of(run: Run) -> list[BeforeAfterRow]:
    """The before/after table of a run that has been read."""
    return [*_size_rows(run), *_quality_rows(run), *_speed_rows(run), *_energy_rows(run)]


def task_kinds(run: Run) -> list[str]:
    """Task kinds of the run's evaluations, the known ones first; the known ones alone if nothing
    was evaluated.
    """
    stages = ("evaluate-original", "evaluate-pruned", "evaluate-recovered")
    found = {kind for stage in stages for kind in mapping(run.get(stage, "tasks"))}
    known = [kind for kind in TASK_LABELS if kind in found or not found]
    return known + sorted(found - set(known))


def absent(stage: str, run: Run, reason: Json = None) -> Cell:
    """The cell of a figure that is not there: not run, or unavailable with the reason."""
    if not run.has(stage):
        return Cell(text=NOT_RUN, status="unavailable", reason=f"not run: {stage}")
    why = reason if isinstance(reason, str) and reason else f"{stage} recorded no such figure"
    return Cell(text="unavailable", status="unavailable", reason=why)


def figure(
    run: Run,
    stage: str,
    holder: Json,
    name: str,
    unit: str,
    *,
    status: Status = "measured",
    bounds: str = "",
) -> Cell:
    """The figure `name` of `holder`, with the interval under `bounds`; its `<name>_reason` says why
    there is none.
    """
    value = as_number(pick(holder, name))
    if value is None:
        return absent(stage, run, pick(holder, f"{name}_reason"))
    pair = pick(holder, bounds) if bounds else None
    found, low = interval(pair), as_number(pick(pair, 0))
    told = (
        span(found, unit) if found else f"at least {FORMATS[unit](low)}" if low is not None else ""
    )
    return Cell(
        value=value, text=FORMATS[unit](value), status=status, interval=found, interval_text=told
    )


def quotient(original: Cell, slimmed: Cell) -> Cell:
    """Slimmed over original, as weakly founded as the weaker of the two."""
    if original.value is None or slimmed.value is None:
        missing = original if original.value is None else slimmed
        text = NOT_RUN if NOT_RUN in (original.text, slimmed.text) else "unavailable"
        return Cell(text=text, status="unavailable", reason=missing.reason)
    if original.value == 0:
        return Cell(
            text="unavailable", status="unavailable", reason="the original's figure is zero"
        )
    value = slimmed.value / original.value
    status: Status = "estimated" if "estimated" in (original.status, slimmed.status) else "computed"
    return Cell(value=value, text=times(value), status=status)


def kept(run: Run, stage: str, part: Json, original: Cell, candidate: Cell) -> Cell:
    """Share of the original's pass@1 that a candidate keeps, from the paired comparison if there is
    one.
    """
    value = as_number(pick(part, "retention"))
    if value is None:
        ratio = quotient(original, candidate)
        if ratio.value is None:
            return ratio
        why = f"not run: {stage}" if not run.has(stage) else "the comparison has no such figure"
        return Cell(
            value=ratio.value,
            text=percent(ratio.value),
            status="computed",
            reason=f"no interval ({why})",
        )
    bounds = interval(pick(part, "retention_interval"))
    told = span(bounds, "share") if bounds else ""
    return Cell(
        value=value, text=percent(value), status="computed", interval=bounds, interval_text=told
    )


def _size_rows(run: Run) -> Iterator[BeforeAfterRow]:
    specs: tuple[tuple[str, str, str, Status, str], ...] = (
        (
            "num_parameters",
            "parameters",
            "parameters",
            "computed",
            "counted from the tensors' shapes",
        ),
        ("bytes_on_disk", "weights on disk", "bytes", "measured", "size of the weight files"),
        ("peak_memory_bytes", "peak memory", "bytes", "measured", _memory_method(run)),
        (
            "forward_flops_per_token",
            "forward pass per token",
            "FLOP/token",
            "computed",
            _flops_method(run),
        ),
    )
    for name, label, unit, default, method in specs:
        status = _declared(run.get("footprint", "provenance", name), default)
        told = run.get("footprint", "methods", name)
        cells = [
            figure(run, "footprint", run.get("footprint", "models", m), name, unit, status=status)
            for m in _MODELS
        ]
        how = told if isinstance(told, str) else method
        yield _row(cells, key=name, group="Size", label=label, unit=unit, method=how)


def _row(
    cells: Sequence[Cell],
    *,
    key: str,
    group: str,
    label: str,
    unit: str,
    method: str,
    better: Literal["lower", "higher"] = "lower",
    ratio: Cell | None = None,
    verdict: str | None = None,
) -> BeforeAfterRow:
    """The row of two cells, original and slimmed; without a ratio it is their quotient."""
    original, slimmed = cells
    return BeforeAfterRow(
        key=key,
        group=group,
        label=label,
        unit=unit,
        better=better,
        original=original,
        slimmed=slimmed,
        ratio=ratio or quotient(original, slimmed),
        verdict=verdict,
        method=method,
    )


def _memory_method(run: Run) -> str:
    batch, tokens = (
        run.number("footprint", "config", name) for name in ("batch_size", "context_tokens")
    )
    if batch is None or tokens is None:
        return "of a fresh process that loads and runs the model"
    return f"of a fresh process beyond its libraries, {count(batch)} × {count(tokens)} tokens"


def _flops_method(run: Run) -> str:
    tokens = run.number("footprint", "config", "context_tokens")
    return (
        "from the shapes"
        if tokens is None
        else f"from the shapes, at a context of {count(tokens)} tokens"
    )


_MODELS = ("original", "slimmed")


def _declared(value: Json, default: Status) -> Status:
    return next((status for status in STATUSES if status == value), default)


def _quality_rows(run: Run) -> Iterator[BeforeAfterRow]:
    for kind in task_kinds(run):
        label = f"pass@1, {TASK_LABELS.get(kind, kind.replace('_', ' '))}"
        yield quality_row(
            run, f"pass_at_1_{kind}", label, ("tasks", kind), "pass_at_1", ("tasks", kind)
        )
    robust = ("robustness",)
    yield quality_row(run, "robust_pass_at_1", "robust pass@1", robust, "robust_pass_at_1", robust)


def quality_row(
    run: Run, key: str, label: str, where: tuple[str, ...], name: str, compared: tuple[str, ...]
) -> BeforeAfterRow:
    """The row of one share of problems solved, with what the paired comparison says about keeping
    it.
    """
    stages = ("evaluate-original", f"evaluate-{run.final}")
    cells = [
        figure(run, stage, run.get(stage, *where), name, "share", bounds="interval")
        for stage in stages
    ]
    compare = f"compare-{run.final}"
    part = run.get(compare, *compared)
    verdict = pick(part, "verdict")
    return _row(
        cells,
        key=key,
        group="Quality",
        label=label,
        unit="share",
        better="higher",
        method=_problems(run, where),
        ratio=kept(run, compare, part, *cells),
        verdict=verdict if isinstance(verdict, str) else None,
    )


def _problems(run: Run, where: tuple[str, ...]) -> str:
    number = run.number("evaluate-original", *where, "num_problems")
    if number is None:
        number = run.number(f"evaluate-{run.final}", *where, "num_problems")
    if number is None:
        return "greedy answers, executed"
    items = run.number("evaluate-original", *where, "num_items")
    text = f"{count(number)} held-out problems"
    return text if items is None else f"{count(items)} rewordings of {text}"


def _speed_rows(run: Run) -> Iterator[BeforeAfterRow]:
    method = "one load, both models" + _invalidity(run)
    for stamp, words in _STAMPS.items():
        for prefix in _PREFIXES:
            label = f"{words}, {prefix}"
            yield _bench_row(run, f"{prefix}_{stamp}_ms", "Speed", label, "ms", "lower", method)
    specs = (
        (
            "burst_output_throughput",
            "output tokens per second, at most",
            "all requests sent at once",
        ),
        (
            "output_throughput",
            "output tokens per second, under the load",
            f"{method}; set by the load, not the model",
        ),
    )
    for name, label, how in specs:
        yield _bench_row(run, name, "Speed", label, "tokens/s", "higher", how)


def _bench_row(
    run: Run,
    name: str,
    group: str,
    label: str,
    unit: str,
    better: Literal["lower", "higher"],
    method: str,
) -> BeforeAfterRow:
    holders = [run.get("bench", "models", model) for model in _MODELS]
    cells = [
        figure(run, "bench", holder, name, unit, bounds=f"{name}_interval") for holder in holders
    ]
    ratio = _spread(quotient(*cells), numbers(run.get("bench", "ratios", name)))
    return _row(
        cells,
        key=name,
        group=group,
        label=label,
        unit=unit,
        better=better,
        method=method,
        ratio=ratio,
    )


def _spread(ratio: Cell, rounds: list[float]) -> Cell:
    """The ratio with the least and the largest of the ratios within one round, if there are several
    rounds.
    """
    if ratio.value is None or len(rounds) < 2:
        return ratio
    low, high = min(rounds), max(rounds)
    return replace(
        ratio, interval=(low, high), interval_text=f"{significant(low)}–{times(high)} by round"
    )


def _invalidity(run: Run) -> str:
    bad = [
        model
        for model in _MODELS
        if run.get("bench", "models", model, "validity", "verdict") not in ("valid", None)
    ]
    return (
        f"; load test judged {' and '.join(sorted({str(validity(run, m)) for m in bad}))}"
        if bad
        else ""
    )


def validity(run: Run, model: str) -> Json:
    """The load test's own verdict on whether its figures for a model count."""
    return run.get("bench", "models", model, "validity", "verdict")


def _energy_rows(run: Run) -> Iterator[BeforeAfterRow]:
    specs = (
        ("energy", "energy_per_output_token_joules", "energy per output token", "J/token"),
        ("carbon", "gco2e_per_million_tokens", "carbon per million tokens", "gCO2e/million tokens"),
    )
    for block, name, label, unit in specs:
        cells = [
            _energy_cell(run, run.get("bench", "models", model, block), name, unit)
            for model in _MODELS
        ]
        how = "during the load test" + _invalidity(run)
        yield _row(cells, key=name, group="Energy", label=label, unit=unit, method=how)


def _energy_cell(run: Run, block: Json, name: str, unit: str) -> Cell:
    status, reason, value = (
        pick(block, "status"),
        pick(block, "reason"),
        as_number(pick(block, name)),
    )
    if value is None or status not in ("measured", "estimated"):
        return absent("bench", run, reason)
    why = reason if isinstance(reason, str) and reason else None
    return Cell(value=value, text=FORMATS[unit](value), status=cast("Status", status), reason=why)


def _provenance(row: BeforeAfterRow) -> str:
    cells = (row.original, row.slimmed)
    if row.original.status != row.slimmed.status:
        parts = [f"{name} {_origin(cell)}" for name, cell in zip(_MODELS, cells, strict=True)]
        return "; ".join(parts)
    if row.original.status == "unavailable":
        reasons = dict.fromkeys(cell.reason for cell in cells if cell.reason)
        told = "; ".join(reasons)
        return told if row.original.text == NOT_RUN else f"unavailable: {told}"
    notes = dict.fromkeys(
        note
        for note in (row.method, row.original.reason, row.slimmed.reason, row.ratio.reason)
        if note
    )
    return f"{row.original.status}: {'; '.join(notes)}" if notes else row.original.status


def _origin(cell: Cell) -> str:
    if cell.text == NOT_RUN and cell.reason:
        return cell.reason
    return f"{cell.status} ({cell.reason})" if cell.reason else cell.status


def shown(cell: Cell) -> str:
    """The cell as text, with its interval if it has one."""
    return f"{cell.text} [{cell.interval_text}]" if cell.interval_text else cell.text


_HEADINGS = ("", "original", "slimmed", "ratio", "provenance")


def _texts(rows: Sequence[BeforeAfterRow]) -> list[tuple[str, ...]]:
    return [
        (
            row.label,
            shown(row.original),
            shown(row.slimmed),
            shown(row.ratio) + _verdict(row),
            row.provenance,
        )
        for row in rows
    ]


def _verdict(row: BeforeAfterRow) -> str:
    return f" kept: {row.verdict}" if row.verdict else ""


def as_text(rows: Sequence[BeforeAfterRow]) -> str:
    """The table with aligned columns for a terminal, ending in a newline; the last column is as
    long as it is.
    """
    lines = [_HEADINGS, *_texts(rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS) - 1)]
    out = []
    for line in lines:
        numbers = [text.rjust(width) for text, width in zip(line[1:4], widths[1:], strict=True)]
        out.append("  ".join([line[0].ljust(widths[0]), *numbers, line[4]]).rstrip())
    return "\n".join(out) + "\n"


def as_markdown(rows: Sequence[BeforeAfterRow]) -> str:
    """The table in GitHub's Markdown, ending in a newline; pipes in reasons are escaped."""
    lines = [_HEADINGS, ("---", "---:", "---:", "---:", "---"), *_texts(rows)]
    escaped = [
        " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in line) for line in lines
    ]
    return "".join(f"| {line} |\n" for line in escaped)
