"""Shrinking a byte-level BPE tokenizer, and proving that the result reads text as before.

A kept token needs every intermediate token of its own derivation. With those kept, all merges
that the original tokenizer performs on a text made of kept tokens are still there, and since
the remaining merges are a subset in the same order, the shrunken tokenizer performs the same
ones: token sequences are identical.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from flab_deploy.artifacts import read_json, write_json
from flab_deploy.errors import ArtifactError, PlanError, UnsupportedModel

logger = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.json"
_CONFIG_FILE = "tokenizer_config.json"
# Text files that say the same as tokenizer.json with the old ids; transformers does not need them.
SUPERSEDED = frozenset({"vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json", "tokenizer.model"})


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How the shrunken tokenizer compares with the original on a corpus."""

    num_documents: int
    num_identical: int
    """Documents with the same tokens in the same order."""
    num_tokens_before: int
    num_tokens_after: int
    num_lossless: int
    """Documents that decode to exactly their own text."""


def load_tokenizer(path: Path) -> Tokenizer:
    """The fast tokenizer of a checkpoint. Raises ArtifactError if there is none."""
    file = path / TOKENIZER_FILE
    if not file.is_file():
        raise ArtifactError(f"{path} has no {TOKENIZER_FILE}; save the model with its fast tokenizer first")
    return Tokenizer.from_file(str(file))


def count_tokens(tokenizer: Tokenizer, texts: Iterable[str], vocab_size: int) -> NDArray[np.int64]:
    """How often each token occurs in `texts`, as (V,) int64."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for encoded in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        np.add.at(counts, encoded.ids, 1)
    return counts


def _description(path: Path) -> dict[str, Any]:
    description = cast("dict[str, Any]", read_json(path / TOKENIZER_FILE))
    model = description["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise UnsupportedModel(
            f"{path / TOKENIZER_FILE} is {model.get('type')!r} without byte-level merges; supported: byte-level BPE"
        )
    return description


def _merge_pairs(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ", 1)) for merge in model["merges"]]


def required_ids(path: Path) -> list[int]:
    """Ids that no cut may drop: single bytes, special and added tokens, in increasing order."""
    description = _description(path)
    vocab: dict[str, int] = description["model"]["vocab"]
    single = {index for token, index in vocab.items() if len(token) == 1}
    added = {int(entry["id"]) for entry in description["added_tokens"]}
    return sorted(single | added)


class Derivations:
    """Which intermediate tokens a token is built from."""

    def __init__(self, path: Path) -> None:
        model = _description(path)["model"]
        self.vocab: dict[str, int] = model["vocab"]
        self.tokens = {index: token for token, index in self.vocab.items()}
        self.rank = {pair: rank for rank, pair in enumerate(_merge_pairs(model))}

    def parts(self, token: int) -> set[int]:
        """Ids on the way from single bytes to `token`, itself included; just itself for added tokens."""
        text = self.tokens.get(token)
        if text is None:
            return {token}
        pieces, used = list(text), {token}
        while len(pieces) > 1:
            ranked = [
                (self.rank[pair], at)
                for at, pair in enumerate(zip(pieces, pieces[1:], strict=False))
                if pair in self.rank
            ]
            if not ranked:
                break
            _, at = min(ranked)
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
            used.add(self.vocab[pieces[at]])
        return used

    def closure(self, wanted: Iterable[int]) -> set[int]:
        """`wanted` with everything needed to build it."""
        kept: set[int] = set()
        for token in wanted:
            kept |= self.parts(token)
        return kept


def choose_tokens(path: Path, counts: NDArray[np.int64], size: int) -> list[int]:
    """The `size` ids to keep, increasing: required ones, then by count, each with its derivation.

    Raises PlanError if the required ids and the tokens seen in the corpus do not fit.
    """
    derivations = Derivations(path)
    kept = set(required_ids(path))
    seen = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index] > 0]
    kept |= derivations.closure(seen)
    if len(kept) > size:
        raise PlanError(
            f"the corpus needs {len(kept)} tokens but the budget leaves {size}; give a smaller reduction or corpus"
        )
    for token in range(len(counts)):
        if len(kept) >= size:
            break
        more = derivations.parts(token) - kept if token in derivations.tokens else set()
        if len(kept) + len(more) <= size:
            kept |= more
    return sorted(kept)


def least_tokens(path: Path, counts: NDArray[np.int64]) -> int:
    """How many tokens must stay so that the corpus reads as before."""
    seen = (int(index) for index in np.flatnonzero(counts))
    return len(set(required_ids(path)) | Derivations(path).closure(seen))


def _renumber(value: Any, new_id: Mapping[int, int], where: str) -> Any:
    if isinstance(value, list):
        return [_renumber(item, new_id, where) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if int(value) not in new_id:
        raise PlanError(f"{where} names token {value}, which the plan drops; keep it")
    return new_id[int(value)]


def remap_token_ids(config: Mapping[str, Any], new_id: Mapping[int, int], where: str) -> dict[str, Any]:
    """`config` with every `*_token_id` and `*_token_ids` entry renumbered, nested objects included."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            result[key] = remap_token_ids(value, new_id, where)
        elif key.endswith(("_token_id", "_token_ids")):
            result[key] = _renumber(value, new_id, f"{where}: {key}")
        else:
            result[key] = value
    return result


