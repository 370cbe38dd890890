"""The one place that knows attribute and tensor names of decoder architectures.

Architectures are data: a table of tensor-name templates per `model_type`, not a class hierarchy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from flab_deploy.checkpoint import read_config, weight_files
from flab_deploy.errors import UnsupportedModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
LAYER_PREFIX = "model.layers."
Role = Literal["vocabulary", "ffn_rows", "ffn_columns", "other"]

# Gated decoders that share Llama's tensor names; the value says how people know them.
SUPPORTED = {
    "qwen2": "Qwen2, Qwen2.5-Coder",
    "qwen3": "Qwen3",
    "llama": "Llama, CodeLlama, DeepSeek-Coder, Yi",
    "mistral": "Mistral, Codestral",
}
_FFN_ROWS = ("mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.gate_proj.bias", "mlp.up_proj.bias")
_FFN_COLUMNS = ("mlp.down_proj.weight",)
PER_LAYER_LISTS = ("layer_types",)


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a decoder, under their Hugging Face names."""

    model_type: str
    vocab_size: int
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool
    num_parameters: int
    """Exact count over all tensors of the checkpoint."""

    def as_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return asdict(self)

    def resized(
        self, *, vocab_size: int, num_hidden_layers: int, intermediate_size: int, layer_parameters: int
    ) -> ModelShape:
        """The shape after a cut; `layer_parameters` is the size of one whole layer before it."""
        tables = 1 if self.tie_word_embeddings else 2
        per_channel = 3 * self.hidden_size
        lost = (
            (self.vocab_size - vocab_size) * self.hidden_size * tables
            + (self.num_hidden_layers - num_hidden_layers) * layer_parameters
            + (self.intermediate_size - intermediate_size) * per_channel * num_hidden_layers
        )
        return replace(
            self, vocab_size=vocab_size, num_hidden_layers=num_hidden_layers,
            intermediate_size=intermediate_size, num_parameters=self.num_parameters - lost,
        )  # fmt: skip


def check_supported(config: dict[str, Any], path: Path) -> None:
    """Raise UnsupportedModel unless `config` describes a decoder of the supported table."""
    model_type = config.get("model_type")
    if model_type not in SUPPORTED:
        names = "; ".join(f"{key} ({value})" for key, value in SUPPORTED.items())
        raise UnsupportedModel(f"{path} is a {model_type!r} model; supported decoders: {names}")


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a checkpoint, read from the safetensors headers alone."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(path):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    return shapes


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def model_shape(path: Path) -> ModelShape:
    """Sizes of the decoder at `path`. Raises UnsupportedModel for any other kind of model."""
    config = read_config(path)
    check_supported(config, path)
    heads = int(config["num_attention_heads"])
    shapes = tensor_shapes(path)
    return ModelShape(
        model_type=config["model_type"], vocab_size=shapes[EMBEDDING][0],
        num_hidden_layers=int(config["num_hidden_layers"]), hidden_size=int(config["hidden_size"]),
        intermediate_size=int(config["intermediate_size"]), num_attention_heads=heads,
        num_key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        tie_word_embeddings=HEAD not in shapes,
        num_parameters=sum(_count(shape) for shape in shapes.values()),
    )  # fmt: skip


def layer_parameters(path: Path) -> int:
    """Parameters of the first layer, which all layers of the supported architectures share in size."""
    prefix = f"{LAYER_PREFIX}0."
    return sum(_count(shape) for name, shape in tensor_shapes(path).items() if name.startswith(prefix))


def forward_flops_per_token(shape: ModelShape, context_tokens: int) -> int:
    """Floating-point operations of one forward step per token with a KV cache of `context_tokens`.

    Two per multiply-add; matrix products and attention scores only, as usual in the field.
    """
    query = shape.num_attention_heads * shape.head_dim
    key_value = 2 * shape.num_key_value_heads * shape.head_dim
    projections = shape.hidden_size * (2 * query + key_value) + 3 * shape.hidden_size * shape.intermediate_size
    attention = 2 * query * context_tokens
    head = shape.vocab_size * shape.hidden_size
    return 2 * (shape.num_hidden_layers * (projections + attention) + head)


def split_layer(name: str) -> tuple[int, str] | None:
    """Layer index and the name within the layer, or None for tensors outside the layers."""
    if not name.startswith(LAYER_PREFIX):
        return None
    index, _, rest = name[len(LAYER_PREFIX) :].partition(".")
    return int(index), rest


def role_of(name: str) -> Role:
    """What a cut does to a tensor: its first axis is tokens, its first or last axis is FFN channels, or nothing."""
    if name in (EMBEDDING, HEAD):
        return "vocabulary"
    inside = split_layer(name)
    if inside and inside[1] in _FFN_ROWS:
        return "ffn_rows"
    if inside and inside[1] in _FFN_COLUMNS:
        return "ffn_columns"
    return "other"


def load_model(path: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The causal language model at `path` in evaluation mode on the CPU; safetensors only, no remote code."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    check_supported(read_config(path), path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    return cast("PreTrainedModel", model.eval())


def backbone(model: PreTrainedModel) -> nn.Module:
    """The decoder without its output head; called with `input_ids` it gives hidden states after the last norm."""
    return cast("nn.Module", model.model)


def output_weight(model: PreTrainedModel) -> Tensor:
    """Weight (V, D) of the output head."""
    return cast("Tensor", model.get_output_embeddings().weight)


def layers(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's layers in order."""
    return cast("nn.ModuleList", backbone(model).layers)


def down_projection(layer: nn.Module) -> nn.Linear:
    """The linear map (I -> D) that reads a layer's FFN channels."""
    mlp = cast("nn.Module", layer.mlp)
    return cast("nn.Linear", mlp.down_proj)


@contextmanager
def only_layers(model: PreTrainedModel, keep: Sequence[int]) -> Iterator[None]:
    """Within the block the model runs only the layers `keep`; use it without a KV cache."""
    from torch import nn

    stack, everything = backbone(model), layers(model)
    stack.layers = nn.ModuleList([everything[index] for index in keep])
    count = model.config.num_hidden_layers
    model.config.num_hidden_layers = len(keep)
    try:
        yield
    finally:
        stack.layers = everything
        model.config.num_hidden_layers = count


@contextmanager
def only_channels(model: PreTrainedModel, keep: Sequence[Tensor]) -> Iterator[None]:
    """Within the block every layer sees only its FFN channels `keep[layer]` (K,); the others read as zero."""
    import torch

    handles = []
    for layer, kept in zip(layers(model), keep, strict=True):
        down = down_projection(layer)
        mask = torch.zeros(down.in_features, dtype=down.weight.dtype)
        mask[kept] = 1.0
        handles.append(down.register_forward_pre_hook(lambda _module, args, mask=mask: (args[0] * mask, *args[1:])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
