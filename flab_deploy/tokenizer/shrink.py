"""Writing the tokenizer files of a smaller vocabulary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flab_deploy.artifacts import write_json
from flab_deploy.errors import PlanError, UnsupportedModel
from flab_deploy.tokenizer.derivation import Derivations
from flab_deploy.tokenizer.files import (
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    load_tokenizer,
    settings_of,
)
from flab_deploy.tokenizer.ids import remap_token_ids, renumber
from flab_deploy.tokenizer.required import required_tokens
from flab_deploy.tokenizer.vocabulary import Vocabulary, read_vocabulary


def shrink(source: Path, out: Path, keep: Sequence[int]) -> None:
    """Write the tokenizer files of `source` to `out` with only the increasing ids `keep`,
    renumbered in order.

    Raises PlanError if `keep` lacks a required token or a part that a kept token is built from,
    UnsupportedModel if the tokenizers library would not give the written tokens those ids.
    """
    derivations = Derivations(read_vocabulary(source))
    vocabulary = derivations.vocabulary
    check_keep(source, keep, derivations)
    new_id = {old: new for new, old in enumerate(keep)}
    description = _shrunken(vocabulary, new_id)
    (out / TOKENIZER_FILE).write_text(
        json.dumps(description, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    config = settings_of(source, TOKENIZER_CONFIG_FILE)
    if config:
        if "added_tokens_decoder" in config:
            entries = config["added_tokens_decoder"].items()
            config["added_tokens_decoder"] = {
                str(new_id[int(old)]): entry for old, entry in entries
            }
        write_json(
            out / TOKENIZER_CONFIG_FILE, remap_token_ids(config, new_id, TOKENIZER_CONFIG_FILE)
        )
    _check_ids(out, vocabulary, new_id)


def check_keep(path: Path, keep: Sequence[int], derivations: Derivations | None = None) -> None:
    """Raise PlanError, naming the token, if the ids `keep` lack one that must stay or a part of one
    that is kept.
    """
    derivations = derivations or Derivations(read_vocabulary(path))
    kept = set(keep)
    text_of = derivations.vocabulary.added | derivations.vocabulary.tokens
    for token, reason in sorted(required_tokens(path, derivations).items()):
        if token not in kept:
            raise PlanError(
                f"the plan drops token {token} {text_of.get(token, '')!r}, {reason}; keep it"
            )
    for token in keep:
        for part in derivations.halves(token):
            if part not in kept:
                raise PlanError(
                    f"the plan keeps token {token} {text_of[token]!r} but drops {part} "
                    f"{text_of[part]!r}, which it is built from; keep both or drop both"
                )


def _shrunken(vocabulary: Vocabulary, new_id: Mapping[int, int]) -> dict[str, Any]:
    """The tokenizer's description with the kept tokens alone; nothing else in it changes but
    ids.
    """
    description = dict(vocabulary.description)
    model = description["model"]
    kept = {vocabulary.tokens[old]: new for old, new in new_id.items() if old in vocabulary.tokens}
    if vocabulary.family == "byte-fallback Unigram":
        pieces = [model["vocab"][old] for old in new_id if old in vocabulary.tokens]
        description["model"] = {
            **model,
            "vocab": pieces,
            "unk_id": renumber(model.get("unk_id"), new_id, "unk_id"),
        }
    else:
        merges = [[a, b] for a, b in vocabulary.merges if a in kept and b in kept and a + b in kept]
        description["model"] = {**model, "vocab": kept, "merges": merges}
    description["added_tokens"] = [
        {**entry, "id": new_id[int(entry["id"])]} for entry in description.get("added_tokens", [])
    ]
    if description.get("post_processor"):
        description["post_processor"] = _remap_processor(description["post_processor"], new_id)
    if description.get("padding"):
        padding = description["padding"]
        description["padding"] = {
            **padding,
            "pad_id": renumber(padding["pad_id"], new_id, "padding"),
        }
    return description


def _remap_processor(processor: Any, new_id: Mapping[int, int]) -> Any:
    """A post-processor with the ids of its special tokens renumbered: lists `ids`, and `sep` and
    `cls` pairs.
    """
    if isinstance(processor, list):
        return [_remap_processor(item, new_id) for item in processor]
    if not isinstance(processor, dict):
        return processor
    result = {}
    for key, value in processor.items():
        if key == "ids":
            result[key] = renumber(value, new_id, "post_processor")
        elif key in ("sep", "cls") and isinstance(value, list):
            result[key] = [value[0], renumber(value[1], new_id, f"post_processor: {key}")]
        else:
            result[key] = _remap_processor(value, new_id)
    return result


def _check_ids(out: Path, vocabulary: Vocabulary, new_id: Mapping[int, int]) -> None:
    """The library numbers added tokens by itself, after the model's; see that this gives the ids of
    the rows.
    """
    found = load_tokenizer(out).get_vocab(with_added_tokens=True)
    for old, text in (vocabulary.tokens | vocabulary.added).items():
        if old in new_id and found.get(text) != new_id[old]:
            raise UnsupportedModel(
                f"{vocabulary.file}: token {old} {text!r} would become {found.get(text)} instead "
                f"of {new_id[old]}, because ids below it belong to no token; save the tokenizer "
                "again without gaps"
            )
