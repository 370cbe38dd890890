"""Which claim two evaluations are held against, and what is expected of two models before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import check_bounds

_ROUNDING = 1e-9


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


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What is expected of two models, and the claim about them."""

    margin: Annotated[float, Gt(0), Le(2)] = CompareConfig.margin
    """Share of the original's pass rate that is claimed to be kept."""
    pass_rate: Annotated[float, Gt(0), Le(1)] = 0.8
    """The original's expected pass rate."""
    discordance: float = 0.05
    """Share of problems that exactly one of the two models is expected to solve."""
    true_retention: Annotated[float, Gt(0), Le(2)] = 1.0
    """Share of the original's pass rate that the candidate is expected to keep in truth; above the
    margin.
    """
    alpha: Annotated[float, Gt(0), Lt(0.5)] = CompareConfig.alpha
    """Chance of calling the claim shown where it is just not true."""
    design_effect: Annotated[float, Ge(1)] = 1.0
    """Variance with clusters over that without; 1 if problems are independent."""

    def __post_init__(self) -> None:
        """Refuse what cannot be: values outside their range, or more loss than disagreement."""
        check_bounds(self)
        lost, won = self.losses
        if (
            min(lost, won) < -_ROUNDING
            or lost > self.pass_rate + _ROUNDING
            or self.pass_rate + won > 1 + _ROUNDING
        ):
            least, most = possible_discordance(self.pass_rate, self.true_retention)
            raise ConfigError(
                f"discordance {self.discordance:g} cannot be at a pass rate of {self.pass_rate:g} "
                f"and a true retention of {self.true_retention:g}; give one from {least:.4g} to "
                f"{most:.4g}"
            )

    @property
    def losses(self) -> tuple[float, float]:
        """Shares of problems that only the original, and only the candidate, solves."""
        shift = self.pass_rate * (1 - self.true_retention)
        return (self.discordance + shift) / 2, (self.discordance - shift) / 2

    @property
    def solved(self) -> float:
        """Share of problems that at least one model solves."""
        return min(1.0, self.pass_rate + max(0.0, self.losses[1]))


@dataclass(frozen=True, kw_only=True)
class PowerConfig(Assumptions):
    """What is expected of the models, and with which chance the claim should be shown."""

    power: Annotated[float, Gt(0), Lt(1)] = CompareConfig.power
    """Chance with which the claim is to be shown if the models are what is assumed."""
    num_problems: Annotated[int, Ge(0)] = 0
    """Number of problems to judge; 0 for the usual sizes of suites."""


def possible_discordance(pass_rate: float, true_retention: float) -> tuple[float, float]:
    """The least and the largest share of problems on which two such models can disagree."""
    shift = pass_rate * (1 - true_retention)
    return abs(shift), min(2 * pass_rate - shift, 2 * (1 - pass_rate) + shift)
