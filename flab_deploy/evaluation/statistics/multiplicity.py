"""Several tests at once: p-values adjusted so that they can be held against the usual level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (1979), in the given order.

    Calling those below alpha true is wrong about *any* of them with chance at most alpha.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    steps = np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0)
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values (1995), in the given order.

    Of those below alpha, at most the share alpha is wrong on average.
    """
    if not len(p_values):
        return []
    return [
        float(value) for value in stats.false_discovery_control(np.asarray(p_values), method="bh")
    ]
