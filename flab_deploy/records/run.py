"""What was asked of a run, and where it ran: `run.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from flab_deploy.records.document import record

RUN_FILE = "run.json"


@record
class RunMachine:
    """Facts about the machine that do not change between two runs on it."""

    system: str
    python: str
    num_cpus: int
    memory_bytes: int


@record
class RunRecord:
    """The command of a run, what it resolved to, and the machine."""

    schema_version: Literal[1]
    command: tuple[str, ...]
    config: dict[str, JsonValue]
    """The settings of the run, by name."""
    changed: dict[str, JsonValue]
    """Those that differ from the defaults, by their dotted name."""
    machine: RunMachine
