"""How a smaller tokenizer reads, against the original: the corpus, other text, any bytes, all
characters.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from flab_deploy.records.prune import ReadingRecord, TokenizerRecord
from flab_deploy.tokenizer.files import load_tokenizer
from flab_deploy.tokenizer.token_bytes import through_bytes
from flab_deploy.tokenizer.vocabulary import read_vocabulary

_DOCUMENTS_PER_BATCH = 1024
_CHARACTERS_PER_TEXT = 256
_NUM_BYTE_STRINGS = 2048
_SEED = 20


@dataclass(frozen=True, kw_only=True)
class Proof(TokenizerRecord):
    """What was checked before a smaller tokenizer was accepted."""

    def problem(self, corpus: str, *, all_covered: bool = True) -> str | None:
        """What is wrong with the smaller tokenizer, None if nothing is; `corpus` is the name of the
        texts.

        With `all_covered` every document must be identical: the promise when every token that
        occurs is kept. Without it, as with a frequency budget, only those documents whose tokens
        are all kept.
        """
        owed = self.num_documents if all_covered else self.num_covered
        if self.num_identical < owed:
            return f"reads {owed - self.num_identical} of {owed} texts of {corpus} differently"
        for what, lossless, tried in (
            (f"texts of {corpus}", self.num_lossless, self.num_documents),
            ("random byte strings", self.num_byte_strings_lossless, self.num_byte_strings),
            ("characters", self.num_scalars_lossless, self.num_scalars),
        ):
            if lossless < tried:
                return f"loses {tried - lossless} of {tried} {what}"
        return None


def prove(
    source: Path,
    pruned: Path,
    keep: Sequence[int],
    texts: Iterable[str],
    held_out: Iterable[str] | None = None,
    scalars: Iterable[int] | None = None,
) -> Proof:
    """Compare the tokenizer in `pruned` with the one in `source` that it keeps the ids `keep` of.

    Both texts are streamed; `scalars` are the code points to try, by default all assigned
    characters.
    """
    family = read_vocabulary(source).family
    original, shrunken = load_tokenizer(source), load_tokenizer(pruned)
    data = _byte_strings()
    returned = sum(
        through_bytes(shrunken, family, string) in (string, through_bytes(original, family, string))
        for string in data
    )
    code_points = list(assigned_scalars() if scalars is None else scalars)
    return Proof(
        **vars(read_both(original, shrunken, keep, texts)),
        held_out=None if held_out is None else read_both(original, shrunken, keep, held_out),
        num_byte_strings=len(data),
        num_byte_strings_lossless=returned,
        num_scalars=len(code_points),
        num_scalars_lossless=_lossless_scalars(original, shrunken, code_points),
    )


def read_both(
    original: Tokenizer, shrunken: Tokenizer, keep: Sequence[int], texts: Iterable[str]
) -> ReadingRecord:
    """Both tokenizers on `texts`, document by document, in batches; `keep` holds the old id of
    every new one.
    """
    new_id = np.full(max([*keep, *original.get_vocab().values()]) + 1, -1)
    new_id[np.asarray(keep)] = np.arange(len(keep))
    documents = covered = identical = lossless = characters = before = after = 0
    for batch in _batches(texts):
        old = [
            encoded.ids for encoded in original.encode_batch_fast(batch, add_special_tokens=False)
        ]
        new = [
            encoded.ids for encoded in shrunken.encode_batch_fast(batch, add_special_tokens=False)
        ]
        expected = [new_id[ids].tolist() for ids in old]
        documents += len(batch)
        characters += sum(map(len, batch))
        before += sum(map(len, old))
        after += sum(map(len, new))
        covered += sum(-1 not in ids for ids in expected)
        identical += sum(ids == wanted for ids, wanted in zip(new, expected, strict=True))
        lossless += sum(_same_text(original, shrunken, batch, old, new))
    return ReadingRecord(
        num_documents=documents,
        num_covered=covered,
        num_identical=identical,
        num_lossless=lossless,
        num_characters=characters,
        num_tokens_before=before,
        num_tokens_after=after,
    )


def all_scalars() -> Iterator[int]:
    """Every Unicode scalar value: all code points but the surrogates."""
    yield from range(0xD800)
    yield from range(0xE000, sys.maxunicode + 1)


@cache
def assigned_scalars() -> tuple[int, ...]:
    """Every scalar value that stands for a character; the rest is private or not in use."""
    return tuple(
        value for value in all_scalars() if unicodedata.category(chr(value)) not in ("Cn", "Co")
    )


def _same_text(
    original: Tokenizer,
    shrunken: Tokenizer,
    texts: list[str],
    old: list[list[int]],
    new: list[list[int]],
) -> Iterator[bool]:
    decoded = shrunken.decode_batch(new, skip_special_tokens=False)
    for text, ids, result in zip(texts, old, decoded, strict=True):
        yield result == text or result == original.decode(ids, skip_special_tokens=False)


def _lossless_scalars(original: Tokenizer, shrunken: Tokenizer, code_points: list[int]) -> int:
    """How many of the code points come back from the texts that they fill, each text as a whole."""
    lossless = 0
    texts = ("".join(map(chr, some)) for some in _runs(code_points, _CHARACTERS_PER_TEXT))
    for batch in _batches(texts):
        old = [
            encoded.ids for encoded in original.encode_batch_fast(batch, add_special_tokens=False)
        ]
        new = [
            encoded.ids for encoded in shrunken.encode_batch_fast(batch, add_special_tokens=False)
        ]
        good = _same_text(original, shrunken, batch, old, new)
        lossless += sum(len(text) for text, same in zip(batch, good, strict=True) if same)
    return lossless


@cache
def _byte_strings() -> tuple[bytes, ...]:
    return tuple(_random_bytes(index) for index in range(_NUM_BYTE_STRINGS))


def _random_bytes(index: int) -> bytes:
    """A byte string of 1 to 64 bytes; the first 256 hold every byte value once as their first
    byte.
    """
    generator = np.random.default_rng((_SEED, index))
    return bytes([index % 256]) + generator.bytes(int(generator.integers(0, 64)))


def _runs(values: list[int], length: int) -> Iterator[list[int]]:
    return (values[at : at + length] for at in range(0, len(values), length))


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    stream = iter(texts)
    while batch := list(islice(stream, _DOCUMENTS_PER_BATCH)):
        yield batch
