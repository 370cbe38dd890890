"""The process that holds the test: it runs `check` with stand-ins for the program's functions.

It alone knows the expected values and it alone reports. What arrives from the program's process
is data: decoded into new builtin objects, matched to its call by a nonce. Helpers that a test takes
from the prompt run here, from the prompt's text: a program that redefines them fools itself alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from flab_deploy.sandbox.decide import Fact, Finding, error_of_program, error_of_test
from flab_deploy.sandbox.worker.channel import Closed, receive_frame, send_frame
from flab_deploy.sandbox.worker.prelude import names_in, needed_prelude
from flab_deploy.sandbox.worker.raised import describe, is_of_program, rebuild, text_of
from flab_deploy.sandbox.worker.values import (
    BadEncoding,
    TooLarge,
    UnsupportedValue,
    copy_back,
    from_bytes,
    pack,
    to_bytes,
    unpack,
)

TEST_READ = b"r"
"""First byte of a report: the test has left its stream, so that the next one can follow."""
MAX_DETAIL = 300
_RESERVE_BYTES = 4 << 20
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What the test process is given; none of it is the program's."""

    test: str
    """Source that defines `check(candidate)`."""
    prelude: str
    """The prompt, for the helpers and imports that the test takes from it."""
    entry_point: str
    """Name of the function that `check` receives."""


class _Stop(BaseException):
    """Ends the test; what was found is in the session's `found`, which no `except` in a test can
    hide.
    """


def printable(text: str) -> str:
    """One line of at most MAX_DETAIL printable characters, without addresses, which differ from run
    to run.
    """
    line = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    return _ADDRESS.sub("0x...", "".join(c if c.isprintable() else "?" for c in line))[:MAX_DETAIL]


class Session:
    """One program's process as seen from the test: calls go out, checked answers come back."""

    def __init__(self, fd: int, max_bytes: int) -> None:
        """The session over `fd`, with messages of at most `max_bytes`."""
        self._fd = fd
        self._max_bytes = max_bytes
        self._passes_stop_iteration = False
        self._calling_back = False
        self._if_gone: Fact = "gone_before_start"
        self.found: Finding | None = None
        self.num_calls = 0

    def stop(self, fact: Fact, detail: str) -> NoReturn:
        """End the test with a finding; the first one stands."""
        self.found = self.found or Finding(fact=fact, detail=detail)
        raise _Stop

    def _receive(self) -> dict[str, Any]:
        try:
            return from_bytes(receive_frame(self._fd, self._max_bytes))
        except Closed:
            self.stop(self._if_gone, "")
        except BadEncoding as error:
            self.stop("malformed_answer", str(error))

    def await_load(self, entry_point: str, names: frozenset[str]) -> None:
        """Wait until the program is loaded; stops if it cannot be. `names` are those that the test
        uses.
        """
        self._passes_stop_iteration = "StopIteration" in names
        self._receive()
        self._if_gone = "gone_at_load"
        reply = self._receive()
        self._if_gone = "gone_in_call"
        if "error" in reply:
            error = self._rebuild(reply)
            fact = error_of_program(error, loading=True)
            self.stop(fact, f"{_name(reply)}: {text_of(error)}")
        if reply != {"ready": True}:
            self.stop("no_function", f"it defines no function {entry_point}")

    def function(self, name: str) -> Callable[..., object]:
        """A stand-in for a function of the program."""

        def stand_in(*args: object, **kwargs: object) -> object:
            return self._call(name, list(args), kwargs)

        stand_in.__name__ = name
        return stand_in

    def _call(self, name: str, args: list[object], kwargs: dict[str, object]) -> object:
        if self.found is not None:
            raise _Stop
        if self._calling_back:
            self.stop("no_plain_data", "the test passes a function that calls the program")
        self.num_calls += 1
        nonce = os.urandom(8).hex()
        functions: list[Callable[..., object]] = []
        try:
            packed = {"args": pack(args, functions), "kwargs": pack(kwargs, functions)}
            self._send({"nonce": nonce, "function": name, **packed})
        except (UnsupportedValue, TooLarge) as error:
            self.stop("no_plain_data", f"the test passes {error}")
        reply = self._receive()
        while reply.get("nonce") == nonce and "call" in reply:
            self._call_back(reply, functions)
            reply = self._receive()
        if reply.get("nonce") != nonce:
            self.stop("malformed_answer", "an answer to no call")
        return self._outcome_of(reply, args, kwargs, functions)

    def _send(self, message: dict[str, object]) -> None:
        try:
            send_frame(self._fd, to_bytes(message, self._max_bytes))
        except Closed:
            self.stop(self._if_gone, "")

    def _call_back(self, reply: dict[str, Any], functions: list[Callable[..., object]]) -> None:
        """Let the program call a function that the test passed to it."""
        try:
            index = reply["call"]
            function = functions[index if index >= 0 else len(functions)]
            args, kwargs = unpack(reply["args"]), unpack(reply["kwargs"])
            kwargs = {str(key): value for key, value in kwargs.items()}
            args = list(args)
        except (BadEncoding, LookupError, TypeError, AttributeError):
            self.stop("malformed_answer", "a call of no function")
        self._calling_back = True
        try:
            self._send({"value": pack(function(*args, **kwargs))})
        except (UnsupportedValue, TooLarge) as error:
            self.stop("no_plain_data", f"a function of the test gives {error}")
        except Exception as error:
            self._send(describe(error))
        finally:
            self._calling_back = False

    def _outcome_of(
        self,
        reply: dict[str, Any],
        args: list[object],
        kwargs: dict[str, object],
        functions: list[Callable[..., object]],
    ) -> object:
        if "unsupported" in reply:
            self.stop("no_plain_data", f"{reply['unsupported']}")
        if "too_large" in reply:
            self.stop("answer_too_large", f"an answer of {reply['too_large']}")
        try:
            for key, old in (("args", args), ("kwargs", kwargs)):
                if key in reply:
                    new = unpack(reply[key], functions.__getitem__)
                    pairs = (
                        zip(old, new, strict=True)
                        if isinstance(old, list)
                        else [(old[k], new[k]) for k in old]
                    )
                    for mine, theirs in pairs:
                        copy_back(mine, theirs)
            value = unpack(reply["value"], functions.__getitem__) if "error" not in reply else None
        except (BadEncoding, LookupError, TypeError, ValueError) as error:
            self.stop("malformed_answer", f"{type(error).__name__} in an answer")
        if "error" in reply:
            raise self._rebuild(reply)
        return self._watched(value) if isinstance(value, types.GeneratorType) else value

    def _watched(self, items: Iterator[object]) -> Iterator[object]:
        try:
            yield from items
        except UnsupportedValue as error:
            self.stop("no_plain_data", str(error))

    def _rebuild(self, reply: dict[str, Any]) -> BaseException:
        """The error a program raised, as the nearest builtin class.

        StopIteration would end a `map` or a loop of the test as if all were well, so it arrives as
        RuntimeError (as from a generator, PEP 479) unless the test mentions it.
        """
        error = rebuild(reply)
        if error is None:
            self.stop("malformed_answer", "an error that is none")
        if isinstance(error, StopIteration) and not self._passes_stop_iteration:
            return self._rebuild(
                {"error": ["RuntimeError"], "text": f"StopIteration raised: {error}"}
            )
        return error


