"""Showing a stage's work in Prefect while it runs: its log lines, and a progress bar for long ones.

The library knows nothing of Prefect. It logs, and a line of the form `LABEL: 3 of 10 UNIT` is
progress.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

if TYPE_CHECKING:
    _RunLogger: TypeAlias = logging.Logger | logging.LoggerAdapter[logging.Logger]

logger = logging.getLogger(__name__)

_SOURCES = ("flab_deploy", "serving")
_PROGRESS = re.compile(r"\b(\d[\d,]*) of (\d[\d,]*)\b")
_SECONDS_BETWEEN_UPDATES = 2.0


class ProgressBar:
    """A progress artifact of the current task run; a server that does not answer never stops the
    work.
    """

    def __init__(self, key: str, description: str) -> None:
        """Create the artifact at zero; `key` is of lower-case letters, digits and dashes."""
        self._last_s = time.monotonic()
        self._id: UUID | None = None
        try:
            self._id = cast("UUID", create_progress_artifact(0.0, key=key, description=description))
        except Exception:
            logger.debug("no progress artifact %s", key, exc_info=True)

    def move(self, share: float) -> None:
        """Show that `share`, from 0 to 1, is done; calls that come too fast are left out."""
        now_s = time.monotonic()
        if self._id is None or (share < 1 and now_s - self._last_s < _SECONDS_BETWEEN_UPDATES):
            return
        self._last_s = now_s
        try:
            update_progress_artifact(self._id, round(100 * min(max(share, 0.0), 1.0), 1))
        except Exception:
            logger.debug("progress artifact not updated", exc_info=True)


class _ToPrefect(logging.Handler):
    """Passes records on to the logger of the current run."""

    def __init__(self, run_logger: _RunLogger, bar: ProgressBar | None) -> None:
        super().__init__(logging.INFO)
        self._run = run_logger
        self._bar = bar
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(self._inside, "busy", False):
            return
        self._inside.busy = True
        try:
            self._run.log(record.levelno, "%s", record.getMessage())
            found = _PROGRESS.search(record.getMessage())
            if self._bar is not None and found is not None:
                done, total = (int(text.replace(",", "")) for text in found.groups())
                self._bar.move(done / total if total else 1.0)
        finally:
            self._inside.busy = False


@contextmanager
def shown_in_prefect(label: str, *, long: bool) -> Iterator[None]:
    """Send the library's log lines of the block to the current run; `long` adds a progress bar
    named after `label`.
    """
    try:
        run_logger = get_run_logger()
    except MissingContextError:  # called outside a run
        yield
        return
    bar = ProgressBar(f"{label}-progress", f"How far **{label}** has come") if long else None
    with _attached(_ToPrefect(run_logger, bar)):
        yield
    if bar is not None:
        bar.move(1.0)


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    sources = [logging.getLogger(name) for name in _SOURCES]
    before = [(source.level, source.propagate) for source in sources]
    for source in sources:
        source.addHandler(handler)
        if source.level == logging.NOTSET:
            source.setLevel(logging.INFO)
        if logging.getLogger(
            "prefect"
        ).propagate:  # Prefect prints these lines itself; do not print them twice
            source.propagate = False
    try:
        yield
    finally:
        for source, (level, propagate) in zip(sources, before, strict=True):
            source.removeHandler(handler)
            source.setLevel(level)
            source.propagate = propagate
