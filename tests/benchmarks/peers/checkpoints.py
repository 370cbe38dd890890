"""Random checkpoints of the shape of a real small model, and token ids to run them on."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM

NUM_ROWS, NUM_TOKENS = 8, 256
VOCAB_SIZE = 151_936
SHARD = "400MB"


def half_billion(folder: Path, model_type: str) -> Path:
    """A random checkpoint of Qwen2.5-0.5B's shape, 494 million parameters in bfloat16, with a byte
    tokenizer.
    """
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=VOCAB_SIZE,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=256,
        pad_token_id=None,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size=SHARD)
    alphabet = {
        character: index
        for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))
    }
    tokenizer = Tokenizer(models.BPE(alphabet, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def random_ids() -> torch.Tensor:
    """The same (8, 256) ids for every tool."""
    return torch.randint(
        0, VOCAB_SIZE, (NUM_ROWS, NUM_TOKENS), generator=torch.Generator().manual_seed(1)
    )
