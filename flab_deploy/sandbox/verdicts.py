"""What the judge is given and what it says: programs, limits, verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from flab_deploy.errors import ConfigError

VerdictName = Literal[
    "pass",
    "fail_assert",
    "fail_exception",
    "fail_load",
    "timeout_cpu",
    "timeout_wall",
    "memory_limit",
    "output_limit",
    "killed_signal",
    "policy_violation",
    "protocol_violation",
    "unsupported_value",
    "infra_error",
]
"""How a program ended.

`pass`: every assertion held. `fail_assert`: an assertion of the test did not hold.
`fail_exception`: the program or a comparison with its answer raised, or the program ended itself.
`fail_load`: it does not compile, raises while loading, or lacks the function.
`timeout_cpu`, `timeout_wall`: it used up its processor time, or its time on the clock.
`memory_limit`, `output_limit`: it asked for too much memory; wrote or returned too much.
`killed_signal`: it crashed. `policy_violation`: it tried what it may not do.
`protocol_violation`: it answered calls that nobody made, or in a form that no answer has.
`unsupported_value`: it returned, or was to be given, something other than plain data.
`infra_error`: the judge or the test is at fault; says nothing about the program.
"""
VERDICT_NAMES: tuple[VerdictName, ...] = get_args(VerdictName)
MAX_SOURCE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to judge, with its test in HumanEval's format."""

    program_id: str
    """Given back in the verdict."""
    source: str
    """The whole program: prompt and completion."""
    test: str
    """Source that defines `check(candidate)`; it never enters the program's process."""
    entry_point: str
    """Name of the function that `check` receives."""
    prelude: str = ""
    """The prompt, if the test takes helpers or imports from it; they run beside the test, and are
    trusted like it.
    """
    cpu_s: float = 0.0
    """Processor time for this program in seconds, such as `calibrate` gives; 0 means that of the
    limits.
    """

    def __post_init__(self) -> None:
        """Refuse a time that is none."""
        if not 0 <= self.cpu_s <= 3600:
            raise ConfigError(
                f"program {self.program_id!r}: cpu_s is {self.cpu_s}; give 0 to 3600 seconds"
            )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one program ended."""

    program_id: str
    """That of the program."""
    verdict: VerdictName
    """`pass`, or why not."""
    detail: str
    """One printable line of at most 300 characters; empty for `pass`."""
    cpu_s: float
    """Processor time of the program in seconds, loading included."""
    max_rss_bytes: int
    """Largest resident set of the program's process; about 15 MB of it are the interpreter's."""

    @property
    def passed(self) -> bool:
        """True for `pass` alone."""
        return self.verdict == "pass"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use."""

    cpu_s: float = 2.0
    """Processor time in seconds, over loading and all calls together; this decides a timeout."""
    wall_s: float = 10.0
    """Time on the clock in seconds: a backstop for programs that sleep."""
    memory_bytes: int = 512 << 20
    """Address space on top of the interpreter's."""
    file_bytes: int = 16 << 20
    """Size of everything the program leaves in its working directory."""
    message_bytes: int = 8 << 20
    """Size of the arguments of one call, and of its answer, when encoded."""

    def __post_init__(self) -> None:
        """Refuse limits under which no program could run."""
        if not 0 < self.cpu_s <= self.wall_s <= 3600:
            raise ConfigError(
                f"limits cpu_s={self.cpu_s}, wall_s={self.wall_s}: need 0 < cpu_s <= wall_s <= 3600"
            )
        for name, least in (
            ("memory_bytes", 32 << 20),
            ("file_bytes", 0),
            ("message_bytes", 1 << 10),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"limits {name}={getattr(self, name)} is below {least}; raise it")
