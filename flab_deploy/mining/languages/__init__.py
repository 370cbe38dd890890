"""The languages that instructions are mined from: each module here is one, its `LANGUAGE` says how.

To add one: a module of its name beside this text, and its name in `_NAMES`. Which file belongs to
which language is decided by the end of the file's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from flab_deploy.mining.found import Language

_NAMES = ("python",)


def _load(name: str) -> Language:
    language: Language = import_module(f"{__name__}.{name}").LANGUAGE
    return language


LANGUAGES: tuple[Language, ...] = tuple(_load(name) for name in _NAMES)
BY_SUFFIX: Mapping[str, Language] = {
    suffix: language for language in LANGUAGES for suffix in language.suffixes
}
"""The language of a file by the end of its name."""
