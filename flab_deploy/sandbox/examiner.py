"""The process that holds the test: it runs `check` with stand-ins for the program's functions.

It alone knows the expected values and it alone reports. What arrives from the program's process
is data: decoded into new builtin objects, matched to its call by a nonce.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from flab_deploy.sandbox.channel import Closed, receive_frame, send_frame
from flab_deploy.sandbox.values import (
    BadEncoding,
    TooLarge,
    UnsupportedValue,
    copy_back,
    from_bytes,
    pack,
    to_bytes,
    unpack,
)
from flab_deploy.sandbox.verdicts import VerdictName

GONE = "gone"
"""Reported in place of a verdict when the program's process ended; the worker knows how it ended."""
NOT_ENTERED, LOADING = "not entered", "loading"
"""Details of `GONE`: it ended before it was confined, so before any of the program ran; or while loading it."""
TEST_READ = b"r"
"""First byte of a report: the test has left its stream, so that the next one can follow."""
MAX_DETAIL = 300
_TOO_LARGE_ERRNO = (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class _Stop(BaseException):
    """Ends the test; what it ends with is the session's `outcome`, which no `except` in a test can hide."""


def printable(text: str) -> str:
    """One line of at most MAX_DETAIL printable characters, without addresses, which differ from run to run."""
    line = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    return _ADDRESS.sub("0x...", "".join(c if c.isprintable() else "?" for c in line))[:MAX_DETAIL]


class Session:
    """One program's process as seen from the test: calls go out, checked answers come back."""

    def __init__(self, fd: int, max_bytes: int) -> None:
        """The session over `fd`, with messages of at most `max_bytes`."""
        self._fd = fd
        self._max_bytes = max_bytes
        self._raised: BaseException | None = None
        self._stage = NOT_ENTERED
        self.outcome: tuple[str, str] | None = None
        self.num_calls = 0

    def stop(self, verdict: VerdictName | str, detail: str) -> NoReturn:
        """End the test with a verdict; the first one stands."""
        self.outcome = self.outcome or (verdict, detail)
        raise _Stop

    def _receive(self) -> dict[str, Any]:
        try:
            return from_bytes(receive_frame(self._fd, self._max_bytes))
        except Closed:
            self.stop(GONE, self._stage)
        except BadEncoding as error:
            self.stop("protocol_violation", str(error))

    def await_load(self, entry_point: str) -> None:
        """Wait until the program is loaded; stops if it cannot be."""
        self._receive()
        self._stage = LOADING
        reply = self._receive()
        self._stage = ""
        if "error" in reply:
            error = self._rebuild(reply)
            self.stop(self._verdict_of(error, "fail_load"), f"{_name(reply)}: {error}")
        if reply != {"ready": True}:
            self.stop("fail_load", f"it defines no function {entry_point}")

    def function(self, name: str) -> Callable[..., object]:
        """A stand-in for a function of the program."""

        def stand_in(*args: object, **kwargs: object) -> object:
            return self._call(name, list(args), kwargs)

        stand_in.__name__ = name
        return stand_in

    def _call(self, name: str, args: list[object], kwargs: dict[str, object]) -> object:
        if self.outcome is not None:
            raise _Stop
        self.num_calls += 1
        nonce = os.urandom(8).hex()
        try:
            request = {"nonce": nonce, "function": name, "args": pack(args), "kwargs": pack(kwargs)}
            send_frame(self._fd, to_bytes(request, self._max_bytes))
        except (UnsupportedValue, TooLarge) as error:
            self.stop("unsupported_value", f"the test passes {error}")
        except Closed:
            self.stop(GONE, "")
        reply = self._receive()
        if reply.get("nonce") != nonce:
            self.stop("protocol_violation", "an answer to no call")
        return self._outcome_of(reply, args, kwargs)

    def _outcome_of(self, reply: dict[str, Any], args: list[object], kwargs: dict[str, object]) -> object:
        if "unsupported" in reply:
            self.stop("unsupported_value", f"{reply['unsupported']}")
        if "too_large" in reply:
            self.stop("output_limit", f"an answer of {reply['too_large']}")
        try:
            for key, old in (("args", args), ("kwargs", kwargs)):
                if key in reply:
                    new = unpack(reply[key])
                    pairs = zip(old, new, strict=True) if isinstance(old, list) else [(old[k], new[k]) for k in old]
                    for mine, theirs in pairs:
                        copy_back(mine, theirs)
            value = unpack(reply["value"]) if "error" not in reply else None
        except (BadEncoding, LookupError, TypeError, ValueError) as error:
            self.stop("protocol_violation", f"{type(error).__name__} in an answer")
        if "error" in reply:
            self._raised = self._rebuild(reply)
            raise self._raised
        return self._watched(value) if isinstance(value, types.GeneratorType) else value

    def _watched(self, items: Iterator[object]) -> Iterator[object]:
        try:
            yield from items
        except UnsupportedValue as error:
            self.stop("unsupported_value", str(error))

    def _rebuild(self, reply: dict[str, Any]) -> BaseException:
        """The error a program raised, as the nearest builtin class."""
        names, text, code = reply.get("error"), reply.get("text"), reply.get("errno", 0)
        if not isinstance(names, list) or not isinstance(text, str) or not isinstance(code, int):
            self.stop("protocol_violation", "an error that is none")
        for name in names:
            kind = getattr(builtins, name, None) if isinstance(name, str) else None
            if isinstance(kind, type) and issubclass(kind, BaseException) and name != "BaseExceptionGroup":
                try:
                    error = kind(text)
                except Exception:
                    continue
                if isinstance(error, OSError):
                    error.errno = code
                return error
        return Exception(text)

    def _verdict_of(self, error: BaseException, otherwise: VerdictName) -> VerdictName:
        if isinstance(error, PermissionError):
            return "policy_violation"
        if isinstance(error, MemoryError):
            return "memory_limit"
        if isinstance(error, OSError) and error.errno in _TOO_LARGE_ERRNO:
            return "output_limit"
        return otherwise

    def verdict_of(self, error: BaseException) -> tuple[str, str]:
        """What it means that the test ended with this error."""
        told = f"{type(error).__name__}: {error}"
        if error is self._raised:
            return self._verdict_of(error, "fail_exception"), told
        if isinstance(error, AssertionError):
            return "fail_assert", _line_of(error) + (f": {error}" if str(error) else "")
        if isinstance(error, MemoryError):
            return "memory_limit", "comparing its answers ran out of memory"
        return "fail_exception", f"{told} ({_line_of(error)})"


def _name(reply: dict[str, Any]) -> str:
    names = reply["error"]
    return str(names[0]) if names else "error"


def _line_of(error: BaseException) -> str:
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<test>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line} of the test"


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def _examine(session: Session, test: str, entry_point: str) -> None:
    """Run the test to its end, or to an exception."""
    namespace: dict[str, Any] = {"__name__": "test"}
    try:
        code = compile(test, "<test>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        session.stop("infra_error", f"the test does not compile: {error}")
    session.await_load(entry_point)
    for name in _names_in(code):  # tests may use the prompt's imports, and call its other functions
        if name in sys.stdlib_module_names and name in sys.modules:
            namespace[name] = sys.modules[name]
        elif not hasattr(builtins, name):
            namespace[name] = session.function(name)
    namespace.pop("check", None)
    exec(code, namespace)
    if not callable(namespace.get("check")):
        session.stop("infra_error", "the test defines no function check")
    namespace["check"](session.function(entry_point))
    if session.outcome is None and session.num_calls == 0:
        session.stop("infra_error", "the test never calls the program")


def run_examiner(fd: int, report_fd: int, test: str, entry_point: str, max_bytes: int) -> None:
    """Examine the program behind `fd`, write one line of JSON to `report_fd`, and end. Never returns."""
    session = Session(fd, max_bytes)
    outcome = ("pass", "")
    try:
        _examine(session, test, entry_point)
    except _Stop:
        pass
    except BaseException as error:
        outcome = session.verdict_of(error)
    verdict, detail = session.outcome or outcome
    os.write(report_fd, json.dumps([verdict, printable(detail)]).encode() + b"\n")
    os._exit(0)
