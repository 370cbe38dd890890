"""What a plan is asked for: a budget, what it may be spent on, and what must stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Lt

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import check_bounds
from flab_deploy.settings.shared.device import DeviceConfig

Metric: TypeAlias = Literal["parameters", "bytes", "flops", "kv_bytes", "latency"]
UNITS: dict[Metric, str] = {
    "parameters": "parameters",
    "bytes": "bytes of weights",
    "flops": "FLOPs per token",
    "kv_bytes": "bytes of KV cache per token",
    "latency": "ms per token",
}
"""What a budget of each metric counts."""
DEFAULT_REDUCTION = 0.22
LayerIndex: TypeAlias = Annotated[int, Ge(0)]
"""Layers are numbered from 0."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig(DeviceConfig):
    """The budget and what it may be spent on."""

    metric: Metric = "parameters"
    """What the budget counts: `parameters`, `bytes` of the weights, `flops` and `kv_bytes` per
    token, or `latency`: milliseconds per decoded token, measured on this machine.
    """
    reduction: Annotated[float, Gt(0), Lt(1)] | None = None
    """Share of the metric to remove; the plan removes at least this much. 0.22 unless
    `at_most` is given.
    """
    at_most: Annotated[float, Gt(0)] | None = None
    """What may stay of the metric, in its own unit, in place of `reduction`."""
    paper: bool = False
    """Flab-Pruner's own sizes in place of a budget: 17,176 tokens, 4 layers less, 256 FFN channels
    less.
    """
    min_layers_dropped: Annotated[int, Ge(0)] = 0
    """Layers dropped at least."""
    max_layers_dropped: Annotated[int, Ge(0)] | None = None
    """Layers dropped at most; as many as pay, if left out."""
    min_channels_dropped: Annotated[int, Ge(0)] = 0
    """FFN channels dropped per layer at least."""
    min_layers_kept: Annotated[int, Ge(1)] = 1
    """Floor of the depth."""
    min_channels_kept: Annotated[int, Ge(1)] = 1
    """Floor of the FFN width."""
    min_tokens_kept: Annotated[int, Ge(1)] = 1
    """Floor of the vocabulary; what the corpus needs stays in any case."""
    min_key_value_heads_kept: Annotated[int, Ge(1)] = 1
    """Floor of the key-value heads of a layer."""
    cut_heads: bool = True
    """Whether attention heads may go, a key-value head with the query heads that read it."""
    compensate: bool = False
    """Whether layers behind a dropped one write that much less into the residual stream, whose
    length then fits again (Prune&Comp). On the reference model it lost more than it saved in five
    of six cuts.
    """
    protect_layers: tuple[LayerIndex, ...] = ()
    """Layers that stay."""
    keep_layers: tuple[LayerIndex, ...] = ()
    """Exactly these layers stay."""
    drop_layers: tuple[LayerIndex, ...] = ()
    """Exactly these layers go."""
    keep_tokens: str | None = None
    """File of token ids, separated by white space or commas, that stay whether or not the corpus
    has them.
    """
    least_token_count: Annotated[int, Ge(1)] = 1
    """Tokens that the corpus has less often may go, too; 1 keeps every token seen."""
    token_coverage: Annotated[float, Gt(0), Le(1)] = 1.0
    """Of the tokens seen, the commonest that make up this share of the corpus stay; the others may
    go, too.
    """
    channel_multiple: Annotated[int, Ge(1)] = 32
    """FFN width stays a multiple of this: bfloat16 matrix units work on blocks of 32."""
    vocab_multiple: Annotated[int, Ge(1)] = 1
    """Rows of the vocabulary matrices become a multiple of this."""
    tensor_parallel: Annotated[int, Ge(1)] = 1
    """Heads, FFN width and vocabulary can be shared evenly by this many devices."""
    context_tokens: Annotated[int, Ge(1)] = 2048
    """Context at which FLOPs, latency and serving memory are counted."""
    batch_size: Annotated[int, Ge(1)] = 8
    """Sequences that serving memory is counted for."""
    max_measurements: Annotated[int, Ge(1)] = 24
    """Candidate cuts whose divergence is measured, at most; the layer search is not counted."""
    latency_model: str | None = None
    """The `latency.json` of an earlier plan, in place of a new measurement; makes a latency plan
    repeatable.
    """

    def __post_init__(self) -> None:
        """Refuse budgets that make no sense and flags that contradict each other."""
        check_bounds(self)
        self._check_budget()
        if (
            self.max_layers_dropped is not None
            and not self.min_layers_dropped <= self.max_layers_dropped
        ):
            raise ConfigError(
                f"layers to drop are {self.min_layers_dropped} to {self.max_layers_dropped}; "
                "give 0 <= min <= max"
            )
        self._check_layers_by_hand()

    @property
    def share(self) -> float:
        """Share of the metric to remove."""
        return DEFAULT_REDUCTION if self.reduction is None else self.reduction

    def _check_budget(self) -> None:
        if self.reduction is not None and self.at_most is not None:
            raise ConfigError(
                f"reduction {self.reduction} and at_most {self.at_most} both set a budget; give one"
            )
        if self.latency_model is not None and self.metric != "latency":
            raise ConfigError(
                f"latency_model is for metric latency, not {self.metric}; leave it out"
            )
        asked = [
            name
            for name in ("reduction", "at_most", "max_layers_dropped")
            if getattr(self, name) is not None
        ]
        asked += [name for name in ("keep_layers", "drop_layers") if getattr(self, name)]
        if self.paper and asked:
            raise ConfigError(
                f"paper sets all sizes, {asked[0]} contradicts it; give one of the two"
            )

    def _check_layers_by_hand(self) -> None:
        if self.keep_layers and self.drop_layers:
            raise ConfigError(
                "keep_layers and drop_layers both say which layers stay; give one of the two"
            )
        gone = sorted(set(self.drop_layers) & set(self.protect_layers))
        if gone:
            raise ConfigError(
                f"layer {gone[0]} is both protected and dropped; take it out of one list"
            )
        lost = sorted(set(self.protect_layers) - set(self.keep_layers)) if self.keep_layers else []
        if lost:
            raise ConfigError(
                f"layer {lost[0]} is protected but not among keep_layers; add it or unprotect it"
            )
        for name in ("protect_layers", "keep_layers", "drop_layers"):
            _check_distinct(name, getattr(self, name))


def _check_distinct(name: str, values: Sequence[int]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{name} has {value} twice; name each layer once")
