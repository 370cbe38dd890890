"""What each supported architecture calls its tensors and what a cut does to them: data, one entry a
`model_type`.

A module's tensors are its `weight` (out, in) and perhaps its `bias` (out,). Cutting rows cuts
both along the first axis; cutting columns cuts the weight along the second and leaves the bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from flab_deploy.errors import UnsupportedModel

Unit = Literal["token", "channel", "query", "key_value", "expert"]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a module's tensors follow a plan."""

    axis: Literal[0, 1] = 0
    """0 cuts rows (and the bias), 1 cuts columns."""
    blocks: tuple[Unit, ...] = ()
    """What lies along that axis, in order; more than one for fused projections, none for tensors
    that stay whole.

    `query` counts the query heads of a key-value group together, `key_value` the one key or value
    head.
    """


WHOLE = Cut()
CHANNEL_ROWS = Cut(blocks=("channel",))
CHANNEL_COLUMNS = Cut(axis=1, blocks=("channel",))
TOKENS = Cut(blocks=("token",))
_NORMS = {"input_layernorm": WHOLE, "post_attention_layernorm": WHOLE}
_SPLIT_ATTENTION = {
    "self_attn.q_proj": Cut(blocks=("query",)),
    "self_attn.k_proj": Cut(blocks=("key_value",)),
    "self_attn.v_proj": Cut(blocks=("key_value",)),
    "self_attn.o_proj": Cut(axis=1, blocks=("query",)),
}
_GATED_FFN = {
    "mlp.gate_proj": CHANNEL_ROWS,
    "mlp.up_proj": CHANNEL_ROWS,
    "mlp.down_proj": CHANNEL_COLUMNS,
}
_QK_NORMS = {"self_attn.q_norm": WHOLE, "self_attn.k_norm": WHOLE}
_FFN_NORMS = {"pre_feedforward_layernorm": WHOLE, "post_feedforward_layernorm": WHOLE}
# `*` stands for the number of an expert. A layer has either these or the dense FFN.
_EXPERTS = {
    "mlp.gate": Cut(blocks=("expert",)),
    "mlp.experts.*.gate_proj": WHOLE,
    "mlp.experts.*.up_proj": WHOLE,
    "mlp.experts.*.down_proj": WHOLE,
}
_SHARED_EXPERT = {
    "mlp.shared_expert.gate_proj": WHOLE,
    "mlp.shared_expert.up_proj": WHOLE,
    "mlp.shared_expert.down_proj": WHOLE,
    "mlp.shared_expert_gate": WHOLE,
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Names and rules of one `model_type`. The defaults are Llama's."""

    known_as: str
    """The models that people know by it."""
    backbone: str = "model"
    """Attribute of the decoder without its head; also the prefix of its tensors."""
    layer_list: str = "layers"
    embedding: str = "embed_tokens"
    heads: tuple[str, ...] = ("lm_head",)
    """Names the output head has on disk; none of them is there when it shares the embedding's
    weight.
    """
    outside: Mapping[str, Cut] = field(default_factory=lambda: {"norm": WHOLE})
    """Modules of the backbone besides embedding and layers."""
    layer: Mapping[str, Cut] = field(
        default_factory=lambda: {**_SPLIT_ATTENTION, **_GATED_FFN, **_NORMS}
    )
    """Modules of a layer."""
    attention: str = "self_attn"
    attention_output: str = "self_attn.o_proj"
    ffn_output: str = "mlp.down_proj"
    buffers: tuple[str, ...] = ("self_attn.rotary_emb.inv_freq",)
    """Tensors of a layer that old files hold and no model reads; copied as they are, whatever their
    type.
    """
    config_names: Mapping[str, str] = field(default_factory=dict)
    """Where `config.json` uses a name of its own for a setting."""
    no_head_cut: str = ""
    """Why attention heads cannot be dropped; empty if they can."""
    no_write_factors: str = ""
    """Why what layers write into the residual stream cannot be scaled by their weights; empty if it
    can.
    """
    heads_divide_hidden_size: bool = False
    """transformers refuses a configuration whose hidden_size is no multiple of num_attention_heads.
    """

    @property
    def writers(self) -> frozenset[str]:
        """Modules of a layer that write into the residual stream."""
        experts = ("mlp.experts.*.down_proj", "mlp.shared_expert.down_proj")
        return frozenset({self.attention_output, self.ffn_output, *experts}) & self.layer.keys()

    def name_of(self, setting: str) -> str:
        """The name of `setting` in this architecture's `config.json`."""
        return self.config_names.get(setting, setting)


_LLAMA = Architecture(
    known_as="Llama, CodeLlama, DeepSeek-Coder, Yi", heads_divide_hidden_size=True
)
_MOE = {**_LLAMA.layer, **_EXPERTS}
_SIZE_OF_A_HEAD = (
    "vLLM takes a head's size from hidden_size / num_attention_heads, which a cut would change"
)
_NORMALISED_WRITES = "its layers normalise what they write"
_NO_HEAD_DIM = "its configuration has no head_dim, so a head's size would change with their number"

ARCHITECTURES: Mapping[str, Architecture] = {
    "qwen2": Architecture(known_as="Qwen2, Qwen2.5-Coder", no_head_cut=_SIZE_OF_A_HEAD),
    "qwen3": Architecture(known_as="Qwen3", layer={**_LLAMA.layer, **_QK_NORMS}),
    "llama": _LLAMA,
    "mistral": Architecture(known_as="Mistral, Codestral"),
    "starcoder2": Architecture(
        known_as="StarCoder2",
        layer={**_SPLIT_ATTENTION, "mlp.c_fc": CHANNEL_ROWS, "mlp.c_proj": CHANNEL_COLUMNS, **_NORMS},
        ffn_output="mlp.c_proj",
    ),
    "gemma2": replace(
        _LLAMA, known_as="Gemma 2", layer={**_LLAMA.layer, **_FFN_NORMS}, no_write_factors=_NORMALISED_WRITES
    ),
    "gemma3_text": replace(
        _LLAMA, known_as="Gemma 3 (text)", layer={**_LLAMA.layer, **_QK_NORMS, **_FFN_NORMS},
        no_write_factors=_NORMALISED_WRITES,
    ),
    "phi3": Architecture(
        known_as="Phi-3, Phi-3.5",
        layer={
            "self_attn.qkv_proj": Cut(blocks=("query", "key_value", "key_value")),
            "self_attn.o_proj": _SPLIT_ATTENTION["self_attn.o_proj"],
            "mlp.gate_up_proj": Cut(blocks=("channel", "channel")),
            "mlp.down_proj": CHANNEL_COLUMNS,
            **_NORMS,
        },
    ),
    "granite": Architecture(known_as="Granite"),
    "gpt_neox": Architecture(
        known_as="GPT-NeoX, Pythia", backbone="gpt_neox", embedding="embed_in", heads=("embed_out", "lm_head"),
        outside={"final_layer_norm": WHOLE},
        layer={
            "attention.query_key_value": WHOLE, "attention.dense": WHOLE,
            "mlp.dense_h_to_4h": CHANNEL_ROWS, "mlp.dense_4h_to_h": CHANNEL_COLUMNS, **_NORMS,
        },
        attention="attention", attention_output="attention.dense", ffn_output="mlp.dense_4h_to_h",
        buffers=("attention.rotary_emb.inv_freq", "attention.bias", "attention.masked_bias"),
        no_head_cut=_NO_HEAD_DIM,
    ),
    "gpt_bigcode": Architecture(
        known_as="GPT-BigCode: SantaCoder, "
                 "StarCoder", backbone="transformer", layer_list="h", embedding="wte",
        outside={"wpe": WHOLE, "ln_f": WHOLE},
        layer={
            "attn.c_attn": WHOLE, "attn.c_proj": WHOLE,
            "mlp.c_fc": CHANNEL_ROWS, "mlp.c_proj": CHANNEL_COLUMNS, "ln_1": WHOLE, "ln_2": WHOLE,
        },
        attention="attn", attention_output="attn.c_proj", ffn_output="mlp.c_proj",
        buffers=("attn.bias", "attn.masked_bias"),
        config_names={
            "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
            "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
        },
        no_head_cut=_NO_HEAD_DIM,
    ),
    "qwen2_moe": Architecture(
        known_as="Qwen1.5-MoE, Qwen2-MoE", layer={**_MOE, **_SHARED_EXPERT}, no_head_cut=_SIZE_OF_A_HEAD
    ),
    "qwen3_moe": Architecture(known_as="Qwen3-MoE, Qwen3-Coder", layer={**_MOE, **_QK_NORMS}),
}  # fmt: skip
SUPPORTED: Mapping[str, str] = {
    name: architecture.known_as for name, architecture in ARCHITECTURES.items()
}


def check_supported(config: Mapping[str, Any], path: Path) -> Architecture:
    """The architecture that `config` describes. Raises UnsupportedModel if it is outside the table
    or quantised.
    """
    architecture = ARCHITECTURES.get(str(config.get("model_type")))
    if architecture is None:
        names = "; ".join(f"{key} ({value})" for key, value in SUPPORTED.items())
        raise UnsupportedModel(
            f"{path} is a {config.get('model_type')!r} model; supported decoders: {names}"
        )
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unknown")
        raise UnsupportedModel(
            f"{path} is quantised (quant_method {method!r}); give the unquantised checkpoint"
        )
    return architecture


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor sits and how it follows a plan."""

    cut: Cut
    layer: int | None = None
    module: str = ""
    """Its module's name within the layer or the backbone, with `*` for the number of an expert."""
    expert: int | None = None
    is_buffer: bool = False

    @property
    def unit(self) -> str:
        """What its cut axis counts: `whole` for tensors that are not cut."""
        return self.cut.blocks[0] if self.cut.blocks else "whole"


def place_of(architecture: Architecture, name: str) -> Place | None:
    """The place of the tensor `name`, or None if the architecture has no such tensor."""
    module, _, kind = name.rpartition(".")
    if module in architecture.heads:
        return Place(cut=TOKENS, module=module)
    if not name.startswith(f"{architecture.backbone}."):
        return None
    inner, inner_name = (text.removeprefix(f"{architecture.backbone}.") for text in (module, name))
    if inner == architecture.embedding:
        return Place(cut=TOKENS, module=inner)
    if not inner_name.startswith(f"{architecture.layer_list}."):
        found = architecture.outside.get(inner)
        return Place(cut=found, module=inner) if found else None
    number, _, rest = inner_name.removeprefix(f"{architecture.layer_list}.").partition(".")
    if not number.isdigit():
        return None
    if rest in architecture.buffers:
        return Place(cut=WHOLE, layer=int(number), module=rest, is_buffer=True)
    return _in_layer(architecture, int(number), rest.removesuffix(f".{kind}"), kind)


def _in_layer(architecture: Architecture, layer: int, module: str, kind: str) -> Place | None:
    parts = module.split(".")
    expert = None
    if parts[:2] == ["mlp", "experts"] and len(parts) == 4 and parts[2].isdigit():
        expert = int(parts[2])
        module = ".".join([*parts[:2], "*", parts[3]])
    cut = architecture.layer.get(module)
    if cut is None or kind not in ("weight", "bias"):
        return None
    if kind == "bias" and cut.axis == 1:
        cut = WHOLE
    return Place(cut=cut, layer=layer, module=module, expert=expert)
