"""A GGUF file of a tiny Llama with random weights, written as converters to GGUF do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from tokenizers.pre_tokenizers import ByteLevel

TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
HIDDEN, FFN, LAYERS, HEADS = 32, 64, 2, 2
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MERGES = ("\u0120 \u0120", "d e", "de f", "\u0120 f")


def tokens() -> list[str]:
    """The vocabulary: three special tokens, every byte, and what merges make."""
    merged = [merge.replace(" ", "") for merge in _MERGES]
    return [*_SPECIAL, *sorted(ByteLevel.alphabet()), *merged]


def write_gguf(
    file: Path,
    *,
    pre: str = "smollm",
    adds_bos: bool | None = None,
    architecture: str = "llama",
    leave_out: str = "",
) -> Path:
    """The file, with `pre` as its pre-tokenizer's name; the tensor `leave_out` is not written."""
    texts = tokens()
    writer = GGUFWriter(str(file), architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(len(texts))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(texts)
    kinds = [TokenType.CONTROL if text in _SPECIAL else TokenType.NORMAL for text in texts]
    writer.add_token_types(kinds)
    writer.add_token_merges(list(_MERGES))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(0)
    if adds_bos is not None:
        writer.add_add_bos_token(adds_bos)
    writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)
    for name, shape in _tensors(len(texts)).items():
        if name != leave_out:
            writer.add_tensor(name, random.normal(0, 0.05, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _tensors(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, HIDDEN),
        "output_norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (HIDDEN,),
            f"blk.{layer}.ffn_norm.weight": (HIDDEN,),
            f"blk.{layer}.attn_q.weight": (HIDDEN, HIDDEN),
            f"blk.{layer}.attn_k.weight": (HIDDEN // HEADS, HIDDEN),
            f"blk.{layer}.attn_v.weight": (HIDDEN // HEADS, HIDDEN),
            f"blk.{layer}.attn_output.weight": (HIDDEN, HIDDEN),
            f"blk.{layer}.ffn_gate.weight": (FFN, HIDDEN),
            f"blk.{layer}.ffn_up.weight": (FFN, HIDDEN),
            f"blk.{layer}.ffn_down.weight": (HIDDEN, FFN),
        }
    return shapes
