"""Cells of the report's tables: a figure, where it came from, or why there is none."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.compare import ClaimFigures
from flab_deploy.records.evaluate import Interval
from flab_deploy.records.report import CellStatus, ReportCell
from flab_deploy.report.run import RunContents
from flab_deploy.wording.numbers import FORMATS, percent, span, times

NOT_RUN = "not run"
UNAVAILABLE: Literal["unavailable"] = "unavailable"


def cell(
    value: float | None,
    text: str,
    status: CellStatus,
    *,
    interval: Interval | None = None,
    interval_text: str = "",
    reason: str | None = None,
) -> ReportCell:
    """A cell whose text is written already."""
    shown = f"{text} [{interval_text}]" if interval_text else text
    return ReportCell(
        value=value,
        text=text,
        shown=shown,
        status=status,
        interval=interval,
        interval_text=interval_text,
        reason=reason,
    )


def absent(run: RunContents, stage: str, reason: str | None = None) -> ReportCell:
    """The cell of a figure that is not there: not run, or unavailable with the reason."""
    if not run.has(stage):
        return cell(None, NOT_RUN, UNAVAILABLE, reason=f"not run: {stage}")
    why = reason or f"{stage} recorded no such figure"
    return cell(None, UNAVAILABLE, UNAVAILABLE, reason=why)


def figure(
    value: float,
    unit: str,
    status: CellStatus = "measured",
    *,
    interval: tuple[float | None, float | None] | None = None,
    reason: str | None = None,
) -> ReportCell:
    """The cell of a figure in its unit; an interval that is open above is `at least` its start."""
    low, high = interval or (None, None)
    bounds = (low, high) if low is not None and high is not None else None
    start = f"at least {FORMATS[unit](low)}" if low is not None else ""
    told = span(bounds, unit) if bounds else start
    return cell(
        value, FORMATS[unit](value), status, interval=bounds, interval_text=told, reason=reason
    )


def quotient(original: ReportCell, slimmed: ReportCell) -> ReportCell:
    """Slimmed over original, as weakly founded as the weaker of the two."""
    if original.value is None or slimmed.value is None:
        missing = original if original.value is None else slimmed
        text = NOT_RUN if NOT_RUN in (original.text, slimmed.text) else UNAVAILABLE
        return cell(None, text, UNAVAILABLE, reason=missing.reason)
    if original.value == 0:
        return cell(None, UNAVAILABLE, UNAVAILABLE, reason="the original's figure is zero")
    value = slimmed.value / original.value
    estimated = "estimated" in (original.status, slimmed.status)
    return cell(value, times(value), "estimated" if estimated else "computed")


def kept(
    run: RunContents,
    stage: str,
    claim: ClaimFigures | None,
    original: ReportCell,
    candidate: ReportCell,
) -> ReportCell:
    """Share of the original's pass@1 that a candidate keeps, from the paired comparison if there is
    one.
    """
    if claim is not None and claim.retention is not None:
        return figure(claim.retention, "share", "computed", interval=claim.retention_interval)
    ratio = quotient(original, candidate)
    if ratio.value is None:
        return ratio
    why = "the comparison has no such figure" if run.has(stage) else f"not run: {stage}"
    reason = f"no interval ({why})"
    return cell(ratio.value, percent(ratio.value), "computed", reason=reason)
