"""Finished rounds of a long search, kept on disk so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

from flab_deploy.importance.ranks import Ranks
from flab_deploy.records.document import as_json, parse_record, record
from flab_deploy.records.scores import DropPath

R = TypeVar("R")


@record
class FirstRound:
    """The scores of all layers of the whole model, and what the search learnt on the way."""

    scores: tuple[float, ...]
    batches: tuple[int, ...]
    """Batches in the order in which later rounds try them."""
    progress: tuple[float, ...]
    """Share of a candidate's whole cost that it usually has after each of them."""


@record
class DropRound:
    """One more layer dropped."""

    beams: tuple[DropPath, ...]
    """The stacks that the search follows, best first."""


class SearchJournal:
    """Rounds as JSON lines, one file per rank; without a path nothing is kept.

    A line that a kill cut short does not count, nor does a round that not all ranks have finished.
    """

    def __init__(self, path: Path | None, ranks: Ranks | None = None) -> None:
        ranks = ranks or Ranks()
        self._path = path and path.with_name(f"{path.name}-{ranks.rank}-of-{ranks.count}.jsonl")
        lines = _whole_lines(self._path) if self._path else []
        common = -ranks.largest(-len(lines))
        self._lines = lines[:common]
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("".join(self._lines), encoding="utf-8")

    def __len__(self) -> int:
        return len(self._lines)

    def round(self, number: int, kind: type[R]) -> R | None:
        """A finished round, or None. Raises ArtifactError if it is not of that kind."""
        if number >= len(self._lines):
            return None
        return parse_record(kind, self._lines[number], f"{self._path}:{number + 1}")

    def add(self, finished: FirstRound | DropRound) -> None:
        """Record the next round; when this returns it is on disk."""
        line = json.dumps(as_json(finished)) + "\n"
        self._lines.append(line)
        if self._path:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())

    def close(self) -> None:
        """Remove the file: the search's result is safe elsewhere."""
        if self._path:
            self._path.unlink(missing_ok=True)


def _whole_lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [
        line
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("\n")
    ]
