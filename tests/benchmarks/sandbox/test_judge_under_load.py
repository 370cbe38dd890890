"""The same verdicts beside four busy processes as on a machine that is as idle as it gets."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits, Program, Verdict, judge

LIMITS = Limits(cpu_s=0.5, wall_s=2.5)
NUM_LIGHT, NUM_HEAVY, NUM_BUSY = 300, 60, 4
# Parts of the time limit that the heavy programs need: up to seven tenths, and from one and a half
# on.
PARTS = (0.2, 0.4, 0.5, 0.6, 0.7, 1.5, 2.0, 3.0)
SPIN = (
    "def f(n):\n    total = 0\n    for i in range(n):\n        total += i * i % 7\n    return n\n"
)


def spinning(program_id: str, turns: int) -> Program:
    test = f"def check(candidate):\n    assert candidate({turns}) == {turns}\n"
    return Program(program_id=program_id, source=SPIN, test=test, entry_point="f")


def turns_per_second() -> float:
    """Loops per second of processor time, as the sandbox counts it."""
    turns = 2_000_000
    verdicts = judge([spinning("speed", turns)] * 3, Limits(cpu_s=30, wall_s=60), 1)
    return turns / min(v.cpu_s for v in verdicts)


def programs_to_judge() -> list[Program]:
    tasks = make_tasks("test", "function_synthesis", NUM_LIGHT)
    light = [
        Program(
            program_id=t.task_id,
            source=t.prompt + (t.canonical_solution if i % 3 else "    return None\n"),
            test=t.test,
            entry_point=t.entry_point,
        )
        for i, t in enumerate(tasks)
    ]
    speed = turns_per_second()
    parts = [PARTS[i % len(PARTS)] for i in range(NUM_HEAVY)]
    heavy = [
        spinning(f"heavy-{i}-{part}", int(part * LIMITS.cpu_s * speed))
        for i, part in enumerate(parts)
    ]
    return light + heavy


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    spinning = [
        subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def judged(programs: list[Program]) -> tuple[list[Verdict], float]:
    started = time.perf_counter()
    return judge(programs, LIMITS), time.perf_counter() - started


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_the_same_verdicts_beside_four_busy_processes() -> None:
    programs = programs_to_judge()
    idle, idle_s = judged(programs)
    with busy_processes(NUM_BUSY):
        busy, busy_s = judged(programs)
    rates = [100 * sum(v.passed for v in verdicts) / len(programs) for verdicts in (idle, busy)]
    changed = [
        (a.program_id, a.verdict, b.verdict)
        for a, b in zip(idle, busy, strict=True)
        if a.verdict != b.verdict
    ]
    print(
        f"\n{len(programs)} programs, {NUM_HEAVY} of them near the limit of {LIMITS.cpu_s} s: "
        "pass@1 "
        f"{rates[0]:.2f} % alone in {idle_s:.0f} s, {rates[1]:.2f} % "
        f"beside {NUM_BUSY} busy processes in {busy_s:.0f} s; changed {changed}"
    )
    assert not any(v.verdict == "infra_error" for v in (*idle, *busy))
    assert abs(rates[0] - rates[1]) <= 0.5
