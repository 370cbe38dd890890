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
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from flab_deploy.checkpoint import read_config
from flab_deploy.decoder import (
    ModelShape,
    asked_dtype,
    check_supported,
    choose_device,
    weights_dtype,
)
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.pruning.planning.budget import Room
from flab_deploy.records.document import read_record
from flab_deploy.records.plan import LatencyRecord, LineRecord, TermsRecord, Times
from flab_deploy.settings.plan import PlanConfig
from flab_deploy.settings.shared.device import DeviceConfig

_ROUNDS, _STEPS = 5, 12
_SHALLOW, _DEEP = 1, 5
_POINTS = 3
_MOST_HELD_PARAMETERS = 500_000_000


def ms_at(line: LineRecord, size: int) -> float:
    """Milliseconds at `size`."""
    if len(line.sizes) == 1:
        return line.ms[0]
    at = next(
        (i for i, known in enumerate(line.sizes[1:-1], 1) if size <= known), len(line.sizes) - 1
    )
    low, high = line.sizes[at - 1], line.sizes[at]
    slope = (line.ms[at] - line.ms[at - 1]) / (high - low)
    return max(0.0, line.ms[at - 1] + slope * (size - low))


def total_ms(terms: TermsRecord, shape: ModelShape) -> float:
    """Milliseconds of a model of that shape."""
    heads = ms_at(terms.heads_ms, shape.num_key_value_heads) - terms.heads_ms.ms[-1]
    layer = max(0.0, ms_at(terms.layer_ms, shape.intermediate_size) + heads)
    return (
        terms.fixed_ms
        + shape.num_hidden_layers * layer
        + ms_at(terms.vocabulary_ms, shape.vocab_size)
    )


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """Predicted times of models of one architecture on the machine that measured it."""

    context_tokens: int
    threads: int
    decode: TermsRecord
    """One token, one sequence, after a context of `context_tokens`."""
    prefill: TermsRecord
    """Reading a prompt of `context_tokens`."""

    def decode_ms(self, shape: ModelShape) -> float:
        """Milliseconds of one decoded token."""
        return total_ms(self.decode, shape)

    def times(self, shape: ModelShape) -> Times:
        """Times of a model of that shape."""
        return Times(decode_ms=self.decode_ms(shape), prefill_ms=total_ms(self.prefill, shape))


def latency_model(path: Path, room: Room, config: PlanConfig) -> LatencyModel:
    """The latency model of `config.latency_model`, or a new one, measured in a few seconds to a
    minute.
    """
    if config.latency_model is not None:
        return read_latency_model(Path(config.latency_model), config)
    return measure_latency(path, room, config)


def read_latency_model(file: Path, config: PlanConfig) -> LatencyModel:
    """A latency model from a file. Raises ConfigError if it is none, or was measured at another
    context.
    """
    try:
        found = read_record(LatencyRecord, file)
    except ArtifactError as error:
        raise ConfigError(f"{error}, or give the latency.json of another latency plan") from None
    model = LatencyModel(
        context_tokens=found.context_tokens,
        threads=found.threads,
        decode=found.decode,
        prefill=found.prefill,
    )
    if model.context_tokens != config.context_tokens:
        raise ConfigError(
            f"{file} was measured at context {model.context_tokens}, not {config.context_tokens}; "
            "measure again"
        )
    return model


def random_model(
    path: Path, shape: ModelShape, where: DeviceConfig = DeviceConfig()
) -> PreTrainedModel:
    """A decoder of the architecture at `path` with random weights and the given sizes; `auto` is
    the precision of the file.
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
    dtype = asked_dtype(where.dtype, weights_dtype(path))
    model = AutoModelForCausalLM.from_config(settings, dtype=dtype)
    return cast("PreTrainedModel", model.eval().to(choose_device(where.device)))


def measure_latency(path: Path, room: Room, config: PlanConfig) -> LatencyModel:
    """Measure the terms on this machine; the median of several rounds counts."""
    found = _timed(path, room, _probes(room), config)
    small = _small(room)
    return LatencyModel(
        context_tokens=config.context_tokens,
        threads=torch.get_num_threads(),
        decode=_fit({shape: times.decode_ms for shape, times in found.items()}, small),
        prefill=_fit({shape: times.prefill_ms for shape, times in found.items()}, small),
    )


def _timed(
    path: Path, room: Room, shapes: Sequence[ModelShape], config: PlanConfig
) -> dict[ModelShape, Times]:
    """Median times; rounds go over all sizes in turn if the models fit into memory."""
    weights = sum(
        shape.num_hidden_layers * room.layer_parameters
        + shape.vocab_size * shape.parameters_per_token
        for shape in shapes
    )
    groups = [shapes] if weights <= _MOST_HELD_PARAMETERS else [[shape] for shape in shapes]
    found: dict[ModelShape, Times] = {}
    for group in groups:
        models = [random_model(path, shape, config) for shape in group]
        rounds = [
            [time_once(model, config.context_tokens) for model in models] for _ in range(_ROUNDS)
        ]
        for shape, times in zip(group, zip(*rounds, strict=True), strict=True):
            found[shape] = _median(times)
    return found


def _median(times: Sequence[Times]) -> Times:
    return Times(
        decode_ms=median(one.decode_ms for one in times),
        prefill_ms=median(one.prefill_ms for one in times),
    )


def time_model(path: Path, shape: ModelShape, config: PlanConfig) -> Times:
    """Times of a whole model of that shape with random weights."""
    model = random_model(path, shape, config)
    return _median([time_once(model, config.context_tokens) for _ in range(_ROUNDS)])


@torch.inference_mode()
def time_once(model: PreTrainedModel, context_tokens: int) -> Times:
    """Time of one decoded token after a prompt of `context_tokens`, and of reading that prompt."""
    prompt = torch.arange(context_tokens, device=model.device)[None] % model.config.vocab_size
    started = _now(model.device)
    state = model(input_ids=prompt, use_cache=True, logits_to_keep=1).past_key_values
    read = _now(model.device)
    steps = []
    for _ in range(_STEPS):
        before = _now(model.device)
        state = model(
            input_ids=prompt[:, :1], past_key_values=state, use_cache=True
        ).past_key_values
        steps.append(1e3 * (_now(model.device) - before))
    return Times(decode_ms=median(steps), prefill_ms=1e3 * (read - started))


def _now(device: torch.device) -> float:
    """Seconds on a clock, read when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


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


def _fit(ms: dict[ModelShape, float], small: ModelShape) -> TermsRecord:
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
    return TermsRecord(
        fixed_ms=fixed,
        layer_ms=_rising(layers),
        heads_ms=_rising(heads),
        vocabulary_ms=_rising(rows),
    )


def _rising(points: dict[int, float]) -> LineRecord:
    """A line through measured points; one below that of a smaller size is raised to it, as noise
    can do.
    """
    sizes = sorted(points)
    values: list[float] = []
    for size in sizes:
        values.append(round(max(points[size], values[-1] if values else points[size]), 6))
    return LineRecord(sizes=tuple(sizes), ms=tuple(values))
