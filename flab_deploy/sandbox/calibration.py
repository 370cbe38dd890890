"""Time limits that fit this host: a multiple of what a right solution needs here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flab_deploy.sandbox.judge import judge
from flab_deploy.sandbox.verdicts import Limits, Program, Verdict

FACTOR = 10.0
"""How many times the processor time of the right solution a program may use."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the right solutions of some tasks used on this host."""

    cpu_s: dict[str, float]
    """Processor time by program id for `Program.cpu_s`, for the tasks whose solution passed; at
    least the limits'.
    """
    verdicts: tuple[Verdict, ...]
    """Verdict on each solution, in their order."""

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Verdicts on the solutions that did not pass: their tests, or this host, cannot judge
        anything.
        """
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def limit_of(cpu_s: float, limits: Limits) -> float:
    """Processor time for programs of a task whose right solution used `cpu_s`: at least the
    limits'.
    """
    return min(3600.0, max(limits.cpu_s, FACTOR * cpu_s))


def calibrate(
    solutions: Sequence[Program],
    limits: Limits = Limits(),
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
    *,
    allow_weak: bool = False,
) -> Calibration:
    """Judge right solutions, with FACTOR times the time of `limits`, and derive limits for programs
    of the same tasks.

    Raises SandboxError like `judge`.
    """
    generous = replace(
        limits, cpu_s=min(3600.0, FACTOR * limits.cpu_s), wall_s=min(3600.0, FACTOR * limits.wall_s)
    )
    verdicts = judge(solutions, generous, workers, progress, allow_weak=allow_weak)
    return Calibration(
        cpu_s={v.program_id: limit_of(v.cpu_s, limits) for v in verdicts if v.passed},
        verdicts=tuple(verdicts),
    )
