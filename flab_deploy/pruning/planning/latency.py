"""A small model of decoding and prefill time on this machine, measured part by part on random
weights.

Time is a sum: what every token pays, what each layer adds at its FFN width and number of heads, and
what the vocabulary adds. Each term is measured at a few sizes on decoders of this architecture that
are only a few layers deep, and interpolated; so a model that does not fit into memory whole can be
planned for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from flab_deploy.artifacts import read_json
from flab_deploy.checkpoint import read_config
from flab_deploy.decoder import ModelShape, check_supported
from flab_deploy.errors import ConfigError
from flab_deploy.pruning.planning.budget import Room
from flab_deploy.settings.plan import PlanConfig

_ROUNDS, _STEPS = 5, 12
_SHALLOW, _DEEP = 1, 5
_POINTS = 3
_MOST_HELD_PARAMETERS = 500_000_000


@dataclass(frozen=True, kw_only=True)
class FittedLine:
    """Milliseconds by size, linear between measured points and beyond them."""

    sizes: tuple[int, ...]
    """Increasing."""
    ms: tuple[float, ...]
    """Never falling."""

    def at(self, size: int) -> float:
        """Milliseconds at `size`."""
        if len(self.sizes) == 1:
            return self.ms[0]
        at = next(
            (i for i, known in enumerate(self.sizes[1:-1], 1) if size <= known), len(self.sizes) - 1
        )
        low, high = self.sizes[at - 1], self.sizes[at]
        slope = (self.ms[at] - self.ms[at - 1]) / (high - low)
        return max(0.0, self.ms[at - 1] + slope * (size - low))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The parts of one kind of time."""

    fixed_ms: float
    """Whatever the sizes."""
    layer_ms: FittedLine
    """One layer by FFN width, with all its heads."""
    heads_ms: FittedLine
    """One layer of full width by key-value heads, with the query heads that read them."""
    vocabulary_ms: FittedLine
    """What the vocabulary takes, relative to the smallest measured."""

    def total(self, shape: ModelShape) -> float:
        """Milliseconds of a model of that shape."""
        heads = self.heads_ms.at(shape.num_key_value_heads) - self.heads_ms.ms[-1]
        layer = max(0.0, self.layer_ms.at(shape.intermediate_size) + heads)
        return (
            self.fixed_ms
            + shape.num_hidden_layers * layer
            + self.vocabulary_ms.at(shape.vocab_size)
        )


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """Predicted times of models of one architecture on the machine that measured it."""

    context_tokens: int
    threads: int
    decode: Terms
    """One token, one sequence, after a context of `context_tokens`."""
    prefill: Terms
    """Reading a prompt of `context_tokens`."""

    def decode_ms(self, shape: ModelShape) -> float:
        """Milliseconds of one decoded token."""
        return self.decode.total(shape)

    def prefill_ms(self, shape: ModelShape) -> float:
        """Milliseconds of reading a prompt."""
        return self.prefill.total(shape)

    def as_json(self) -> dict[str, Any]:
        """The measurement as a JSON object."""
        return asdict(self)


def latency_model(path: Path, room: Room, config: PlanConfig) -> LatencyModel:
    """The latency model of `config.latency_model`, or a new one, measured in a few seconds to a
    minute.
    """
    if config.latency_model is not None:
        return read_latency_model(Path(config.latency_model), config)
    return measure_latency(path, room, config.context_tokens)


def read_latency_model(file: Path, config: PlanConfig) -> LatencyModel:
    """A latency model from a file. Raises ConfigError if it is none, or was measured at another
    context.
    """
    data = cast("dict[str, Any]", read_json(file))
    try:
        model = LatencyModel(
            context_tokens=int(data["context_tokens"]),
            threads=int(data["threads"]),
            decode=_terms(data["decode"]),
            prefill=_terms(data["prefill"]),
        )
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{file} is no latency model; give the latency.json of an earlier latency plan"
        ) from None
    if model.context_tokens != config.context_tokens:
        raise ConfigError(
            f"{file} was measured at context {model.context_tokens}, not {config.context_tokens}; "
            "measure again"
        )
    return model


def _terms(data: dict[str, Any]) -> Terms:
    lines = {
        name: FittedLine(sizes=tuple(data[name]["sizes"]), ms=tuple(data[name]["ms"]))
        for name in ("layer_ms", "heads_ms", "vocabulary_ms")
    }
    return Terms(fixed_ms=float(data["fixed_ms"]), **lines)


def random_model(path: Path, shape: ModelShape) -> PreTrainedModel:
    """A decoder of the architecture at `path` with random weights and the given sizes, in the
    precision of the file.
    """
    config = read_config(path)
    architecture = check_supported(config, path)
    for name in (
        "num_hidden_layers",
        "intermediate_size",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
    ):
        theirs = architecture.name_of(name)
        if theirs in config or name in {"num_hidden_layers", "vocab_size"}:
            config[theirs] = getattr(shape, name)
    for name, value in config.items():
        if isinstance(value, list) and name in {"layer_types", "mlp_layer_types", "no_rope_layers"}:
            config[name] = value[: shape.num_hidden_layers]
    if "head_dim" in config or shape.num_attention_heads * shape.head_dim != shape.hidden_size:
        config["head_dim"] = shape.head_dim
    config |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    settings = AutoConfig.for_model(**config)
    precision = getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "float32"))
    return cast(
        "PreTrainedModel", AutoModelForCausalLM.from_config(settings, dtype=precision).eval()
    )


