"""Tables of texts with a column for each model, and what is said about them and about charts."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from flab_deploy.records.document import record, record_of
from flab_deploy.records.report import ReportTable
from flab_deploy.report.cells import NOT_RUN
from flab_deploy.wording.fields import DASH

T = TypeVar("T")
Line = tuple[str, ...]
Reading = tuple[str, Callable[[T], str]]
"""A line's label, and what it says of a model."""
TEMPLATES = Path(__file__).parent / "templates"


@record
class Prose:
    """What is said about a table or a chart."""

    title: str
    head: tuple[str, ...] = ()
    """Headings of the columns after the labels, unless they are the models of the run."""
    note: str
    absence: str = NOT_RUN
    """In place of the note if a table has no lines."""


@record
class PageProse:
    """What is said about every table and chart, by its key."""

    tables: dict[str, Prose]
    charts: dict[str, Prose]


_FILE = TEMPLATES / "prose.toml"
PROSE = record_of(PageProse, tomllib.loads(_FILE.read_text(encoding="utf-8")), str(_FILE))


def table(key: str, lines: Sequence[Line], head: Sequence[str] = (), **facts: str) -> ReportTable:
    """The table `key` with its title and explanation, which `facts` are filled into; `head` names
    the models of the run that have a column.
    """
    said = PROSE.tables[key]
    return ReportTable(
        key=key,
        title=said.title.format(**facts),
        head=("", *(head or said.head)),
        lines=tuple(lines),
        note=said.note.format(**facts).strip() if lines else said.absence,
    )


def readings(lines: Sequence[Reading[T]], found: Mapping[str, T | None]) -> list[Line]:
    """A line for each reading, a cell or a dash for each model; no lines if none has figures."""
    models = found.values()
    known = lines if any(one is not None for one in models) else ()
    return [(label, *(DASH if m is None else read(m) for m in models)) for label, read in known]
