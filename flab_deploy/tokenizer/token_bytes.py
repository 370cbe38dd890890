"""Bytes in and out of a tokenizer's model, around text: also bytes that are no text."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer

from flab_deploy.tokenizer.vocabulary import BYTE_TOKENS, Family

_VALUE_OF = {token: value for value, token in enumerate(BYTE_TOKENS)}


def _alphabet() -> str:
    """The character of each byte in byte-level vocabularies: itself if it prints, else the next
    from U+0100 on.
    """
    printing = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(value if value in printing else next(others)) for value in range(256))


ALPHABET = _alphabet()
_BYTE_OF = {character: value for value, character in enumerate(ALPHABET)}


def through_bytes(tokenizer: Tokenizer, family: Family, data: bytes) -> bytes | None:
    """`data` encoded by the tokenizer's model and decoded again, None if it has no token for some
    of it.
    """
    if family == "byte-level BPE":
        tokens = tokenizer.model.tokenize("".join(ALPHABET[value] for value in data))
        return bytes(_BYTE_OF[character] for token in tokens for character in token.value)
    pieces: list[bytes] = []
    for part in _text_and_bytes(data):
        values = (
            [BYTE_TOKENS[part]]
            if isinstance(part, int)
            else [t.value for t in tokenizer.model.tokenize(part)]
        )
        for value in values:
            if tokenizer.model.token_to_id(value) is None:
                return None
            pieces.append(bytes([_VALUE_OF[value]]) if value in _VALUE_OF else value.encode())
    return b"".join(pieces)


def _text_and_bytes(data: bytes) -> Iterator[str | int]:
    """`data` as stretches of valid UTF-8 and single bytes that are none."""
    run: list[str] = []
    for character in data.decode("utf-8", "surrogateescape"):
        if 0xDC80 <= ord(character) <= 0xDCFF:
            if run:
                yield "".join(run)
            run = []
            yield ord(character) - 0xDC00
        else:
            run.append(character)
    if run:
        yield "".join(run)