def _found_by(error: BaseException) -> Finding:
    """What the test found that ended with this error, the program's or its own."""
    text = text_of(error)
    shown = f"{type(error).__name__}: {text}"
    if is_of_program(error):
        return Finding(fact=error_of_program(error, loading=False), detail=shown)
    if isinstance(error, AssertionError):
        shown = _line_of(error) + (f": {text}" if text else "")
    elif isinstance(error, MemoryError):
        shown = "comparing its answers ran out of memory"
    elif isinstance(error, NameError):
        shown = f"the test uses what neither it nor the prompt defines: {text}"
    elif isinstance(error, ImportError):
        shown = f"the test cannot import what it needs: {text}"
    else:
        shown = f"{shown} ({_line_of(error)})"
    return Finding(fact=error_of_test(error), detail=shown)


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


def _compiled(session: Session, what: str, source: str) -> types.CodeType:
    try:
        return compile(source, f"<{what}>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        session.stop("unusable_test", f"the {what} does not compile: {error}")


def _namespace(session: Session, names: frozenset[str], exam: Exam) -> dict[str, Any]:
    """What a test finds around it: the interpreter's loaded modules, the prompt's helpers, the
    program's function.
    """
    namespace: dict[str, Any] = {"__name__": "test"}
    prelude = needed_prelude(exam.prelude, names - {exam.entry_point})
    if prelude:
        exec(_compiled(session, "prompt", prelude), namespace)
    for name in names & sys.stdlib_module_names:
        if name in sys.modules:
            namespace.setdefault(name, sys.modules[name])
    namespace.pop("check", None)
    namespace[exam.entry_point] = session.function(exam.entry_point)
    return namespace


def _examine(session: Session, exam: Exam) -> None:
    """Run the test to its end, or to an exception."""
    code = _compiled(session, "test", exam.test)
    names = frozenset(names_in(code))
    session.await_load(exam.entry_point, names)
    namespace = _namespace(session, names, exam)
    exec(code, namespace)
    if not callable(namespace.get("check")):
        session.stop("unusable_test", "the test defines no function check")
    namespace["check"](session.function(exam.entry_point))
    if session.found is None and session.num_calls == 0:
        session.stop("unusable_test", "the test never calls the program")


def run_examiner(fd: int, report_fd: int, exam: Exam, max_bytes: int) -> None:
    """Examine the program behind `fd`, write one line of JSON to `report_fd`, and end. Never
    returns.
    """
    session = Session(fd, max_bytes)
    found = Finding(fact="test_passed", detail="")
    reserve = bytes(
        _RESERVE_BYTES
    )  # pages untouched; given up where memory has run out, to be able to say so
    try:
        _examine(session, exam)
    except _Stop:
        pass
    except BaseException as error:
        del reserve
        found = _found_by(error)
    found = session.found or found
    os.write(report_fd, json.dumps([found.fact, printable(found.detail)]).encode() + b"\n")
    os._exit(0)
