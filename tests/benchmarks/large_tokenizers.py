"""Byte-level BPE tokenizers of the size of real ones, trained on the text that an installation
brings.
"""

from __future__ import annotations

import random
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE

# Code, its documentation, translations, and data with names from everywhere.
_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        "py",
        "pyi",
        "js",
        "ts",
        "h",
        "hpp",
        "c",
        "txt",
        "md",
        "rst",
        "html",
        "css",
        "json",
        "po",
        "xml",
        "yaml",
        "toml",
        "svg",
    )
)
_ROOTS = (sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"], "/usr/share")
_LONGEST_BYTES = 400_000
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def large_tokenizer(num_merged: int, num_characters: int) -> Path:
    """A folder with a byte-level BPE tokenizer in Qwen2's format, trained the first time and kept
    for later runs.

    It has `num_merged` entries and three special tokens, or fewer if the text at hand has no more
    pairs to merge.
    """
    folder = Path(tempfile.gettempdir()) / f"flab-tokenizer-{num_merged}-{num_characters}"
    if not (folder / "tokenizer.json").is_file():
        folder.mkdir(exist_ok=True)
        tokenizer = Tokenizer(BPE())
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
            vocab_size=num_merged, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(texts_at_hand(num_characters), trainer)
        tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
        tokenizer.save(str(folder / "unfinished.json"))
        (folder / "unfinished.json").replace(folder / "tokenizer.json")
    return folder


def texts_at_hand(num_characters: int) -> Iterator[str]:
    """Text files of the interpreter, its packages and the system in an order of chance, up to so
    many characters.
    """
    files = sorted(
        {file for root in _ROOTS for file in Path(root).rglob("*") if file.suffix in _SUFFIXES}
    )
    random.Random(0).shuffle(files)
    for file in files:
        try:
            text = file.read_text(encoding="utf-8") if file.stat().st_size <= _LONGEST_BYTES else ""
        except (OSError, UnicodeDecodeError):
            continue
        num_characters -= len(text)
        if num_characters < 0:
            return
        yield text


def stdlib_texts() -> Iterator[str]:
    """The modules of the interpreter's library, its tests aside."""
    for file in sorted(Path(_ROOTS[0]).rglob("*.py")):
        if not {"test", "tests", "site-packages", "idlelib"} & set(file.parts):
            yield file.read_text(encoding="utf-8", errors="replace")
