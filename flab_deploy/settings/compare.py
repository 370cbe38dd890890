"""Which claim two evaluations are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le, Lt

from flab_deploy.settings.bounds import check_bounds


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Which claim is tested."""

    margin: Annotated[float, Gt(0), Le(2)] = 0.97
    """Share of the original's pass rate that the candidate is claimed to keep."""
    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05
    """Chance of calling the claim shown where it is just not true."""
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.95
    """Confidence of the intervals."""
    power: Annotated[float, Gt(0), Lt(1)] = 0.8
    """Chance with which the problems needed would show the claim for an equal model."""

    def __post_init__(self) -> None:
        """Refuse what is not a share."""
        check_bounds(self)
