"""Tables of texts, and how they name and write what records hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from flab_deploy.artifacts import Json
from flab_deploy.records.document import as_json
from flab_deploy.records.report import ReportTable
from flab_deploy.report.cells import NOT_RUN
from flab_deploy.wording.numbers import bytes_, count, points

T = TypeVar("T")
Line = tuple[str, ...]
Reading = tuple[str, Callable[[T], str]]
"""What a line shows of each model, after its label."""
DASH = "–"


def table(
    key: str,
    title: str,
    head: Sequence[str],
    lines: Sequence[Line],
    note: str,
    absence: str = NOT_RUN,
) -> ReportTable:
    """A table with its explanation, or with `absence` in place of it if there are no lines."""
    told = note if lines else absence
    return ReportTable(key=key, title=title, head=tuple(head), lines=tuple(lines), note=told)


def readings(
    lines: Sequence[Reading[T]], found: Mapping[str, T | None] | Mapping[str, T]
) -> list[Line]:
    """A line for each reading with a cell for each model; a dash where it has no such figures, and
    no lines if none has.
    """
    if not any(one is not None for one in found.values()):
        return []
    return [
        (label, *(DASH if one is None else read(one) for one in found.values()))
        for label, read in lines
    ]


def record_lines(prefix: str, records: Sequence[object | None]) -> list[Line]:
    """A line for every field of records that stand side by side, named after the field."""
    return pairs(prefix, [None if found is None else as_json(found) for found in records])


def pairs(prefix: str, values: Sequence[Json]) -> list[Line]:
    """A line for every leaf below JSON values that stand side by side."""
    found = [dict(_leaves(value)) for value in values]
    names = dict.fromkeys(name for block in found for name in block)
    return [(prefix + words(name), *(block.get(name, DASH) for block in found)) for name in names]


def _leaves(value: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, text) of every leaf below a value; nested names are joined by a dot."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else key)
    elif prefix:
        yield prefix, text(value, prefix)


def words(name: str) -> str:
    """A JSON name in words: `num_greedy_equal` is `greedy equal (count)`."""
    parts = name.replace(".", ": ").split("_")
    if parts[0].startswith("num") and len(parts) > 1:
        parts = [*parts[1:], "(count)"]
    units = {"s": "(s)", "ms": "(ms)", "bytes": "", "joules": "(J)"}
    last = [units.get(parts[-1], parts[-1])] if len(parts) > 1 else parts[-1:]
    return " ".join([*parts[:-1], *last]).strip()


def text(value: Json, name: str = "") -> str:
    """A JSON value as a reader sees it; a dash for nothing."""
    if value is None or value == [] or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(text(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{words(key)} {text(item)}" for key, item in value.items())
    if isinstance(value, int | float):
        return _number(value, name)
    return value[:12] if name.endswith("digest") else value


def _number(value: float, name: str) -> str:
    if name.endswith("_bytes"):
        return bytes_(value)
    if "seed" in name or "rank" in name:
        return f"{value:g}"
    if float(value).is_integer() and abs(value) < 1e15:
        return count(value)
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def gain(difference: float, interval: tuple[float, float]) -> str:
    """A difference of shares in points with its interval."""
    return f"{points(difference)} [{points(interval[0])} to {points(interval[1])}]"
