"""Which verdict follows from which facts, without a kernel: one row per way to end."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import get_args

import pytest

from flab_deploy.sandbox.decide import (
    GONE,
    OUT_OF_MEMORY_STATUS,
    VERDICT_OF,
    Exit,
    Fact,
    Finding,
    Observed,
    decisive,
    error_of_program,
    error_of_test,
)
from flab_deploy.sandbox.verdicts import VERDICT_NAMES, VerdictName

MEMORY = 100 << 20
WELL = Exit(status=0, cpu_s=0.1, max_rss_bytes=20 << 20, killed_here=False)
SEEN = Observed(
    report=Finding(fact="test_passed", detail=""),
    overrun=None,
    test_read=True,
    program=WELL,
    test=WELL,
    killed_for_memory=False,
    cpu_limit_s=2.0,
    memory_limit_bytes=MEMORY,
)


def said(fact: Fact, detail: str = "d") -> Observed:
    return replace(SEEN, report=Finding(fact=fact, detail=detail))


def ended(when: Fact, status: int, **more: object) -> Observed:
    """The program's process went away like this."""
    return replace(said(when), program=replace(WELL, status=status, **more))  # type: ignore[arg-type]


def silent(**test: object) -> Observed:
    return replace(SEEN, report=None, test=replace(WELL, **test))  # type: ignore[arg-type]


def stopped(fact: Fact) -> Observed:
    killed = replace(WELL, status=-signal.SIGKILL, killed_here=True)
    overrun = Finding(fact=fact, detail="d")
    return replace(SEEN, report=None, overrun=overrun, program=killed, test=killed)


