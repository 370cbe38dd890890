"""What a running child has used, read from outside while it runs."""

from __future__ import annotations

import os
import time


def cpu_s(pid: int) -> float:
    """Processor time of a process in seconds; 0 if it is gone. The clock id is that of clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def waited_s(pid: int) -> float:
    """Seconds that a process's main thread was ready to run and had no processor; 0 where the kernel does not say.

    Second figure of /proc/PID/schedstat (the kernel's Documentation/scheduler/sched-stats).
    """
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as figures:
            return int(figures.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def written_bytes(pid: int) -> int:
    """Bytes that a process handed to the kernel to write, to files and elsewhere; 0 where the kernel does not say."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as figures:
            return next(int(line.split()[1]) for line in figures if line.startswith("wchar:"))
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
