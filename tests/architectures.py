"""Tiny random checkpoints of every supported architecture, with the settings that make each one
special.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tests.conftest import END_OF_TEXT, train_tiny_tokenizer

NUM_LAYERS = 4
WIDTH = 64
_GATED = {
    "hidden_size": 48,
    "intermediate_size": WIDTH,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
_MOE = {
    **_GATED,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 32,
    "decoder_sparse_step": 2,
    "mlp_only_layers": [3],
}
_NEOX = {
    name: value for name, value in _GATED.items() if name not in ("num_key_value_heads", "head_dim")
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "qwen2": _GATED | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    "qwen3": _GATED,
    "llama": _GATED | {"attention_bias": True, "mlp_bias": True},
    "mistral": _GATED | {"sliding_window": 8},
    "starcoder2": _GATED | {"use_bias": True, "sliding_window": 8},
    "gemma2": _GATED
    | {"sliding_window": 8, "query_pre_attn_scalar": 16, "final_logit_softcapping": 3.0},
    "gemma3_text": _GATED
    | {"sliding_window": 8, "sliding_window_pattern": 3, "query_pre_attn_scalar": 16},
    "phi3": _GATED,
    "granite": _GATED
    | {"logits_scaling": 4.0, "residual_multiplier": 0.5, "embedding_multiplier": 3.0},
    "gpt_neox": _NEOX,
    "gpt_bigcode": {
        "n_embd": 48,
        "n_layer": NUM_LAYERS,
        "n_head": 6,
        "n_inner": WIDTH,
        "n_positions": 512,
    },
    "qwen2_moe": _MOE | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 3},
    "qwen3_moe": _MOE,
}
HEADS_CAN_GO = (
    "qwen3",
    "llama",
    "mistral",
    "starcoder2",
    "gemma2",
    "gemma3_text",
    "phi3",
    "granite",
    "qwen3_moe",
)
WITH_EXPERTS = ("qwen2_moe", "qwen3_moe")


def tiny_model(
    model_type: str, *, tied: bool, vocab_size: int, end: int, sizes: Mapping[str, Any]
) -> PreTrainedModel:
    """A random model whose every tensor, biases and norms too, is far from its initial value.

    Of `sizes`, those that the architecture has take the place of its own.
    """
    settings = {name: sizes.get(name, value) for name, value in SETTINGS[model_type].items()}
    config = AutoConfig.for_model(
        model_type,
        vocab_size=vocab_size,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
        **settings,
    )
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@cache
def _tokenizer_files() -> dict[str, bytes]:
    with TemporaryDirectory() as scratch:
        train_tiny_tokenizer(Path(scratch), 400)
        return {file.name: file.read_bytes() for file in Path(scratch).iterdir()}


def save_tiny(
    folder: Path,
    model_type: str,
    *,
    tied: bool = True,
    max_shard_size: str = "1GB",
    sizes: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Save the tiny model of `model_type` with a tokenizer to `folder`."""
    folder.mkdir(exist_ok=True)
    for name, content in _tokenizer_files().items():
        (folder / name).write_bytes(content)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = tokenizer.token_to_id(END_OF_TEXT)
    model = tiny_model(
        model_type, tied=tied, vocab_size=tokenizer.get_vocab_size(), end=end, sizes=sizes
    )
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    return folder
