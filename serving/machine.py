"""The machine a measurement was taken on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from flab_deploy.records.bench import MachineRecord


def describe_machine() -> MachineRecord:
    """Processor, cores, memory, system and how busy it is now."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:
        usable = os.cpu_count() or 1
    return MachineRecord(
        processor=_processor(),
        cores=psutil.cpu_count(logical=True),
        usable_cores=usable,
        memory_bytes=psutil.virtual_memory().total,
        system=platform.platform(),
        python=platform.python_version(),
        load_average_1min=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
