"""What a `tokenizer.json` holds: its family, its tokens, its merges; other families are refused
with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flab_deploy.errors import ArtifactError, UnsupportedModel
from flab_deploy.tokenizer.files import TOKENIZER_FILE, settings_of

Family = Literal["byte-level BPE", "byte-fallback BPE", "byte-fallback Unigram"]
SUPPORTED_FAMILIES = "byte-level BPE, BPE or Unigram with byte fallback"
BYTE_TOKENS = tuple(f"<0x{value:02X}>" for value in range(256))


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The model of a tokenizer, in the terms that a cut needs."""

    file: Path
    family: Family
    ids: dict[str, int] = field(repr=False)
    """Token text to id, added tokens that the model itself does not know aside."""
    tokens: dict[int, str] = field(repr=False)
    """The inverse of `ids`."""
    added: dict[int, str] = field(repr=False)
    """Added tokens, which are cut out of a text before the model sees it."""
    merges: list[tuple[str, str]] = field(repr=False)
    """Pairs in the order of their priority; empty for Unigram."""
    description: dict[str, Any] = field(repr=False)
    """The whole file."""

    @property
    def falls_back_to_bytes(self) -> bool:
        """Whether characters without a token are spelt with `<0x00>` ... `<0xFF>`."""
        return self.family != "byte-level BPE"


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary of the checkpoint `path`.

    Raises ArtifactError if it has no `tokenizer.json`, UnsupportedModel if its family cannot be cut
    without loss.
    """
    file = path / TOKENIZER_FILE
    if not file.is_file():
        raise ArtifactError(
            f"{path} has no {TOKENIZER_FILE}; save the model with its fast tokenizer first"
        )
    description = settings_of(path, TOKENIZER_FILE)
    family = _family(file, description)
    model = description["model"]
    if family == "byte-fallback Unigram":
        ids = {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    else:
        ids = dict(model["vocab"])
    _check_bytes(file, family, ids)
    return Vocabulary(
        file=file,
        family=family,
        ids=ids,
        tokens={index: token for token, index in ids.items()},
        added={
            int(entry["id"]): str(entry["content"]) for entry in description.get("added_tokens", [])
        },
        merges=_merge_pairs(model),
        description=description,
    )


def strings_under(node: object, keys: frozenset[str]) -> Iterator[str]:
    """Every text that stands under one of `keys` anywhere inside a JSON value."""
    if isinstance(node, list):
        for item in node:
            yield from strings_under(item, keys)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in keys and isinstance(value, str):
                yield value
            else:
                yield from strings_under(value, keys)


def _merge_pairs(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Merges as pairs, from either format: "a b" or ["a", "b"]."""
    return [
        (merge[0], merge[1])
        if isinstance(merge, list)
        else (merge.partition(" ")[0], merge.partition(" ")[2])
        for merge in model.get("merges", [])
    ]


def _family(file: Path, description: Mapping[str, Any]) -> Family:
    model = description.get("model") or {}
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind not in ("BPE", "Unigram"):
        raise UnsupportedModel(f"{file} is {kind!r}; supported: {SUPPORTED_FAMILIES}")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise UnsupportedModel(
                f"{file} sets {name} to {model[name]!r}, with which a smaller vocabulary would "
                f"read text differently; supported: {SUPPORTED_FAMILIES}, without it"
            )
    if model.get("byte_fallback"):
        return "byte-fallback BPE" if kind == "BPE" else "byte-fallback Unigram"
    steps = [description.get("pre_tokenizer"), description.get("normalizer")]
    if kind == "BPE" and "ByteLevel" in strings_under(steps, frozenset({"type"})):
        return "byte-level BPE"
    raise UnsupportedModel(
        f"{file} is {kind} without bytes to fall back on: characters of a dropped token would "
        f"become unknown; supported: {SUPPORTED_FAMILIES}"
    )


def _check_bytes(file: Path, family: Family, ids: Mapping[str, int]) -> None:
    absent = [token for token in BYTE_TOKENS if token not in ids]
    if family == "byte-fallback Unigram" and absent:
        raise UnsupportedModel(
            f"{file} lacks {len(absent)} byte tokens, first {absent[0]}: characters of a dropped "
            "piece would become unknown; add them before cutting"
        )