def shrink(source: Path, out: Path, keep: Sequence[int]) -> None:
    """Write the tokenizer files of `source` to `out` with only the ids `keep`, renumbered in order.

    Raises PlanError if `keep` lacks a required id.
    """
    new_id = {old: new for new, old in enumerate(keep)}
    missing = [token for token in required_ids(source) if token not in new_id]
    if missing:
        raise PlanError(f"the plan drops token {missing[0]}, a byte or special token; keep all of those")
    description = _description(source)
    model = description["model"]
    kept_vocab = {token: new_id[old] for token, old in model["vocab"].items() if old in new_id}
    merges = [list(pair) for pair in _merge_pairs(model) if {*pair, "".join(pair)} <= kept_vocab.keys()]
    description["model"] = {
        **model,
        "vocab": dict(sorted(kept_vocab.items(), key=lambda item: item[1])),
        "merges": merges,
    }
    description["added_tokens"] = [{**entry, "id": new_id[int(entry["id"])]} for entry in description["added_tokens"]]
    if description.get("post_processor"):
        description["post_processor"] = _remap_processor(description["post_processor"], new_id)
    text = json.dumps(description, ensure_ascii=False, indent=1)
    (out / TOKENIZER_FILE).write_text(text + "\n", encoding="utf-8")
    if (source / _CONFIG_FILE).is_file():
        config = cast("dict[str, Any]", read_json(source / _CONFIG_FILE))
        if "added_tokens_decoder" in config:
            entries = config["added_tokens_decoder"].items()
            config["added_tokens_decoder"] = {str(new_id[int(old)]): entry for old, entry in entries}
        write_json(out / _CONFIG_FILE, remap_token_ids(config, new_id, _CONFIG_FILE))


def _remap_processor(processor: Any, new_id: Mapping[int, int]) -> Any:
    """A post-processor with the ids of its special tokens renumbered."""
    if isinstance(processor, list):
        return [_remap_processor(item, new_id) for item in processor]
    if not isinstance(processor, dict):
        return processor
    return {
        key: [_renumber(item, new_id, "post_processor") for item in value]
        if key == "ids"
        else _remap_processor(value, new_id)
        for key, value in processor.items()
    }


def prove(source: Path, pruned: Path, keep: Sequence[int], texts: Sequence[str]) -> Proof:
    """Compare both tokenizers on `texts`, document by document."""
    original, shrunken = load_tokenizer(source), load_tokenizer(pruned)
    identical = lossless = before = after = 0
    encoded = zip(
        texts, original.encode_batch(list(texts), add_special_tokens=False),
        shrunken.encode_batch(list(texts), add_special_tokens=False), strict=True,
    )  # fmt: skip
    for text, old, new in encoded:
        before += len(old.ids)
        after += len(new.ids)
        identical += [keep[index] for index in new.ids] == old.ids
        lossless += shrunken.decode(new.ids, skip_special_tokens=False) == text
    return Proof(num_documents=len(texts), num_identical=identical, num_tokens_before=before,
                 num_tokens_after=after, num_lossless=lossless)  # fmt: skip
