"""Texts as tokens of both models, none longer than the models can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from flab_deploy.evaluation.likelihood.texts import ScoredText
from flab_deploy.prompting import Prompting, encode_completions, encode_prompts, tokenizer_of
from flab_deploy.settings.shared.prompt import PromptSettings
from flab_deploy.tokenizer import load_tokenizer
from flab_deploy.tokenizer.vocabulary import BYTE_TOKENS

_BYTE_TOKENS = frozenset(BYTE_TOKENS)
Encoded = tuple[list[int], int]
"""Token ids of prompt and completion together, and where the completion starts."""


@dataclass(frozen=True, kw_only=True)
class EncodedText:
    """One text as both models read it."""

    text: ScoredText
    cut: bool
    original: Encoded
    candidate: Encoded


def encode_texts(
    path: Path, texts: Sequence[ScoredText], settings: PromptSettings = PromptSettings()
) -> list[Encoded]:
    """Each text as the model at `path` is given it, without a token for its end."""
    tokenizer, ask = tokenizer_of(path), Prompting(path, settings).prompt
    prompts = encode_prompts(tokenizer, [ask(text.prompt) for text in texts])
    completions = encode_completions(tokenizer, [text.completion for text in texts])
    return [([*p, *c], len(p)) for p, c in zip(prompts, completions, strict=True)]


def encode_both(
    original: Path,
    candidate: Path,
    texts: Sequence[ScoredText],
    max_tokens: int,
    settings: PromptSettings = PromptSettings(),
) -> list[EncodedText]:
    """The texts under both tokenizers, in their order; without those that have nothing to predict
    or whose prompt alone is too long.

    A text of more than `max_tokens` under either tokenizer is cut at the same character for both.
    """
    found: dict[int, EncodedText] = {}
    waiting = {number: (text, False) for number, text in enumerate(texts) if text.completion}
    while waiting:
        asked = [text for text, _ in waiting.values()]
        sides = [encode_texts(path, asked, settings) for path in (original, candidate)]
        again: dict[int, tuple[ScoredText, bool]] = {}
        for (number, (text, cut)), before, after in zip(waiting.items(), *sides, strict=True):
            if max(len(before[0]), len(after[0])) > max_tokens:
                if shorter := _shortened(text, (before, after), max_tokens):
                    again[number] = (shorter, True)
            elif all(0 < start < len(ids) for ids, start in (before, after)):
                found[number] = EncodedText(text=text, cut=cut, original=before, candidate=after)
        waiting = again
    return [found[number] for number in sorted(found)]


def token_lengths(path: Path) -> list[int]:
    """How much of a text each token of the model at `path` stands for, by id: the bytes of its
    name, or one where it stands for a byte.

    The same text has the same length however it is split by tokenizers of one vocabulary.
    """
    vocabulary = load_tokenizer(path).get_vocab(with_added_tokens=True)
    lengths = [0] * (max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        lengths[index] = 1 if token in _BYTE_TOKENS else len(token.encode())
    return lengths


def common_places(
    text: EncodedText, lengths: tuple[Sequence[int], Sequence[int]]
) -> list[tuple[int, int]]:
    """Tokens of the completion, by number for original and candidate, before which both have read
    exactly the same text; none if their tokens do not add up to the same.
    """
    (before, total), (after, other_total) = (
        _starts(side, own)
        for side, own in zip((text.original, text.candidate), lengths, strict=True)
    )
    if total != other_total:
        return []
    number_at = {place: number for number, place in enumerate(before)}
    return [(number_at[place], n) for n, place in enumerate(after) if place in number_at]


def _starts(encoded: Encoded, lengths: Sequence[int]) -> tuple[list[int], int]:
    """Where each token of a completion begins, and where the last one ends."""
    ids, start = encoded
    *places, total = accumulate((lengths[index] for index in ids[start:]), initial=0)
    return places, total


def _shortened(text: ScoredText, sides: Sequence[Encoded], max_tokens: int) -> ScoredText | None:
    """The text with about as much of its completion as fits, to the end of a line if one is near;
    None if nothing does.
    """
    shares = [(max_tokens - start) / max(1, len(ids) - start) for ids, start in sides]
    length = min(int(min(shares) * len(text.completion)), len(text.completion) - 1)
    kept = text.completion[: max(0, length)]
    line_end = kept.rfind("\n") + 1
    kept = kept[:line_end] if 2 * line_end > len(kept) else kept
    return replace(text, completion=kept) if kept else None
