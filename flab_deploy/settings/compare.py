"""Which claim two evaluations are held against."""

from __future__ import annotations

from dataclasses import dataclass

from flab_deploy.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Which claim is tested."""

    margin: float = 0.97
    """Share of the original's pass rate that the candidate is claimed to keep; above 0."""
    alpha: float = 0.05
    """Chance of calling the claim shown where it is just not true."""
    confidence: float = 0.95
    """Confidence of the intervals."""
    power: float = 0.8
    """Chance with which the problems needed would show the claim for an equal model."""

    def __post_init__(self) -> None:
        """Refuse what is not a share."""
        shares = (self.alpha, self.confidence, self.power)
        if not (
            0 < self.margin <= 2 and all(0 < share < 1 for share in shares) and self.alpha < 0.5
        ):
            raise ConfigError(
                "margin, alpha, confidence and power must be shares above 0, with alpha below "
                f"0.5, got {self.margin:g}, {self.alpha:g}, {self.confidence:g} and {self.power:g}"
            )
