"""The languages that instructions are mined from: each module here is one, its `LANGUAGE` says how.

To add one: its name to `settings.corpus.LanguageName`, and a module of that name beside this text.
The names are written out in the settings because the command line offers them without loading this
package. Python is read by its own parser, others by their grammars (`grammar`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from flab_deploy.mining.found import Language
from flab_deploy.settings.corpus import LANGUAGE_NAMES, LanguageName


def _load(name: LanguageName) -> Language:
    language: Language = import_module(f"{__name__}.{name}").LANGUAGE
    return language


LANGUAGES: Mapping[LanguageName, Language] = {name: _load(name) for name in LANGUAGE_NAMES}
BY_SUFFIX: Mapping[str, LanguageName] = {
    suffix: name for name, language in LANGUAGES.items() for suffix in language.suffixes
}
"""The language of a file by the end of its name."""
