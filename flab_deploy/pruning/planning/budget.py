"""Which sizes a cut may have, and the widest ones that meet a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import lcm
from typing import TypeAlias

from flab_deploy.decoder import ARCHITECTURES, ModelShape
from flab_deploy.errors import PlanError
from flab_deploy.settings.plan import UNITS, PlanConfig

Cost: TypeAlias = Callable[[ModelShape], float]
_MOST_WIDTHS = 12


@dataclass(frozen=True, kw_only=True, order=True)
class Sizes:
    """How much of a model stays."""

    num_layers: int
    key_value_heads: int
    experts: int
    width: int
    vocab_size: int


@dataclass(frozen=True, kw_only=True)
class Room:
    """The sizes that a cut of one model may have; every list falls from the largest allowed
    size.
    """

    original: ModelShape
    layer_parameters: int
    """Parameters of one whole layer."""
    layers: tuple[int, ...]
    key_value_heads: tuple[int, ...]
    experts: tuple[int, ...]
    widths: tuple[int, ...]
    vocab_sizes: Sequence[int]
    vocab_multiple: int
    """What a cut vocabulary is padded to."""

    def shape(self, sizes: Sizes) -> ModelShape:
        """What the model becomes."""
        return self.original.resized(
            vocab_size=sizes.vocab_size,
            num_hidden_layers=sizes.num_layers,
            intermediate_size=sizes.width,
            num_key_value_heads=sizes.key_value_heads,
            num_experts=sizes.experts,
            layer_parameters=self.layer_parameters,
        )

    @property
    def smallest(self) -> Sizes:
        """The deepest cut of all."""
        return Sizes(
            num_layers=self.layers[-1],
            key_value_heads=self.key_value_heads[-1],
            experts=self.experts[-1],
            width=self.widths[-1],
            vocab_size=self.vocab_sizes[-1],
        )

    @property
    def largest(self) -> Sizes:
        """The least cut."""
        return Sizes(
            num_layers=self.layers[0],
            key_value_heads=self.key_value_heads[0],
            experts=self.experts[0],
            width=self.widths[0],
            vocab_size=self.vocab_sizes[0],
        )


def room_for(
    shape: ModelShape,
    layer_parameters: int,
    config: PlanConfig,
    *,
    needed_tokens: int,
    cuts_heads: bool,
    cuts_experts: bool,
) -> Room:
    """The sizes that floors, protected layers and rounding leave.

    Raises PlanError if they leave nothing, or if the model itself does not divide by
    `tensor_parallel`.
    """
    return Room(
        original=shape,
        layer_parameters=layer_parameters,
        layers=_layers(shape, config),
        key_value_heads=_key_value_heads(shape, config, cuts_heads=cuts_heads),
        experts=_experts(shape) if cuts_experts else (shape.num_experts,),
        widths=_widths(shape, config),
        vocab_sizes=_vocab_sizes(shape, config, needed_tokens),
        vocab_multiple=lcm(config.vocab_multiple, config.tensor_parallel),
    )


def _layers(shape: ModelShape, config: PlanConfig) -> tuple[int, ...]:
    total = shape.num_hidden_layers
    named = [*config.protect_layers, *config.keep_layers, *config.drop_layers]
    if named and max(named) >= total:
        raise PlanError(
            f"layer {max(named)} is named, but the model has {total} layers, numbered from 0"
        )
    floor = max(config.min_layers_kept, len(config.protect_layers), 1)
    fewest = max(
        floor, 1 if config.max_layers_dropped is None else total - config.max_layers_dropped
    )
    most = total - config.min_layers_dropped
    if fewest > most:
        raise PlanError(
            f"{fewest} of {total} layers must stay (floors and protected layers), but "
            f"{config.min_layers_dropped} must go; lower min_layers_dropped or protect fewer"
        )
    if not (config.keep_layers or config.drop_layers):
        return tuple(range(most, fewest - 1, -1))
    kept = len(config.keep_layers) or total - len(config.drop_layers)
    if not fewest <= kept <= most:
        raise PlanError(
            f"the layers named by hand leave {kept}, the bounds {fewest} to {most}; change "
            "one of them"
        )
    return (kept,)


def _widths(shape: ModelShape, config: PlanConfig) -> tuple[int, ...]:
    whole = shape.intermediate_size
    multiple = lcm(config.channel_multiple, config.tensor_parallel)
    if whole == 0:
        return (0,)
    _check_divisible(whole, config.tensor_parallel, "FFN channels")
    most = whole - config.min_channels_dropped
    found = range(most // multiple * multiple, config.min_channels_kept - 1, -multiple)
    kept = tuple(width for width in found if width > 0)
    if config.min_channels_dropped == 0 and whole not in kept:
        kept = (whole, *kept)
    if not kept:
        raise PlanError(
            f"no FFN width from {config.min_channels_kept} to {most} is a multiple of {multiple}; "
            "lower the floor or channel_multiple"
        )
    return kept


def _key_value_heads(shape: ModelShape, config: PlanConfig, *, cuts_heads: bool) -> tuple[int, ...]:
    whole, devices = shape.num_key_value_heads, config.tensor_parallel
    queries_each = shape.num_attention_heads // whole
    divide = ARCHITECTURES[shape.model_type].heads_divide_hidden_size
    fits = [
        heads
        for heads in range(whole, 0, -1)
        # Engines copy key-value heads to several devices if there are fewer heads than devices.
        if heads * queries_each % devices == 0
        and (heads % devices == 0 or devices % heads == 0)
        and (heads == whole or not divide or shape.hidden_size % (heads * queries_each) == 0)
    ]
    if whole not in fits:
        raise PlanError(
            f"{shape.num_attention_heads} heads in {whole} key-value groups cannot be shared by "
            f"{devices} devices; lower tensor_parallel"
        )
    if whole < config.min_key_value_heads_kept:
        raise PlanError(
            f"min_key_value_heads_kept is {config.min_key_value_heads_kept}, but the model "
            f"has {whole}"
        )
    may_go = cuts_heads and shape.parameters_per_key_value_head > 0
    return tuple(h for h in fits if h >= config.min_key_value_heads_kept) if may_go else (whole,)


def _experts(shape: ModelShape) -> tuple[int, ...]:
    """Every eighth of the experts, no fewer than a token runs through."""
    whole = shape.num_experts
    step = max(1, whole // 8)
    return tuple(range(whole, max(shape.num_experts_per_tok, 1) - 1, -step)) or (whole,)


def _vocab_sizes(shape: ModelShape, config: PlanConfig, needed: int) -> Sequence[int]:
    """Row counts; the original's own is allowed whatever its divisibility, so that rounding never
    adds rows.
    """
    whole = shape.vocab_size
    multiple = lcm(config.vocab_multiple, config.tensor_parallel)
    least = max(needed, config.min_tokens_kept)
    if least > whole:
        raise PlanError(
            f"{least:,} tokens must stay, but the model has {whole:,}; lower min_tokens_kept"
        )
    smallest = -(-least // multiple) * multiple
    if smallest > whole:
        return (whole,)
    steps = range(whole // multiple * multiple, smallest - 1, -multiple)
    return steps if steps[0] == whole else (whole, *steps)


def _check_divisible(size: int, devices: int, what: str) -> None:
    if size % devices:
        raise PlanError(
            f"{size} {what} cannot be shared by {devices} devices; lower tensor_parallel"
        )


def limit_of(room: Room, cost: Cost, config: PlanConfig) -> float:
    """What may stay of the metric. Raises PlanError, saying the most that is possible, if no cut
    gets there.
    """
    before, least = cost(room.original), cost(room.shape(room.smallest))
    unit = UNITS[config.metric]
    limit = config.at_most if config.at_most is not None else before * (1 - config.share)
    if limit >= before:
        raise PlanError(
            f"the model takes {before:,.6g} {unit} already, at most {limit:,.6g} were asked "
            "for; lower at_most"
        )
    if limit < least:
        most = 1 - least / before
        asked = f"{config.share:.0%}" if config.at_most is None else f"all but {limit:,.6g}"
        smallest = room.smallest
        raise PlanError(
            f"no cut removes {asked} of {before:,.6g} {unit}: with {smallest.num_layers} layers, "
            f"{smallest.width} channels, {smallest.key_value_heads} key-value heads and "
            f"{smallest.vocab_size:,} tokens kept, {most:.1%} is the most; "
            f"{'lower the reduction' if config.at_most is None else 'raise at_most'}"
        )
    return limit


def fitting(room: Room, cost: Cost, limit: float, num_layers: int) -> Iterator[Sizes]:
    """For every width and number of heads and experts at one depth, the sizes with the largest
    vocabulary that fits.

    Of the widths, from the widest with which anything fits to the first with which the whole
    vocabulary does (narrower ones only lose more), an even selection.
    """
    for heads, experts in product(room.key_value_heads, room.experts):
        least = replace(
            room.smallest, num_layers=num_layers, key_value_heads=heads, experts=experts
        )
        yield from _fitting_widths(room, lambda sizes: cost(room.shape(sizes)) <= limit, least)


def _fitting_widths(room: Room, fits: Callable[[Sizes], bool], least: Sizes) -> Iterator[Sizes]:
    widths, vocab_sizes = room.widths, room.vocab_sizes
    whole = replace(least, vocab_size=vocab_sizes[0])
    widest = _first(len(widths), lambda at: fits(replace(least, width=widths[at])))
    last = _first(len(widths), lambda at: fits(replace(whole, width=widths[at])))
    for at in _evenly(widest, min(last, len(widths) - 1)):
        sizes = replace(least, width=widths[at])
        yield replace(
            sizes,
            vocab_size=vocab_sizes[_first(len(vocab_sizes), _with_vocabulary(fits, sizes, room))],
        )


def _with_vocabulary(
    fits: Callable[[Sizes], bool], sizes: Sizes, room: Room
) -> Callable[[int], bool]:
    return lambda at: fits(replace(sizes, vocab_size=room.vocab_sizes[at]))


def _first(count: int, fits: Callable[[int], bool]) -> int:
    """The first of `count` indices that fits, where all after one that fits do too; `count` if none
    does.
    """
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low


def _evenly(first: int, last: int) -> list[int]:
    """At most `_MOST_WIDTHS` indices from `first` to `last`, both included."""
    step = max(1, -(-(last - first) // (_MOST_WIDTHS - 1)))
    return sorted({*range(first, last + 1, step), last}) if first <= last else []
