"""The ratio of two totals over clustered texts: bits over bytes, or one model's bits over the
other's.

The estimate is linearised, so that its error is that of a mean of clustered values (`spread`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from flab_deploy.evaluation.statistics.clusters import Floats, Ints, spread
from flab_deploy.evaluation.statistics.rates import Interval

_HALVINGS = 30


@dataclass(frozen=True, kw_only=True)
class TotalsRatio:
    """The ratio of two totals and how uncertain it is."""

    value: float
    error: float
    """Standard error; 0 where all texts have this ratio, infinite for a single cluster."""
    degrees: float
    """Degrees of freedom of the error."""

    @classmethod
    def of(cls, numerator: Floats, denominator: Floats, cluster: Ints) -> TotalsRatio:
        """The ratio of the sums of `numerator` and `denominator`, (P,) each; the latter is above
        0.
        """
        value = float(numerator.sum() / denominator.sum())
        found = spread((numerator - value * denominator) / denominator.mean(), cluster)
        return cls(value=value, error=found.error, degrees=found.degrees)

    def interval(self, confidence: float) -> Interval | None:
        """Student's interval; None for a single cluster, which says nothing of the spread."""
        if math.isinf(self.error):
            return None
        half = float(stats.t.isf(0.5 - confidence / 2, self.degrees)) * self.error
        return self.value - half, self.value + half


def below_p(numerator: Floats, denominator: Floats, cluster: Ints, limit: float) -> float:
    """One-sided p-value against the claim that the ratio of the totals is below `limit`."""
    contrast = numerator - limit * denominator
    found = spread(contrast, cluster)
    mean = float(contrast.mean())
    if found.error == 0:
        return 0.0 if mean < 0 else 1.0
    return float(stats.t.cdf(mean / found.error, found.degrees))


def detectable_excess(
    numerator: Floats, denominator: Floats, cluster: Ints, alpha: float, power: float
) -> float | None:
    """The least excess over 1 that `below_p` would rule out at `alpha` with chance `power`, were
    the ratio of the totals 1 and its spread as it is here; None if it would not even rule out 1.

    An excess is ruled out more easily the larger it is, so that it is found by halving.
    """
    level = numerator * (denominator.sum() / numerator.sum())
    low, high = 0.0, 1.0
    if not _rules_out(level, denominator, cluster, high, alpha, power):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _rules_out(level, denominator, cluster, middle, alpha, power):
            high = middle
        else:
            low = middle
    return high if low > 0 else 0.0


def _rules_out(
    level: Floats, denominator: Floats, cluster: Ints, excess: float, alpha: float, power: float
) -> bool:
    """Whether so large an excess is ruled out with chance `power`, for totals that are equal."""
    found = spread(level - (1 + excess) * denominator, cluster)
    quantiles = stats.t.isf(alpha, found.degrees) + stats.t.ppf(power, found.degrees)
    return bool(excess * denominator.mean() >= quantiles * found.error)