def measure_latency(path: Path, room: Room, context_tokens: int) -> LatencyModel:
    """Measure the terms on this machine; the median of several rounds counts."""
    found = _timed(path, room, _probes(room), context_tokens)
    decode, prefill = (
        _fit({shape: times[kind] for shape, times in found.items()}, _small(room))
        for kind in (0, 1)
    )
    return LatencyModel(
        context_tokens=context_tokens,
        threads=torch.get_num_threads(),
        decode=decode,
        prefill=prefill,
    )


def _timed(
    path: Path, room: Room, shapes: Sequence[ModelShape], context_tokens: int
) -> dict[ModelShape, tuple[float, float]]:
    """Median decoding and prefill milliseconds; rounds go over all sizes in turn if the models fit
    into memory.
    """
    weights = sum(
        shape.num_hidden_layers * room.layer_parameters
        + shape.vocab_size * shape.parameters_per_token
        for shape in shapes
    )
    groups = [shapes] if weights <= _MOST_HELD_PARAMETERS else [[shape] for shape in shapes]
    found: dict[ModelShape, tuple[float, float]] = {}
    for group in groups:
        models = [random_model(path, shape) for shape in group]
        rounds = [[time_once(model, context_tokens) for model in models] for _ in range(_ROUNDS)]
        for shape, times in zip(group, zip(*rounds, strict=True), strict=True):
            found[shape] = (
                median(decode for decode, _ in times),
                median(prefill for _, prefill in times),
            )
    return found


def time_model(path: Path, shape: ModelShape, context_tokens: int) -> dict[str, float]:
    """Decoding and prefill time of a whole model of that shape with random weights, in
    milliseconds.
    """
    model = random_model(path, shape)
    times = [time_once(model, context_tokens) for _ in range(_ROUNDS)]
    decode_ms, prefill_ms = (median(values) for values in zip(*times, strict=True))
    return {"decode_ms": decode_ms, "prefill_ms": prefill_ms}


@torch.inference_mode()
def time_once(model: PreTrainedModel, context_tokens: int) -> tuple[float, float]:
    """Milliseconds of one decoded token after a prompt of `context_tokens`, and of reading that
    prompt.
    """
    prompt = torch.arange(context_tokens)[None] % model.config.vocab_size
    started = time.perf_counter()
    state = model(input_ids=prompt, use_cache=True, logits_to_keep=1).past_key_values
    read = time.perf_counter()
    steps = []
    for _ in range(_STEPS):
        before = time.perf_counter()
        state = model(
            input_ids=prompt[:, :1], past_key_values=state, use_cache=True
        ).past_key_values
        steps.append(1e3 * (time.perf_counter() - before))
    return median(steps), 1e3 * (read - started)


def _spread(allowed: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        sorted({allowed[(len(allowed) - 1) * part // (_POINTS - 1)] for part in range(_POINTS)})
    )


def _small(room: Room) -> ModelShape:
    """One layer of full width and heads, with the smallest vocabulary."""
    return replace(room.original, num_hidden_layers=_SHALLOW, vocab_size=room.vocab_sizes[-1])


def _deep(room: Room) -> int:
    return max(_SHALLOW + 1, min(_DEEP, room.original.num_hidden_layers))


def _probes(room: Room) -> list[ModelShape]:
    """The shapes that are timed: every width and number of heads at two depths, every vocabulary at
    one.
    """
    small, queries = (
        _small(room),
        room.original.num_attention_heads // room.original.num_key_value_heads,
    )
    widths = [replace(small, intermediate_size=width) for width in _spread(room.widths)]
    heads = [
        replace(small, num_key_value_heads=count, num_attention_heads=count * queries)
        for count in _spread(room.key_value_heads)
    ]
    flat = list(dict.fromkeys([small, *widths, *heads]))
    deep = [replace(shape, num_hidden_layers=_deep(room)) for shape in flat]
    return list(
        dict.fromkeys(
            [*flat, *deep, *(replace(small, vocab_size=rows) for rows in _spread(room.vocab_sizes))]
        )
    )


def _fit(ms: dict[ModelShape, float], small: ModelShape) -> Terms:
    deep = max(shape.num_hidden_layers for shape in ms)

    def layer(shape: ModelShape) -> float:
        more = ms[replace(shape, num_hidden_layers=deep)] - ms[shape]
        return max(0.0, more / (deep - shape.num_hidden_layers))

    flat = [s for s in ms if s.num_hidden_layers == _SHALLOW and s.vocab_size == small.vocab_size]
    layers = {
        s.intermediate_size: layer(s)
        for s in flat
        if s.num_key_value_heads == small.num_key_value_heads
    }
    heads = {
        s.num_key_value_heads: layer(s)
        for s in flat
        if s.intermediate_size == small.intermediate_size
    }
    rows = {
        s.vocab_size: ms[s] - ms[small]
        for s in ms
        if replace(s, vocab_size=small.vocab_size) == small
    }
    fixed = max(0.0, ms[small] - _SHALLOW * layer(small))
    return Terms(
        fixed_ms=fixed,
        layer_ms=_rising(layers),
        heads_ms=_rising(heads),
        vocabulary_ms=_rising(rows),
    )


def _rising(points: dict[int, float]) -> FittedLine:
    """A line through measured points; one below that of a smaller size is raised to it, as noise
    can do.
    """
    sizes = sorted(points)
    values: list[float] = []
    for size in sizes:
        values.append(round(max(points[size], values[-1] if values else points[size]), 6))
    return FittedLine(sizes=tuple(sizes), ms=tuple(values))
