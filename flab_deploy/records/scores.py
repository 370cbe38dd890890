"""What `score` says of a model's parts, beside the tensors themselves: `scores.json`."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.document import record
from flab_deploy.settings.score import LayerMetric, SearchMethod, UnitMetric

SCORES_FILE = "scores.json"


@record
class TokenCounts:
    """How often tokens occur in the corpus."""

    num_seen: int
    """Entries of the vocabulary that occur at least once."""
    sorted_counts: tuple[int, ...]
    """(V,) occurrences of every entry, the most frequent first."""


@record
class LayerScore:
    """What the model loses without one layer."""

    layer: int
    kl_nats: float
    """Divergence without it, in nats per completion token."""


@record
class DropPath:
    """Layers in the order they are dropped."""

    order: tuple[int, ...]
    """Indices of the layers."""
    scores: tuple[float, ...]
    """Score by which each was chosen."""
    kl_nats: tuple[float, ...]
    """Divergence after each drop, in nats per completion token."""


@record
class LayerSearchRecord:
    """What the search over layers found."""

    metric: LayerMetric
    method: SearchMethod
    first_scores: tuple[float, ...]
    """(L,) score of every layer of the whole model."""
    order: tuple[int, ...]
    """As in `DropPath`, for the best way to drop the most layers that were searched."""
    scores: tuple[float, ...]
    kl_nats: tuple[float, ...]
    by_depth: tuple[DropPath, ...]
    """The best way to drop 1, 2, ... layers."""


@record
class CalibrationRecord:
    """What everything but the tokens was scored on."""

    num_examples: int
    num_tokens: int
    """Completion tokens of those examples."""
    num_contaminated: int
    """Examples passed over because they share words with a held-out task."""
    self_generated: bool
    """Whether the answers are the model's own."""
    digest: str
    """SHA-256 over the examples."""


@record
class ChannelScores:
    """Scores of FFN channels, summed up by layer."""

    num_channels: int
    """Per layer."""
    mean_score_by_layer: tuple[float, ...]
    quantiles: tuple[float, ...]
    """(Q,) shares of the channels."""
    quantiles_by_layer: tuple[tuple[float, ...], ...]
    """(L, Q) scores at those shares."""


@record
class ScoresRecord:
    """Importance of a model's parts, summed up; low = safe to drop."""

    schema_version: Literal[1]
    num_tokens: int
    """Tokens counted in the corpus."""
    token_counts: TokenCounts
    layers: tuple[LayerScore, ...]
    layer_search: LayerSearchRecord
    unit_metric: UnitMetric
    """What FFN channels and heads were scored by."""
    calibration: CalibrationRecord
    channels: ChannelScores | None
    """None for a model whose layers all have experts."""


@record
class ScoresFigures:
    """The figures that `score` shows."""

    num_tokens_seen: int
    least_layer_kl_nats: float
    layers_first_to_drop: tuple[int, ...]
