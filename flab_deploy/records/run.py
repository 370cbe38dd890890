"""What a run and its stages say of themselves: `run.json` and every stage's `manifest.json`."""

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


@record
class ManifestRecord:
    """Where an artifact came from, and what was found while it was made."""

    kind: str
    digest: str
    """SHA-256 over its files, this one and the measurements aside."""
    key: str
    """SHA-256 over all that the result depends on; an artifact with the same key is kept."""
    parents: dict[str, str]
    """Digest of what it was made from, by role."""
    config: dict[str, JsonValue]
    """Settings of the stage."""
    versions: dict[str, str]
    """By package."""
    figures: dict[str, JsonValue]
    """What the stage shows when it ends."""
    measurements: tuple[str, ...]
    """Files that differ between two runs and so stay outside the digest."""
    seconds: float
