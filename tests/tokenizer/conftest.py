"""Small tokenizers of every family that can be cut, trained on the interpreter's own library."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from flab_deploy.tokenizer.vocabulary import BYTE_TOKENS

SOURCES = sorted(Path(os.__file__).parent.glob("*.py"))
VOCAB_SIZE = 2500
SPECIAL = ("<|begin|>", "<|end|>")
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def training_texts() -> Iterator[str]:
    yield from (path.read_text(encoding="utf-8") for path in SOURCES[:30])
    yield "fünf Äpfel, четыре груши, 三つの桃 ▁ naïve — “quoted” 🙂 " * 40


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(training_texts(), trainer)
    tokenizer.add_special_tokens([*SPECIAL, AddedToken("<tool>", special=False)])
    end = tokenizer.token_to_id(SPECIAL[1])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {SPECIAL[1]}", special_tokens=[(SPECIAL[1], end)]
    )
    return tokenizer


def with_ignored_merges() -> Tokenizer:
    """As Llama 3 has it: a word that is in the vocabulary needs no merges, so some tokens have
    none.
    """
    described = json.loads(byte_level().to_str())
    model = described["model"]
    whole = [
        pair
        for pair in model["merges"]
        if "".join(pair) in {"Ġimport", "Ġclass", "return", "Ġself"}
    ]
    model |= {
        "ignore_merges": True,
        "merges": [pair for pair in model["merges"] if pair not in whole],
    }
    return Tokenizer.from_str(json.dumps(described))


def byte_fallback() -> Tokenizer:
    """As Llama 2 has it: characters with spaces as U+2581, bytes for the others, no words."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("▁?[^▁]+|▁+"), "isolated")
    special = ["<unk>", "<s>", "</s>", *BYTE_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=special, limit_alphabet=150, show_progress=False
    )
    trained.train_from_iterator(training_texts(), trainer)
    return _sentencepiece_like(json.loads(trained.to_str())["model"])


def byte_fallback_with_every_merge() -> Tokenizer:
    """As converters write it: each token with all pairs of tokens that make it, in the order of the
    tokens.
    """
    model = json.loads(byte_fallback().to_str())["model"]
    vocab = model["vocab"]
    merges = [
        [token[:at], token[at:]]
        for token in sorted(vocab, key=vocab.__getitem__)
        if token not in BYTE_TOKENS
        for at in range(1, len(token))
        if token[:at] in vocab and token[at:] in vocab
    ]
    return _sentencepiece_like(model | {"merges": merges})


def _sentencepiece_like(model: dict[str, object]) -> Tokenizer:
    described = json.loads(Tokenizer(models.BPE()).to_str())
    described["model"] = model | {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    tokenizer = Tokenizer.from_str(json.dumps(described))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def unigram() -> Tokenizer:
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCAB_SIZE,
        unk_token="<unk>",
        special_tokens=["<unk>", "<s>", "</s>"],
        show_progress=False,
    )
    trained.train_from_iterator((text[:12_000] for text in training_texts()), trainer)
    pieces = json.loads(trained.to_str())["model"]["vocab"]
    vocab = [
        *map(tuple, pieces[:3]),
        *((token, 0.0) for token in BYTE_TOKENS),
        *map(tuple, pieces[3:]),
    ]
    tokenizer = Tokenizer(models.Unigram(vocab, 0, True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": byte_level,
    "ignore-merges": with_ignored_merges,
    "byte-fallback": byte_fallback,
    "every-merge": byte_fallback_with_every_merge,
    "unigram": unigram,
}


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    """A folder with the tokenizer alone."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = [
        token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special
    ]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": special[-1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from the name of a family to a folder with a tokenizer of it, trained once."""
    root = tmp_path_factory.mktemp("families")

    def find(family: str) -> Path:
        return (
            root / family if (root / family).exists() else saved(FAMILIES[family](), root / family)
        )

    return find


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    """Text to count on, some of it not English."""
    blocks = [
        block for path in SOURCES[30:36] for block in path.read_text(encoding="utf-8").split("\n\n")
    ][:120]
    return [*blocks, "fünf Äpfel\n\t三つ  ▁🙂", "e\u0301 <|end|> <tool> <s>"]


@pytest.fixture(scope="session")
def held_out() -> list[str]:
    """Other text."""
    return [path.read_text(encoding="utf-8")[:5000] for path in SOURCES[40:60]]
