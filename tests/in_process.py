"""The `flab` program without a process of its own, which would import torch anew for every
command.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from subprocess import CompletedProcess

from flab_deploy.cli.program import main

_LOGGERS = ("flab_deploy", "serving", "flows", "httpx")


def flab(*words: str) -> CompletedProcess[str]:
    """What `flab WORDS` prints on both streams, and the code that it would exit with."""
    out, errors = io.StringIO(), io.StringIO()
    with _own_logging(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = _exit_code(*words)
    return CompletedProcess(["flab", *words], code, out.getvalue(), errors.getvalue())


def _exit_code(*words: str) -> int:
    try:
        main(words)
    except SystemExit as end:
        assert end.code is None or isinstance(end.code, int), end.code
        return end.code or 0
    return 0


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Put back what the program sets up for a process that it has to itself."""
    found = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate, logger.handlers) for logger in found]
    try:
        yield
    finally:
        for logger, (level, propagate, handlers) in zip(found, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers = handlers
