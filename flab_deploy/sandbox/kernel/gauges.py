"""What a running child has used, read from outside while it runs."""

from __future__ import annotations

import os
import time


def cpu_s(pid: int) -> float:
    """Processor time of a process in seconds; 0 if it is gone. The clock id is that of
    clock_getcpuclockid(3).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def waited_s(pid: int) -> float:
    """Longest time in seconds that a thread of the process was ready to run and had no processor.

    Second figure of /proc/PID/task/TID/schedstat (the kernel's
    Documentation/scheduler/sched-stats); 0 where the kernel does not say.
    """
    waited_ns = [0]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as figures:
                waited_ns.append(int(figures.read().split()[1]))
    except (OSError, ValueError, IndexError):
        pass
    return max(waited_ns) / 1e9


def written_bytes(pid: int) -> int:
    """Bytes that a process handed to the kernel to write, to files and elsewhere; 0 where the
    kernel does not say.
    """
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as figures:
            return next(int(line.split()[1]) for line in figures if line.startswith("wchar:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def oom_kills(events: str) -> int:
    """Processes of a control group that the kernel has ended for lack of memory, from the file that
    counts them.

    That is `memory.events`, or `memory.oom_control` in a group of the older kind; 0 where the
    kernel does not say.
    """
    try:
        with open(events, encoding="ascii") as counts:
            return next(int(line.split()[1]) for line in counts if line.startswith("oom_kill "))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def left_in(folder: str) -> tuple[int, int]:
    """Number and total bytes of the files in a directory."""
    sizes = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                sizes.append(entry.stat(follow_symlinks=False).st_size)
            except OSError:
                continue
    return len(sizes), sum(sizes)
