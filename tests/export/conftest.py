"""A tiny random Qwen2 with its own tokenizer, saved by the transformers of this environment."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from flab_deploy.reference.tasks import make_tasks

END = "<|endoftext|>"


def train_tiny_tokenizer() -> Tokenizer:
    """Byte-level BPE of 400 entries whose special tokens come first, with Qwen2's normalizer and
    pre-tokenizer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END, "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        [t.prompt for t in make_tasks("train", "function_synthesis", 200)], trainer
    )
    return tokenizer


def save_tiny_model(folder: Path, **changes: object) -> Path:
    """A bfloat16 checkpoint whose logits are far apart, so that parity means something."""
    settings = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
    }
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(**(settings | changes))).to(torch.bfloat16).save_pretrained(folder)
    train_tiny_tokenizer().save(str(folder / "tokenizer.json"))
    # The class name that transformers 5 writes and transformers 4 does not know.
    tokenizer_config = {
        "tokenizer_class": "TokenizersBackend",
        "backend": "tokenizers",
        "eos_token": END,
        "pad_token": END,
        "extra_special_tokens": ["<|im_start|>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    return folder


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """A function that saves the tiny model to a folder, its configuration changed as told."""
    return save_tiny_model


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A checkpoint that a test may change."""
    return save_tiny_model(tmp_path / "model")
