"""Tokens that no cut may drop, each with the reason."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from flab_deploy.errors import UnsupportedModel
from flab_deploy.tokenizer.chat_template import chat_texts
from flab_deploy.tokenizer.derivation import Derivations
from flab_deploy.tokenizer.files import (
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    load_tokenizer,
    settings_of,
)
from flab_deploy.tokenizer.ids import named_ids
from flab_deploy.tokenizer.vocabulary import BYTE_TOKENS, Vocabulary, read_vocabulary, strings_under

logger = logging.getLogger(__name__)
_LITERAL_KEYS = frozenset({"String", "content", "prepend", "replacement"})


def required_ids(path: Path) -> list[int]:
    """Ids that no cut may drop: bytes, special, added and chat-template tokens, with their parts;
    increasing.
    """
    return sorted(required_tokens(path))


def required_tokens(path: Path, derivations: Derivations | None = None) -> dict[int, str]:
    """Ids that no cut may drop and why, parts of required tokens included.

    Raises UnsupportedModel if a configuration names a token that `tokenizer.json` does not have.
    """
    derivations = derivations or Derivations(read_vocabulary(path))
    vocabulary = derivations.vocabulary
    reasons: dict[int, str] = {}
    sources = (
        _spelling(vocabulary),
        _markers(vocabulary),
        _unknown(vocabulary),
        _added(path, vocabulary),
        _configured(path, vocabulary),
        _in_templates(path),
    )
    for source in sources:
        for token, reason in source:
            reasons.setdefault(token, reason)
    for token, reason in list(reasons.items()):
        for part in derivations.closure(derivations.halves(token), set(reasons)):
            reasons[part] = f"part of token {token}, {reason}"
    return reasons


def _spelling(vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    """Bytes, and characters that could not be spelt with bytes if they were gone."""
    spelt = {value for value, token in enumerate(BYTE_TOKENS) if token in vocabulary.ids}
    if vocabulary.falls_back_to_bytes:
        yield from ((vocabulary.ids[BYTE_TOKENS[value]], "a byte") for value in sorted(spelt))
    else:
        spelt = set()
    for token, index in vocabulary.ids.items():
        if len(token) == 1 and not spelt.issuperset(token.encode("utf-8", "surrogatepass")):
            yield index, "a byte or character that nothing else spells"


def _markers(vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    """Characters that stand for others, such as the lower one eighth block for a space.

    Spelt with bytes they would not be turned back.
    """
    steps = [
        vocabulary.description.get(name) for name in ("normalizer", "pre_tokenizer", "decoder")
    ]
    for character in sorted({c for text in strings_under(steps, _LITERAL_KEYS) for c in text}):
        if character in vocabulary.ids:
            yield vocabulary.ids[character], "a character that the tokenizer puts in or takes out"


def _unknown(vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    model: dict[str, Any] = vocabulary.description["model"]
    if model.get("unk_token") in vocabulary.ids:
        yield vocabulary.ids[model["unk_token"]], "the unknown token"
    if vocabulary.family == "byte-fallback Unigram":
        if model.get("unk_id") is not None:
            yield int(model["unk_id"]), "the unknown token"
        scores = [score for _, score in model["vocab"]]
        # The price of an unknown character is the least score minus a constant, so the least score
        # has to stay.
        yield (
            scores.index(min(scores)),
            "the piece of least score, which sets the price of unknown characters",
        )


def _added(path: Path, vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    yield from ((index, "a special or added token") for index in vocabulary.added)
    settings = settings_of(path, TOKENIZER_CONFIG_FILE)
    for index in settings.get("added_tokens_decoder", {}):
        yield int(index), "a special or added token"
    known = {text: index for index, text in vocabulary.added.items()} | vocabulary.ids
    for file in (TOKENIZER_CONFIG_FILE, SPECIAL_TOKENS_FILE):
        for role, text in _special_texts(settings_of(path, file)):
            if text not in known:
                raise UnsupportedModel(
                    f"{path / file} names the {role} {text!r}, which {vocabulary.file.name} does "
                    "not have; load the tokenizer with transformers and save it again"
                )
            yield known[text], f"the {role}"


def _special_texts(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Role and text of the special tokens that a configuration names, plain or as {"content":
    ...}.
    """
    for key, value in settings.items():
        if key in ("additional_special_tokens", "extra_special_tokens"):
            entries = value.values() if isinstance(value, dict) else value or []
        elif key.endswith("_token") and isinstance(value, str | dict):
            entries = [value]
        else:
            continue
        yield from (
            (key, str(entry["content"] if isinstance(entry, dict) else entry)) for entry in entries
        )


def _configured(path: Path, vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    rows = settings_of(path, "config.json").get("vocab_size")
    largest = max([*vocabulary.tokens, *vocabulary.added])
    for file in ("config.json", "generation_config.json"):
        for index, place in named_ids(settings_of(path, file), file):
            if index >= max(largest + 1, rows or 0):
                raise UnsupportedModel(
                    f"{path / file}: {place.split(': ')[1]} is {index}, but the model's ids end at "
                    f"{max(largest, (rows or 0) - 1)}; correct it or remove it"
                )
            yield index, f"named by {place}"


def _in_templates(path: Path) -> Iterator[tuple[int, str]]:
    texts = chat_texts(path)
    tokenizer: Tokenizer | None = load_tokenizer(path) if texts else None
    if tokenizer is not None:
        for encoded in tokenizer.encode_batch(texts, add_special_tokens=False):
            yield from ((index, "in the chat template") for index in encoded.ids)