KILLED, BUSY = -signal.SIGKILL, replace(WELL, cpu_s=2.5)
# (what was seen, the verdict, its detail), in the order in which the judge looks at things.
ROWS: dict[str, tuple[Observed, VerdictName, str]] = {
    "the test process did not start": (
        replace(silent(status=1), test_read=False),
        "infra_error",
        "the test process did not start",
    ),
    "stopped for processor time": (stopped("processor_time_used"), "timeout_cpu", "d"),
    "stopped for time on the clock": (stopped("clock_time_used"), "timeout_wall", "d"),
    "stopped for its files": (stopped("folder_full"), "output_limit", "d"),
    "stopped for what it wrote": (stopped("much_written"), "output_limit", "d"),
    "the kernel's limit of processor time": (
        ended("gone_in_call", -signal.SIGXCPU),
        "timeout_cpu",
        "the program used 2 s of processor time",
    ),
    "done, and over its processor time": (
        replace(SEEN, program=BUSY),
        "timeout_cpu",
        "the program used 2 s of processor time",
    ),
    "the test used too much": (
        replace(said("assertion_failed"), test=BUSY),
        "timeout_cpu",
        "the test used 2 s of processor time",
    ),
    "the test process was killed for memory": (
        replace(silent(status=KILLED), killed_for_memory=True),
        "memory_limit",
        "comparing its answers ran out of memory",
    ),
    "the test process ended while large": (
        silent(status=1, max_rss_bytes=MEMORY // 2 + 1),
        "memory_limit",
        "comparing its answers ran out of memory",
    ),
    "the test process ended without a word": (
        silent(status=70),
        "infra_error",
        "the test process ended without a report (status 70)",
    ),
    "passed": (said("test_passed", ""), "pass", ""),
    "an assertion": (said("assertion_failed"), "fail_assert", "d"),
    "an error of the program": (said("error_in_program"), "fail_exception", "d"),
    "an error in the comparison": (said("error_in_comparison"), "fail_exception", "d"),
    "an error while loading": (said("error_at_load"), "fail_load", "d"),
    "no function": (said("no_function"), "fail_load", "d"),
    "access denied": (said("access_denied"), "policy_violation", "d"),
    "no more memory": (said("memory_refused"), "memory_limit", "d"),
    "a file too large": (said("file_too_large"), "output_limit", "d"),
    "an answer too large": (said("answer_too_large"), "output_limit", "d"),
    "no plain data": (said("no_plain_data"), "unsupported_value", "d"),
    "a malformed answer": (said("malformed_answer"), "protocol_violation", "d"),
    "an unusable test": (said("unusable_test"), "infra_error", "d"),
    "gone before it was confined": (
        ended("gone_before_start", 70),
        "infra_error",
        "the program's process did not start (status 70)",
    ),
    "a forbidden call": (
        ended("gone_in_call", -signal.SIGSYS),
        "policy_violation",
        "killed at a forbidden system call",
    ),
    "too little memory to say so": (
        ended("gone_in_call", OUT_OF_MEMORY_STATUS),
        "memory_limit",
        "out of memory",
    ),
    "it closed its channel and went on": (
        ended("gone_in_call", KILLED, killed_here=True),
        "protocol_violation",
        "it left its channel",
    ),
    "killed by the kernel for memory": (
        replace(ended("gone_at_load", KILLED), killed_for_memory=True),
        "memory_limit",
        "killed for its memory",
    ),
    "killed while large": (
        ended("gone_in_call", KILLED, max_rss_bytes=MEMORY // 2 + 1),
        "memory_limit",
        "killed for its memory",
    ),
    "killed from outside": (
        ended("gone_in_call", KILLED),
        "infra_error",
        "the program's process was killed from outside",
    ),
    "a crash": (ended("gone_in_call", -signal.SIGSEGV), "killed_signal", "signal 11 (SIGSEGV)"),
    "it ended itself while loading": (
        ended("gone_at_load", 3),
        "fail_load",
        "the process ended with status 3",
    ),
    "it ended itself in a call": (
        ended("gone_in_call", 0),
        "fail_exception",
        "the process ended with status 0",
    ),
}


@pytest.mark.parametrize(("seen", "verdict", "detail"), ROWS.values(), ids=ROWS)
def test_the_verdict_that_follows(seen: Observed, verdict: VerdictName, detail: str) -> None:
    found = decisive(seen)
    assert (found.verdict, found.detail) == (verdict, detail)


def test_every_verdict_and_every_fact_has_a_row() -> None:
    assert {verdict for _, verdict, _ in ROWS.values()} == set(VERDICT_NAMES)
    of_the_judge = {"source_too_long", "worker_broken"}
    decided = {decisive(seen).fact for seen, _, _ in ROWS.values()}
    assert decided | of_the_judge == set(VERDICT_OF)
    assert set(VERDICT_OF) | GONE == set(get_args(Fact))


def test_what_comes_first_counts() -> None:
    """Everything at once, and then one thing less at a time."""
    large = replace(WELL, status=KILLED, max_rss_bytes=MEMORY)
    seen = replace(
        stopped("folder_full"), test_read=False, program=replace(large, cpu_s=2.5), test=large
    )
    order = [decisive(seen).fact]
    seen = replace(seen, test_read=True)
    order.append(decisive(seen).fact)
    seen = replace(seen, overrun=None)
    order.append(decisive(seen).fact)
    seen = replace(seen, program=large)
    order.append(decisive(seen).fact)
    seen = replace(seen, report=Finding(fact="gone_in_call", detail=""))
    order.append(decisive(seen).fact)
    seen = replace(seen, report=Finding(fact="malformed_answer", detail=""))
    order.append(decisive(seen).fact)
    assert order == [
        "test_not_started",
        "folder_full",
        "processor_time_used",
        "test_killed_for_memory",
        "killed_for_memory",
        "malformed_answer",
    ]


def test_only_what_the_machine_may_have_done_is_unsure() -> None:
    unsure = {fact for fact in VERDICT_OF if not Finding(fact=fact, detail="").sure}
    assert unsure == {
        "processor_time_used",
        "clock_time_used",
        "worker_broken",
        "test_not_started",
        "test_ended_silently",
        "gone_before_start",
        "killed_from_outside",
    }


@pytest.mark.parametrize(
    ("error", "called", "loading"),
    [
        (PermissionError(13, "no"), "access_denied", "access_denied"),
        (MemoryError(), "memory_refused", "memory_refused"),
        (OSError(28, "full"), "file_too_large", "file_too_large"),
        (OSError(2, "none"), "error_in_program", "error_at_load"),
        (AssertionError(), "error_in_program", "error_at_load"),
        (NameError(), "error_in_program", "error_at_load"),
    ],
)
def test_errors_of_a_program(error: BaseException, called: Fact, loading: Fact) -> None:
    assert error_of_program(error, loading=False) == called
    assert error_of_program(error, loading=True) == loading


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (AssertionError(), "assertion_failed"),
        (MemoryError(), "memory_refused"),
        (UnboundLocalError(), "unusable_test"),
        (ModuleNotFoundError(), "unusable_test"),
        (PermissionError(13, "no"), "error_in_comparison"),
        (TypeError(), "error_in_comparison"),
    ],
)
def test_errors_of_a_test(error: BaseException, fact: Fact) -> None:
    assert error_of_test(error) == fact
