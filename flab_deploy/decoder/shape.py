"""Sizes of a checkpoint, read from the safetensors headers and `config.json` alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from flab_deploy.checkpoint import read_config, stored_tensors, weight_files
from flab_deploy.decoder.architectures import Architecture, Place, check_supported, place_of
from flab_deploy.errors import ArtifactError, UnsupportedModel
from flab_deploy.records.plan import ShapeRecord

Shapes = Mapping[str, tuple[int, ...]]
_EXPERT_SIZES = (
    "num_experts",
    "num_experts_per_tok",
    "num_expert_layers",
    "parameters_per_expert",
    "shared_expert_parameters",
)


@dataclass(frozen=True, kw_only=True)
class ModelShape(ShapeRecord):
    """Sizes of a decoder, under their Hugging Face names."""

    def resized(
        self,
        *,
        vocab_size: int,
        num_hidden_layers: int,
        intermediate_size: int,
        layer_parameters: int,
        num_key_value_heads: int | None = None,
        num_experts: int | None = None,
    ) -> ModelShape:
        """The shape after a cut; `layer_parameters` is the size of one whole layer before it.

        The count is exact where all layers are alike.
        """
        key_value_heads = (
            self.num_key_value_heads if num_key_value_heads is None else num_key_value_heads
        )
        experts = self.num_experts if num_experts is None else num_experts
        expert_layers = min(self.num_expert_layers, num_hidden_layers)
        lost = (
            (self.vocab_size - vocab_size) * self.parameters_per_token
            + (self.num_hidden_layers - num_hidden_layers) * layer_parameters
            + (self.intermediate_size - intermediate_size)
            * self.parameters_per_channel
            * (num_hidden_layers - expert_layers)
            + (self.num_key_value_heads - key_value_heads)
            * self.parameters_per_key_value_head
            * num_hidden_layers
            + (self.num_experts - experts) * self.parameters_per_expert * expert_layers
        )
        return replace(
            self,
            vocab_size=vocab_size,
            num_hidden_layers=num_hidden_layers,
            intermediate_size=intermediate_size,
            num_key_value_heads=key_value_heads,
            num_experts=experts,
            num_expert_layers=expert_layers,
            num_attention_heads=self.num_attention_heads
            // self.num_key_value_heads
            * key_value_heads,
            num_parameters=self.num_parameters - lost,
        )


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a checkpoint, read from the safetensors headers alone."""
    return {
        tensor.name: tensor.shape for file in weight_files(path) for tensor in stored_tensors(file)
    }


def places(architecture: Architecture, names: Iterable[str], path: Path) -> dict[str, Place]:
    """The place of every tensor in `names`. Raises UnsupportedModel, naming those that the
    architecture lacks.
    """
    found = {name: place_of(architecture, name) for name in names}
    unknown = sorted(name for name, place in found.items() if place is None)
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise UnsupportedModel(
            f"{path} has tensors unknown to {architecture.known_as.split(',')[0]}: "
            f"{', '.join(unknown[:3])}{more}; quantised, adapted and extended checkpoints cannot "
            "be cut, give the plain one"
        )
    return {name: place for name, place in found.items() if place is not None}


