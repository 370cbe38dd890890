"""Special token ids: in range, special in the tokenizer, and the same in every file that names
them.

A shrunk vocabulary gives tokens new ids. An id that was left behind still looks plausible, but
then the model never stops, or stops at an ordinary word; so nothing is exported with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer

from flab_deploy.errors import ExportError

ROLES = ("bos_token", "eos_token", "pad_token")


def check_special_ids(
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    tokenizer: Tokenizer,
) -> None:
    """Raise ExportError if an id is out of range or ordinary, or files disagree about a token's
    role.
    """
    problems = [
        *_outside_embedding(config, tokenizer),
        *_not_special("config.json", config, tokenizer),
        *_not_special("generation_config.json", generation_config, tokenizer),
        *_disagreeing(config, generation_config, tokenizer_config, tokenizer),
    ]
    if problems:
        more = f" (and {len(problems) - 1} more such problems)" if len(problems) > 1 else ""
        raise ExportError(f"{problems[0]}{more}")


def token_text(value: object) -> str | None:
    """The text of a token as `tokenizer_config.json` spells it: plain, or an object with
    `content`.
    """
    if isinstance(value, Mapping):
        return str(value["content"])
    return None if value is None else str(value)


def _ids(settings: Mapping[str, Any], role: str) -> list[int]:
    value = settings.get(f"{role}_id")
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _outside_embedding(config: Mapping[str, Any], tokenizer: Tokenizer) -> Iterator[str]:
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if largest >= config["vocab_size"]:
        yield (
            f"the tokenizer has ids up to {largest} but the model only {config['vocab_size']} "
            "embedding rows; prune both with one plan"
        )


def _not_special(file: str, settings: Mapping[str, Any], tokenizer: Tokenizer) -> Iterator[str]:
    special = {
        token_id
        for token_id, token in tokenizer.get_added_tokens_decoder().items()
        if token.special
    }
    for role in ROLES:
        for token_id in _ids(settings, role):
            if token_id not in special:
                meaning = tokenizer.id_to_token(token_id) if token_id >= 0 else None
                seen = (
                    "outside the vocabulary"
                    if meaning is None
                    else f"the ordinary token {meaning!r}"
                )
                yield (
                    f"{role}_id {token_id} in {file} is {seen}; set it to the id of a special token"
                )


def _disagreeing(
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    tokenizer: Tokenizer,
) -> Iterator[str]:
    if not _ids(config, "eos_token") and not _ids(generation_config, "eos_token"):
        yield (
            "config.json and generation_config.json have no eos_token_id, so generation "
            "would never stop; set one"
        )
    for role in ROLES:
        text = token_text(tokenizer_config.get(role))
        if text is None:
            continue
        token_id = tokenizer.token_to_id(text)
        if token_id is None:
            yield (
                f"the {role} {text!r} of tokenizer_config.json is not in tokenizer.json; "
                "correct one of them"
            )
            continue
        named = _ids(config, role) + _ids(generation_config, role)
        if named and token_id not in named:
            yield (
                f"the tokenizer's {role} is {text!r} with id {token_id}, but {role}_id in the "
                f"model's files is {', '.join(map(str, sorted(set(named))))}; correct one of them"
            )
