"""Which verdict follows from what was seen of a program: the only place that decides one.

What watches a program (the test process, the worker, the judge) reports findings, and does not know
what they mean. `decisive` says which one of all that was seen counts, and `VERDICT_OF` its verdict.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from flab_deploy.sandbox.verdicts import VerdictName

Fact = Literal[
    # Seen by the judge.
    "source_too_long",
    "worker_broken",
    # Seen by the test process, which runs the test and reads the program's answers.
    "test_passed",
    "assertion_failed",
    "error_in_program",
    "error_in_comparison",
    "error_at_load",
    "no_function",
    "access_denied",
    "memory_refused",
    "file_too_large",
    "answer_too_large",
    "no_plain_data",
    "malformed_answer",
    "unusable_test",
    # The program's process went away; the worker knows more, for it sees how that ended.
    "gone_before_start",
    "gone_at_load",
    "gone_in_call",
    # Seen by the worker while both processes ran.
    "processor_time_used",
    "clock_time_used",
    "folder_full",
    "much_written",
    # Seen by the worker at their end.
    "test_not_started",
    "test_killed_for_memory",
    "test_ended_silently",
    "forbidden_call",
    "memory_ran_out",
    "killed_for_memory",
    "left_channel",
    "killed_from_outside",
    "crashed",
    "ended_at_load",
    "ended_in_call",
]
"""What can be found out about a program, its test or the judge."""

VERDICT_OF: dict[Fact, VerdictName] = {
    "test_passed": "pass",
    "assertion_failed": "fail_assert",
    "error_in_program": "fail_exception",
    "error_in_comparison": "fail_exception",  # the answer was such that it raised
    "ended_in_call": "fail_exception",
    "source_too_long": "fail_load",
    "error_at_load": "fail_load",
    "no_function": "fail_load",
    "ended_at_load": "fail_load",
    "processor_time_used": "timeout_cpu",
    "clock_time_used": "timeout_wall",
    "memory_refused": "memory_limit",
    "memory_ran_out": "memory_limit",
    "killed_for_memory": "memory_limit",
    "test_killed_for_memory": "memory_limit",  # by what it was given to compare
    "file_too_large": "output_limit",
    "answer_too_large": "output_limit",
    "folder_full": "output_limit",
    "much_written": "output_limit",
    "crashed": "killed_signal",
    "access_denied": "policy_violation",
    "forbidden_call": "policy_violation",
    "malformed_answer": "protocol_violation",
    "left_channel": "protocol_violation",
    "no_plain_data": "unsupported_value",
    "unusable_test": "infra_error",
    "worker_broken": "infra_error",
    "test_not_started": "infra_error",
    "test_ended_silently": "infra_error",
    "gone_before_start": "infra_error",
    "killed_from_outside": "infra_error",
}
"""The verdict that follows from each fact that can be decisive."""

GONE: frozenset[Fact] = frozenset({"gone_before_start", "gone_at_load", "gone_in_call"})
"""Reported of a program whose process closed its channel; how it ended says the rest."""
_MACHINES_DOING: frozenset[VerdictName] = frozenset({"timeout_cpu", "timeout_wall", "infra_error"})
OUT_OF_MEMORY_STATUS = 77
"""Exit status of a program's process that could not even say that it ran out of memory."""
_TOO_LARGE_ERRNO = (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fact, and what a reader would want to know of it."""

    fact: Fact
    detail: str

    @property
    def verdict(self) -> VerdictName:
        """What follows if this fact is the decisive one."""
        return VERDICT_OF[self.fact]

    @property
    def sure(self) -> bool:
        """Whether it would be found again: else it may be the machine's doing, and has to be."""
        return self.verdict not in _MACHINES_DOING or self.fact == "unusable_test"


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended."""

    status: int
    """Exit status, or minus the signal."""
    cpu_s: float
    """Processor time that it used."""
    max_rss_bytes: int
    """Its largest resident set."""
    killed_here: bool
    """Whether it still ran and the worker had to kill it."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All that a worker saw of one program and its test."""

    report: Finding | None
    """What the test process reported; None if it ended without a word or was not waited for."""
    overrun: Finding | None
    """The limit that was passed while both ran, for which the worker stopped them."""
    test_read: bool
    """Whether the test process took the test off its stream."""
    program: Exit
    test: Exit
    killed_for_memory: bool
    """Whether one of the two was killed by the kernel, whose count of such kills has risen."""
    cpu_limit_s: float
    memory_limit_bytes: int

    def ran_out_of_memory(self, end: Exit) -> bool:
        """Whether an end that has no other explanation is put down to memory."""
        return self.killed_for_memory or end.max_rss_bytes > self.memory_limit_bytes // 2


def decisive(seen: Observed) -> Finding:
    """The one finding that counts, in this order:

    1. no test was read: nothing can be said about the program;
    2. a limit was passed while both ran: whatever came after it is the worker's doing;
    3. more processor time was used than allowed, whether or not the worker looked in time;
    4. the test process ended without a report;
    5. it reported how the test ended;
    6. it reported that the program's process went away: how that ended.
    """
    if not seen.test_read:
        return Finding(fact="test_not_started", detail="the test process did not start")
    if seen.overrun is not None:
        return seen.overrun
    for end, who in ((seen.program, "the program"), (seen.test, "the test")):
        if end.status == -signal.SIGXCPU or end.cpu_s > seen.cpu_limit_s:
            return processor_time_used(who, seen.cpu_limit_s)
    if seen.report is None:
        return _of_silent_test(seen)
    if seen.report.fact in GONE:
        return _of_gone_program(seen, seen.report.fact)
    return seen.report


def _of_silent_test(seen: Observed) -> Finding:
    if seen.ran_out_of_memory(seen.test):
        return Finding(
            fact="test_killed_for_memory", detail="comparing its answers ran out of memory"
        )
    detail = f"the test process ended without a report (status {seen.test.status})"
    return Finding(fact="test_ended_silently", detail=detail)


def _of_gone_program(seen: Observed, when: Fact) -> Finding:
    """What the end of the program's process says, which closed its channel before the test ended.

    A program cannot kill itself with SIGKILL, for the filter of system calls sees to that: it was
    the kernel, for memory, or somebody else.
    """
    end = seen.program
    if when == "gone_before_start":
        detail = f"the program's process did not start (status {end.status})"
        return Finding(fact="gone_before_start", detail=detail)
    if end.status == -signal.SIGSYS:
        return Finding(fact="forbidden_call", detail="killed at a forbidden system call")
    if end.status == OUT_OF_MEMORY_STATUS:
        return Finding(fact="memory_ran_out", detail="out of memory")
    if end.killed_here:
        return Finding(fact="left_channel", detail="it left its channel")
    if end.status == -signal.SIGKILL and seen.ran_out_of_memory(end):
        return Finding(fact="killed_for_memory", detail="killed for its memory")
    if end.status == -signal.SIGKILL:
        detail = "the program's process was killed from outside"
        return Finding(fact="killed_from_outside", detail=detail)
    if end.status < 0:
        detail = f"signal {-end.status} ({signal.Signals(-end.status).name})"
        return Finding(fact="crashed", detail=detail)
    return Finding(
        fact="ended_at_load" if when == "gone_at_load" else "ended_in_call",
        detail=f"the process ended with status {end.status}",
    )


def processor_time_used(who: str, limit_s: float) -> Finding:
    """That the program or the test has used up its processor time, as seen during or after."""
    return Finding(fact="processor_time_used", detail=f"{who} used {limit_s:g} s of processor time")


def error_of_program(error: BaseException, *, loading: bool) -> Fact:
    """What it says about a program that this error came out of it: of a limit, or of itself."""
    if isinstance(error, PermissionError):
        return "access_denied"
    if isinstance(error, MemoryError):
        return "memory_refused"
    if isinstance(error, OSError) and error.errno in _TOO_LARGE_ERRNO:
        return "file_too_large"
    return "error_at_load" if loading else "error_in_program"


def error_of_test(error: BaseException) -> Fact:
    """What it says that the test itself ended with this error."""
    if isinstance(error, AssertionError):
        return "assertion_failed"
    if isinstance(error, MemoryError):
        return "memory_refused"
    if isinstance(error, NameError | ImportError):
        return "unusable_test"
    return "error_in_comparison"
