"""Figures and verdict of texts that two models have read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from flab_deploy.evaluation.statistics import TotalsRatio, below_p, cluster_index, detectable_excess
from flab_deploy.evaluation.statistics.clusters import Floats, num_clusters
from flab_deploy.records.compare import ClaimVerdict
from flab_deploy.records.evaluate import Interval
from flab_deploy.records.likelihood import BitsFigures, TextLine, TokenAgreement
from flab_deploy.settings.compare import CompareConfig
from flab_deploy.settings.likelihood import LikelihoodConfig

_POWER = CompareConfig.power
_NOTHING_SHARED = "the tokens of the two models do not add up to the same text"


def bits_figures(
    lines: Sequence[TextLine], config: LikelihoodConfig, unrelated: str | None
) -> BitsFigures:
    """Both models on one set of texts; `unrelated` is why their tokens cannot be compared, or None
    if they can.
    """
    before = _column(t.original_bits for t in lines)
    after = _column(t.candidate_bits for t in lines)
    num_bytes = _column(t.num_bytes for t in lines)
    cluster = cluster_index([t.cluster for t in lines])
    gap = TotalsRatio.of(after - before, num_bytes, cluster)
    ratio = TotalsRatio.of(after, before, cluster)
    interval = ratio.interval(config.confidence)
    p_value = below_p(after, before, cluster, 1 + config.max_loss)
    detectable = detectable_excess(after, before, cluster, 1 - config.confidence, _POWER)
    agreement = None if unrelated else _agreement(lines, config.confidence)
    return BitsFigures(
        num_texts=len(lines),
        num_clusters=num_clusters(cluster),
        num_cut=sum(t.cut for t in lines),
        num_bytes=int(num_bytes.sum()),
        original_bits_per_byte=float(before.sum() / num_bytes.sum()),
        candidate_bits_per_byte=float(after.sum() / num_bytes.sum()),
        difference=gap.value,
        difference_interval=gap.interval(config.confidence),
        ratio=ratio.value,
        ratio_interval=interval,
        non_inferiority_p=p_value,
        verdict=_verdict(p_value, interval, detectable, config),
        detectable_loss=detectable,
        num_texts_needed=None
        if detectable is None
        else math.ceil(len(lines) * (detectable / config.max_loss) ** 2),
        agreement=agreement,
        agreement_reason=None if agreement else unrelated or _NOTHING_SHARED,
    )


def verdict_on_all(figures: Iterable[BitsFigures]) -> ClaimVerdict:
    """The claim on every set at once: shown if it is shown on each, and if it is not shown on one,
    not shown.

    Each may be tested at the full level, since all must be passed (Berger, 1982).
    """
    found = {one.verdict for one in figures}
    if found == {"shown"}:
        return "shown"
    return "not shown" if "not shown" in found else "underpowered"


def _column(values: Iterable[float]) -> Floats:
    return np.fromiter(values, dtype=np.float64)


def _verdict(
    p_value: float, interval: Interval | None, detectable: float | None, config: LikelihoodConfig
) -> ClaimVerdict:
    """`underpowered` if not even an equal model would likely have shown it, and the data does not
    rule it out.
    """
    if p_value <= 1 - config.confidence:
        return "shown"
    small = detectable is None or detectable > config.max_loss
    ruled_out = interval is not None and interval[0] > 1 + config.max_loss
    return "underpowered" if small and not ruled_out else "not shown"


def _agreement(lines: Sequence[TextLine], confidence: float) -> TokenAgreement | None:
    """How close the predictions are where both models have read the same text; None if that is
    nowhere.
    """
    compared = [t for t in lines if t.num_compared]
    if not compared:
        return None
    tokens = _column(t.num_compared for t in compared)
    cluster = cluster_index([t.cluster for t in compared])
    top = TotalsRatio.of(_column(t.num_top_1_equal for t in compared), tokens, cluster)
    kl = TotalsRatio.of(_column(t.kl_nats for t in compared), tokens, cluster)
    dropped = sum(t.dropped_probability for t in compared)
    return TokenAgreement(
        num_tokens=int(tokens.sum()),
        token_share=float(tokens.sum() / sum(t.num_original_tokens for t in lines)),
        top_1=top.value,
        top_1_interval=_within(top.interval(confidence), 1.0),
        kl_nats=kl.value,
        kl_nats_interval=_within(kl.interval(confidence), math.inf),
        dropped_probability=float(dropped / tokens.sum()),
    )


def _within(bounds: Interval | None, most: float) -> Interval | None:
    return bounds and (max(0.0, bounds[0]), min(most, bounds[1]))
