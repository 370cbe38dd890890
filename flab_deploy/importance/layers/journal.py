"""Finished rounds of a long search, kept on disk so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

from flab_deploy.artifacts import Json
from flab_deploy.importance.ranks import Ranks


class SearchJournal:
    """Rounds as JSON lines, one file per rank; without a path nothing is kept.

    A line that a kill cut short does not count, nor does a round that not all ranks have finished.
    """

    def __init__(self, path: Path | None, ranks: Ranks | None = None) -> None:
        ranks = ranks or Ranks()
        self._path = path and path.with_name(f"{path.name}-{ranks.rank}-of-{ranks.count}.jsonl")
        lines = _whole_lines(self._path) if self._path else []
        common = -ranks.largest(-len(lines))
        self._rounds = [cast("dict[str, Json]", json.loads(line)) for line in lines[:common]]
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("".join(lines[:common]), encoding="utf-8")

    def __len__(self) -> int:
        return len(self._rounds)

    def round(self, number: int) -> dict[str, Json] | None:
        """The record of a finished round, or None."""
        return self._rounds[number] if number < len(self._rounds) else None

    def add(self, record: dict[str, Json]) -> None:
        """Record the next round; when this returns it is on disk."""
        self._rounds.append(record)
        if self._path:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
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
