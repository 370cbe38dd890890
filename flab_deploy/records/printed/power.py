"""What `flab power` says: how many problems a claim of retention needs."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.document import record


@record
class SuitePower:
    """What a number of problems can show."""

    num_problems: int
    power: float
    """Chance that the claim is shown."""
    strictest_margin: float | None
    """Largest share that is likely shown to be kept; None if it is below a half."""


@record
class PowerRecord:
    """What was assumed of the models, and the problems that the claim then needs."""

    schema_version: Literal[1]
    margin: float
    """Share of the original's pass rate that the candidate is claimed to keep."""
    pass_rate: float
    """Share of the problems that the original solves."""
    discordance: float
    """Share of the problems that only one of the models solves."""
    true_retention: float
    """Share that the candidate truly keeps."""
    alpha: float
    """Chance of calling the claim shown where it is just not true."""
    design_effect: float
    """Variance with clusters over that without."""
    power: float
    """Chance with which the claim is to be shown."""
    num_problems_needed: int | None
    """None if no number of problems shows it."""
    sizes: tuple[SuitePower, ...]
    """Sizes of suites to choose from."""
