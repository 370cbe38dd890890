"""Progress of long work: a bar on a terminal, a log line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

logger = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def progress(label: str, total: int, unit: str = "problems") -> Iterator[Callable[[int], None]]:
    """A function to call with the number of items just finished; `total` is how many there will
    be.
    """
    started = last = time.monotonic()
    done = 0
    with tqdm(
        total=total, desc=label, unit=unit, disable=not sys.stderr.isatty(), file=sys.stderr
    ) as bar:

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            bar.update(count)
            now = time.monotonic()
            if bar.disable and now - last >= _SECONDS_BETWEEN_LINES and done < total:
                last = now
                left = (now - started) / done * (total - done) if done else float("inf")
                logger.info("%s: %d of %d %s, about %.0f s left", label, done, total, unit, left)

        yield advance
    logger.info("%s: %d %s in %.1f s", label, done, unit, time.monotonic() - started)
