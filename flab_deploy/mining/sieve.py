"""Which functions are kept, and how copies are recognised."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from flab_deploy.mining.found import FoundFunction, Language
from flab_deploy.mining.left_out import holds_secret
from flab_deploy.records.printed.corpus import FunctionReason
from flab_deploy.settings.corpus import CorpusConfig

_STRING = (
    r'"""(?s:.*?)"""'
    r"|'''(?s:.*?)'''"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
)
_DEFINES = frozenset({"def", "func", "function"})
_LETTER = re.compile(r"[^\W\d]")


class Sieve:
    """Decides which functions are kept, and remembers them to recognise copies."""

    def __init__(self, config: CorpusConfig) -> None:
        self._config = config
        self._texts: set[bytes] = set()
        self._codes: set[bytes] = set()

    def reason(self, found: FoundFunction, language: Language) -> FunctionReason | None:
        """Why a function is left out; None if it is kept."""
        text = found.prompt + found.completion
        if not found.completion:
            return "odd_layout"
        if found.body_lines < self._config.min_body_lines:
            return "trivial"
        if len(text) > self._config.max_characters:
            return "too_long"
        if holds_secret(text):
            return "secret"
        if _seen(" ".join(text.split()), self._texts):
            return "duplicate"
        if _seen(" ".join(_numbered(found.code, language)), self._codes):
            return "near_duplicate"
        return None


def _seen(text: str, before: set[bytes]) -> bool:
    """Whether a text was there before; from now on it was."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    known = digest in before
    before.add(digest)
    return known


def _numbered(code: str, language: Language) -> Iterator[str]:
    """The tokens of a function without comments, names replaced by the order of their appearance.

    Names of attributes and of what is called stay: they say what a function does, where names of
    its own only say what things are called. The function's own name is the first.
    """
    comment = re.escape(language.comment)
    tokens = re.findall(rf"{_STRING}|{comment}[^\n]*|\w+|[^\w\s]", code)
    numbers: dict[str, str] = {}
    before = ""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if not token.startswith(language.comment):
            is_name = _LETTER.match(token) is not None and token not in language.keywords
            kept = before == "." or (after == "(" and before not in _DEFINES)
            if is_name and (token in numbers or not kept):
                token = numbers.setdefault(token, f"${len(numbers)}")
            yield token
        before = token
