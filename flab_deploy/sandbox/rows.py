"""Rows of programs to judge, as JSON lines with HumanEval's fields."""

from __future__ import annotations

import gzip
import keyword
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.corpus import json_object
from flab_deploy.errors import ConfigError

_FIELDS = ("task_id", "prompt", "completion", "test", "entry_point")
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class ProgramRow:
    """One completion of one task; the program is the prompt and the completion, joined as they
    are.
    """

    task_id: str
    """The task; several rows may be completions of one task, even equal ones."""
    prompt: str
    """What the completion continues. The test may use its helpers and imports, so it is trusted as
    the test is.
    """
    completion: str
    """What is judged."""
    test: str
    """Source that defines `check(candidate)`."""
    entry_point: str
    """Name of the function that `check` receives."""
    canonical_solution: str = ""
    """A completion that is right, to set the time limit by; empty if there is none."""


def load_rows(path: Path) -> list[ProgramRow]:
    """Rows of a JSON-lines file, which may be gzipped, in file order; unknown fields are ignored.

    Raises ConfigError, naming file and line, for a file that cannot be read, a line that is not a
    JSON object, a field that is missing or not text, an entry point that is no name, and a task
    whose rows disagree on its test or entry point.
    """
    rows: list[ProgramRow] = []
    first: dict[str, tuple[int, ProgramRow]] = {}
    for number, text in _lines(path):
        row = _row(f"{path}:{number}", text)
        seen_at, seen = first.setdefault(row.task_id, (number, row))
        if (row.test, row.entry_point) != (seen.test, seen.entry_point):
            name = "test" if row.test != seen.test else "entry_point"
            raise ConfigError(
                f"{path}:{number}: task_id {row.task_id!r} has another {name} than on line "
                f"{seen_at}; rows of one task differ in prompt and completion alone"
            )
        rows.append(row)
    if not rows:
        raise ConfigError(
            f"{path} holds no rows; give at least one JSON line with {', '.join(_FIELDS)}"
        )
    return rows


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that are not blank."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        stated = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"{path} cannot be read ({stated}); give a JSON-lines file in UTF-8"
        ) from None
    # not `splitlines`, for which U+2028 inside a text ends a line too
    return ((n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip())


def _row(place: str, text: str) -> ProgramRow:
    fields = json_object(text, place)
    for name in _FIELDS:
        if not isinstance(fields.get(name), str):
            seen = type(fields[name]).__name__ if name in fields else "nothing"
            raise ConfigError(f"{place}: field {name!r} must be text, found {seen}")
    entry_point, canonical = fields["entry_point"], fields.get("canonical_solution")
    if not entry_point.isidentifier() or keyword.iskeyword(entry_point):
        raise ConfigError(
            f"{place}: entry_point {entry_point[:80]!r} is not the name of a function"
        )
    return ProgramRow(
        **{name: fields[name] for name in _FIELDS},
        canonical_solution=canonical if isinstance(canonical, str) else "",
    )


def num_tasks(rows: Sequence[ProgramRow]) -> int:
    """Number of different tasks."""
    return len({row.task_id for row in rows})
