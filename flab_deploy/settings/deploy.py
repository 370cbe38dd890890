"""When and where the scheduled pipeline runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DeployConfig:
    """What to change in `prefect.yaml`; what is left out stays as it is there."""

    cron: str | None = None
    """When to run, in cron's five fields."""
    timezone: str | None = None
    """Name of the time zone that `cron` is meant in, such as Europe/Berlin."""
    work_pool: str | None = None
    """Work pool whose workers run it; made, for local processes, if it is not there."""