def model_shape(path: Path) -> ModelShape:
    """Sizes of the decoder at `path`.

    Raises UnsupportedModel for any other kind of model, ArtifactError if layers are missing or
    sizes contradict.
    """
    config = read_config(path)
    architecture = check_supported(config, path)
    shapes = tensor_shapes(path)
    placed = places(architecture, shapes, path)
    num_layers = int(config[architecture.name_of("num_hidden_layers")])
    _check_layers(placed.values(), num_layers, path)
    heads = int(config[architecture.name_of("num_attention_heads")])
    head_dim = _columns(shapes, placed, architecture.attention_output) // heads
    embedding = shapes[f"{architecture.backbone}.{architecture.embedding}.weight"]
    key_value_heads = _key_value_heads(architecture, config, shapes, placed, heads, head_dim)
    sizes = {"query": heads // key_value_heads * head_dim, "key_value": head_dim}
    return ModelShape(
        model_type=config["model_type"],
        vocab_size=embedding[0],
        num_hidden_layers=num_layers,
        hidden_size=embedding[1],
        intermediate_size=_columns(shapes, placed, architecture.ffn_output),
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=head_dim,
        tie_word_embeddings=not any(f"{name}.weight" in shapes for name in architecture.heads),
        num_parameters=sum(
            prod(shape) for name, shape in shapes.items() if not placed[name].is_buffer
        ),
        parameters_per_channel=_per_unit(shapes, placed, {"channel": 1}),
        parameters_per_key_value_head=0
        if architecture.no_head_cut
        else _per_unit(shapes, placed, sizes),
        parameters_per_token=_per_unit(shapes, placed, {"token": 1}),
        **_expert_sizes(config, shapes, placed),
    )


def _check_layers(placed: Iterable[Place], num_layers: int, path: Path) -> None:
    found = {place.layer for place in placed if place.layer is not None}
    if found != set(range(num_layers)):
        odd = sorted(found ^ set(range(num_layers)))
        raise ArtifactError(
            f"{path}/config.json says {num_layers} layers, its weights disagree on layer {odd[0]}"
        )


def _columns(shapes: Shapes, placed: Mapping[str, Place], module: str) -> int:
    """Inputs of the first linear module of that name; 0 if no layer has one."""
    for name, place in placed.items():
        if place.module == module and name.endswith(".weight"):
            return shapes[name][1]
    return 0


def _key_value_heads(
    architecture: Architecture,
    config: Mapping[str, Any],
    shapes: Shapes,
    placed: Mapping[str, Place],
    heads: int,
    head_dim: int,
) -> int:
    """Number of key-value heads, from the rows of their projection if there is one, else from
    `config`.
    """
    for name, place in placed.items():
        count = place.cut.blocks.count("key_value")
        if count:
            queries = place.cut.blocks.count("query") * heads * head_dim
            return (shapes[name][0] - queries) // (count * head_dim)
    if config.get("multi_query", architecture.attention == "attn"):
        return 1
    return heads


def _per_unit(shapes: Shapes, placed: Mapping[str, Place], sizes: Mapping[str, int]) -> int:
    """Parameters that go with one unit, whose blocks span `sizes` elements of a cut axis: in one
    layer, or outside.
    """
    first = min(
        (p.layer for p in placed.values() if p.layer is not None and p.unit in sizes), default=None
    )
    total = 0
    for name, place in placed.items():
        if place.layer == first and place.unit in sizes:
            elements = prod(shapes[name]) // shapes[name][place.cut.axis]
            total += elements * sum(sizes[block] for block in place.cut.blocks)
    return total


def _expert_sizes(
    config: Mapping[str, Any], shapes: Shapes, placed: Mapping[str, Place]
) -> dict[str, int]:
    """The sizes that belong to experts, all 0 for a model without."""
    layers = {place.layer for place in placed.values() if place.expert is not None}
    if not layers:
        return dict.fromkeys(_EXPERT_SIZES, 0)
    first = min(layer for layer in layers if layer is not None)
    inside = [(name, place) for name, place in placed.items() if place.layer == first]
    experts = {place.expert for _, place in inside if place.expert is not None}
    one = sum(prod(shapes[name]) for name, place in inside if place.expert == 0)
    shared = sum(prod(shapes[n]) for n, p in inside if p.module.startswith("mlp.shared_expert"))
    sizes = (
        len(experts),
        int(config["num_experts_per_tok"]),
        len(layers),
        one + _per_unit(shapes, placed, {"expert": 1}),
        shared,
    )
    return dict(zip(_EXPERT_SIZES, sizes, strict=True))


def layer_parameters(path: Path) -> int:
    """Parameters of the first layer, which all layers share in size unless some have experts and
    some have not.
    """
    architecture = check_supported(read_config(path), path)
    shapes = tensor_shapes(path)
    placed = places(architecture, shapes, path)
    return sum(
        prod(shapes[name])
        for name, place in placed.items()
        if place.layer == 0 and not place.is_buffer
    )


def forward_flops_per_token(shape: ModelShape, context_tokens: int) -> int:
    """Floating-point operations of one forward step per token with a KV cache of `context_tokens`.

    Two per multiply-add; matrix products and attention scores only, as usual in the field.
    """
    query = shape.num_attention_heads * shape.head_dim
    key_value = 2 * shape.num_key_value_heads * shape.head_dim
    attention = shape.hidden_size * (2 * query + key_value) + 2 * query * context_tokens
    dense = (
        shape.parameters_per_channel
        // shape.hidden_size
        * shape.hidden_size
        * shape.intermediate_size
    )
    router = shape.num_experts * shape.hidden_size
    one_expert = shape.parameters_per_expert - shape.hidden_size
    sparse = shape.num_experts_per_tok * one_expert + router + shape.shared_expert_parameters
    ffn = (
        shape.num_hidden_layers - shape.num_expert_layers
    ) * dense + shape.num_expert_layers * sparse
    head = shape.vocab_size * shape.hidden_size
    return 2 * (shape.num_hidden_layers * attention + ffn + head)
