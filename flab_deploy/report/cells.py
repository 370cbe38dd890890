"""Cells of the report's tables: a figure, where it came from, or why there is none."""

from __future__ import annotations

from flab_deploy.records.compare import ClaimFigures
from flab_deploy.records.evaluate import Interval
from flab_deploy.records.report import CellStatus, ReportCell
from flab_deploy.report.run import RunContents
from flab_deploy.wording.numbers import FORMATS, percent, span, times

NOT_RUN, UNAVAILABLE = "not run", "unavailable"


def cell(
    value: float | None,
    text: str,
    status: CellStatus = "unavailable",
    interval: Interval | None = None,
    interval_text: str = "",
    reason: str | None = None,
) -> ReportCell:
    """A cell whose text is written already."""
    return ReportCell(
        value=value,
        text=text,
        shown=f"{text} [{interval_text}]" if interval_text else text,
        status=status,
        interval=interval,
        interval_text=interval_text,
        reason=reason,
    )


def figure(
    run: RunContents,
    stage: str,
    value: float | None,
    unit: str,
    status: CellStatus = "measured",
    interval: tuple[float | None, float | None] | None = None,
    reason: str | None = None,
) -> ReportCell:
    """The cell of a stage's figure in its unit; without one, that it was not run, or the reason.

    An interval that is open above is shown as `at least` its start.
    """
    if stage not in run.manifests:
        return cell(None, NOT_RUN, reason=f"not run: {stage}")
    if value is None:
        return cell(None, UNAVAILABLE, reason=reason or f"{stage} recorded no such figure")
    low, high = interval or (None, None)
    bounds = (low, high) if low is not None and high is not None else None
    start = f"at least {FORMATS[unit](low)}" if low is not None else ""
    said = span(bounds, unit) if bounds else start
    return cell(value, FORMATS[unit](value), status, bounds, said, reason)


def quotient(original: ReportCell, slimmed: ReportCell) -> ReportCell:
    """Slimmed over original, as weakly founded as the weaker of the two."""
    if original.value is None or slimmed.value is None:
        text = NOT_RUN if NOT_RUN in (original.text, slimmed.text) else UNAVAILABLE
        lacking = original if original.value is None else slimmed
        return cell(None, text, reason=lacking.reason)
    if original.value == 0:
        return cell(None, UNAVAILABLE, reason="the original's figure is zero")
    value = slimmed.value / original.value
    estimated = "estimated" in (original.status, slimmed.status)
    return cell(value, times(value), "estimated" if estimated else "computed")


def kept(
    run: RunContents, stage: str, claim: ClaimFigures | None, solved: tuple[ReportCell, ReportCell]
) -> ReportCell:
    """Share of what the original solves that a candidate keeps; `solved` is what both solve."""
    if claim and claim.retention is not None:
        interval = claim.retention_interval
        return figure(run, stage, claim.retention, "share", "computed", interval)
    ratio = quotient(*solved)
    if ratio.value is None:
        return ratio
    why = "the comparison has no such figure" if stage in run.manifests else f"not run: {stage}"
    said = percent(ratio.value)
    return cell(ratio.value, said, "computed", reason=f"no interval ({why})")
