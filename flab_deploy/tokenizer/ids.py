"""Token ids in a model's JSON files: where they stand, and how they are renumbered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flab_deploy.errors import PlanError

_ENDINGS = ("_token_id", "_token_ids", "_token_index")
# Lists of tokens to avoid or to favour: entries about a token that is gone have nothing left to act
# on.
_ABOUT_TOKENS = frozenset(
    {"suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"}
)


def named_ids(config: Mapping[str, Any], where: str) -> Iterator[tuple[int, str]]:
    """Ids that a configuration relies on, each with the place that names it; negative ones mean
    "none".
    """
    for key, value in config.items():
        place = f"{where}: {key}"
        if isinstance(value, dict):
            yield from named_ids(value, where)
        elif key.endswith(_ENDINGS):
            yield from ((index, place) for index in _numbers(value) if index >= 0)
        elif key == "force_words_ids":
            yield from ((index, place) for index in _numbers(value))
        elif key == "forced_decoder_ids":
            yield from ((index, place) for _, index in value or [] if index is not None)


def remap_token_ids(
    config: Mapping[str, Any], new_id: Mapping[int, int], where: str
) -> dict[str, Any]:
    """`config` with the token ids in it renumbered, nested objects included; everything else as it
    is.

    Covers `*_token_id`, `*_token_ids`, `*_token_index` and generation's lists of suppressed,
    banned, favoured and forced tokens. Raises PlanError if an id that must stay is not in `new_id`.
    """
    result: dict[str, Any] = {}
    for key, value in config.items():
        place = f"{where}: {key}"
        if key in _ABOUT_TOKENS:
            result[key] = _remaining(value, new_id)
        elif isinstance(value, dict):
            result[key] = remap_token_ids(value, new_id, where)
        elif key.endswith(_ENDINGS) or key == "force_words_ids":
            result[key] = renumber(value, new_id, place)
        elif key == "forced_decoder_ids":
            result[key] = value and [
                [position, renumber(index, new_id, place)] for position, index in value
            ]
        else:
            result[key] = value
    return result


def renumber(value: Any, new_id: Mapping[int, int], where: str) -> Any:
    """An id, or ids in nested lists, under their new numbers. Raises PlanError for one that is
    gone.
    """
    if isinstance(value, list):
        return [renumber(item, new_id, where) for item in value]
    if value is None or isinstance(value, bool) or int(value) < 0:
        return value
    if int(value) not in new_id:
        raise PlanError(f"{where} names token {value}, which the plan drops; keep it")
    return new_id[int(value)]


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def _remaining(value: Any, new_id: Mapping[int, int]) -> Any:
    """Entries whose tokens all stay: plain ids, lists of ids, or [ids, bias] pairs."""
    if not isinstance(value, list):
        return value
    kept = []
    for entry in value:
        biased = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list)
        ids = entry[0] if biased else entry
        if all(index in new_id for index in _numbers([ids])):
            fresh = _renumbered(ids, new_id)
            kept.append([fresh, entry[1]] if biased else fresh)
    return kept


def _renumbered(ids: int | Sequence[int], new_id: Mapping[int, int]) -> int | list[int]:
    return new_id[ids] if isinstance(ids, int) else [new_id[index] for index in ids]
