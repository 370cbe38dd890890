"""Splitting a budget over vocabulary, layers, FFN width and heads by measured divergence.

1. Curves: the divergence of cutting one axis alone, measured at a few sizes and interpolated.
2. Depth by depth, from the deepest model that meets the budget down: the sizes with the least sum
   of curves are measured. After three depths the search ends with one whose dropped layers alone
   cost more than the best cut found so far, or after two in a row without a better one.
3. The cut with the least measured divergence is chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

from flab_deploy.importance.divergence import rounded
from flab_deploy.pruning.planning.budget import Cost, Room, Sizes, fitting
from flab_deploy.pruning.planning.trial import Trials
from flab_deploy.records.plan import CurveRecord, CurvesRecord

logger = logging.getLogger(__name__)
_POINTS = 3
# With heads or experts to trade for width, the sum of curves is a weaker guide.
_TRIED_PER_DEPTH, _TRIED_WITH_PARTS = 1, 2
_PATIENCE = 2
# So many depths are measured in any case, so that a reader sees what else there was.
_FEWEST_DEPTHS = 3


@dataclass(frozen=True, kw_only=True)
class MeasuredSizes:
    """A cut and what it costs."""

    sizes: Sizes
    structure_kl: float
    """Nats per token from layers, channels, heads and experts, measured."""
    vocabulary_kl: float
    """Nats per token from dropped tokens, measured at a few vocabulary sizes and interpolated
    between them.
    """

    @property
    def kl_nats(self) -> float:
        """Divergence from the original in nats per token."""
        return rounded(self.structure_kl + self.vocabulary_kl)


def kl_at(curve: CurveRecord, size: int) -> float:
    """Divergence of cutting one axis alone to `size`, linear between the measured points."""
    if size <= curve.sizes[0]:
        return curve.kl_nats[0]
    for low, high, kl_low, kl_high in zip(
        curve.sizes, curve.sizes[1:], curve.kl_nats, curve.kl_nats[1:], strict=False
    ):
        if size <= high:
            return kl_high + (kl_low - kl_high) * (high - size) / (high - low)
    return 0.0


def predicted_kl(curves: CurvesRecord, sizes: Sizes, depth_kl: float) -> float:
    """Divergence of a cut if its parts simply added up."""
    parts = kl_at(curves.width, sizes.width) + kl_at(curves.key_value_heads, sizes.key_value_heads)
    return (
        depth_kl
        + parts
        + kl_at(curves.experts, sizes.experts)
        + kl_at(curves.vocabulary, sizes.vocab_size)
    )


def measure_curves(
    room: Room, trials: Trials, tokens: Callable[[int], Sequence[int]]
) -> CurvesRecord:
    """The curves of all axes; `tokens` gives the ids that a vocabulary of some size keeps."""
    shape = room.original
    whole = Sizes(
        num_layers=shape.num_hidden_layers,
        key_value_heads=shape.num_key_value_heads,
        experts=shape.num_experts,
        width=shape.intermediate_size,
        vocab_size=shape.vocab_size,
    )

    def alone(name: str, allowed: Sequence[int], uncut: int) -> CurveRecord:
        points = _spread(allowed, uncut)
        return _falling(
            points, [trials.structure_kl(replace(whole, **{name: size})) for size in points], uncut
        )

    rows = _spread(room.vocab_sizes, shape.vocab_size)
    return CurvesRecord(
        width=alone("width", room.widths, shape.intermediate_size),
        key_value_heads=alone("key_value_heads", room.key_value_heads, shape.num_key_value_heads),
        experts=alone("experts", room.experts, shape.num_experts),
        vocabulary=_falling(
            rows, trials.vocabulary_kl([tokens(size) for size in rows]), shape.vocab_size
        ),
    )


def _spread(allowed: Sequence[int], uncut: int) -> list[int]:
    """A few of the allowed sizes below the uncut one, evenly spread, increasing, the smallest
    included.
    """
    below = [
        allowed[at] for at in sorted({len(allowed) * part // _POINTS for part in range(_POINTS)})
    ]
    return sorted({size for size in (*below, allowed[-1]) if size < uncut})


def _falling(sizes: Sequence[int], kl_nats: Sequence[float], uncut: int) -> CurveRecord:
    """A curve through measured points; a point below one of a larger size is raised to it."""
    values: list[float] = []
    for value in reversed(kl_nats):
        values.append(max(value, values[-1] if values else 0.0))
    return CurveRecord(sizes=(*sizes, uncut), kl_nats=(*reversed(values), 0.0))


def least_divergent(
    room: Room, trials: Trials, curves: CurvesRecord, cost: Cost, limit: float, most: int
) -> list[MeasuredSizes]:
    """Cuts that meet the budget, measured, the chosen one first; at most `most` of them are
    measured.
    """
    found: list[MeasuredSizes] = []
    mixed = len(room.key_value_heads) > 1 or len(room.experts) > 1
    tried = _TRIED_WITH_PARTS if mixed else _TRIED_PER_DEPTH
    best, waited, depths = inf, 0, 0
    for num_layers in room.layers:
        options = list(fitting(room, cost, limit, num_layers))
        alone = trials.depth_kl(num_layers) if options else 0.0
        if not options:
            continue
        settled = depths >= _FEWEST_DEPTHS and (alone >= best or waited >= _PATIENCE)
        if settled or len(found) >= most:
            break
        depths += 1
        ranked = sorted((rounded(predicted_kl(curves, sizes, alone)), sizes) for sizes in options)
        fresh = [
            _measured(sizes, trials, curves) for _, sizes in ranked[: min(tried, most - len(found))]
        ]
        least = min(cut.kl_nats for cut in fresh)
        best, waited = (least, 0) if least < best else (best, waited + 1)
        found += fresh
        logger.info("plan: %d layers, divergence %.3g, best so far %.3g", num_layers, least, best)
    return sorted(found, key=lambda cut: cut.kl_nats)


def _measured(sizes: Sizes, trials: Trials, curves: CurvesRecord) -> MeasuredSizes:
    return MeasuredSizes(
        sizes=sizes,
        structure_kl=trials.structure_kl(sizes),
        vocabulary_kl=kl_at(curves.vocabulary, sizes.vocab_size),
    )
