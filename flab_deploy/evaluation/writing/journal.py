"""What a model has written so far, on disk, so that an interrupted evaluation goes on where it
stopped.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from flab_deploy.evaluation.writing.completion import Completion
from flab_deploy.home import flab_home

logger = logging.getLogger(__name__)
_KEPT_S = 30 * 24 * 3600


class AnswerJournal:
    """Completions by content key, appended as they come."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self.known: dict[str, Completion] = {}
        """Completions that an earlier run had written."""
        if stream is not None:
            self.known = _read(stream)

    def add(self, keys: Sequence[str], completions: Sequence[Completion]) -> None:
        """Append completions and hand them to the operating system, so that they outlive this
        process.
        """
        if self._stream is None:
            return
        rows = [
            {"key": key, **asdict(completion)}
            for key, completion in zip(keys, completions, strict=True)
        ]
        self._stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        self._stream.flush()


def _read(stream: BinaryIO) -> dict[str, Completion]:
    """The whole lines of a journal; what a killed process left unfinished at its end is cut off."""
    found: dict[str, Completion] = {}
    whole = 0
    stream.seek(0)
    for line in stream:
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
            if row is None:
                break
            key = row.pop("key")
            found[key] = Completion(**{**row, "ids": tuple(row["ids"])})
        except (ValueError, KeyError, TypeError):
            break
        whole += len(line)
    stream.truncate(whole)
    stream.seek(whole)
    return found


@contextmanager
def journal(run: str) -> Iterator[AnswerJournal]:
    """The journal of the run with that key, under `$FLAB_HOME`; `forget` deletes it.

    A second process with the same run writes on its own, without a journal.
    """
    path = _path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_old(path.parent)
    with path.open("a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process is making this evaluation; this one repeats its work")
            yield AnswerJournal(None)
            return
        yield AnswerJournal(stream)


def forget(run: str) -> None:
    """Delete the journal of a finished run."""
    _path(run).unlink(missing_ok=True)


def _path(run: str) -> Path:
    return flab_home() / "completions" / f"{run}.jsonl"


def _remove_old(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        try:
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()
        except OSError:  # another process was faster
            continue
