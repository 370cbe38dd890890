"""What `flab corpus` says: what was mined, from where, and what was left out."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flab_deploy.records.document import record
from flab_deploy.settings.corpus import LanguageName, MinedKind

FileReason: TypeAlias = Literal[
    "vendored", "generated", "too_large", "syntax_error", "unreadable", "no_grammar"
]
"""Why a whole file is left out.

`vendored`: a copy of somebody else's code, or an environment, inside the tree. `generated`: its
first lines say so, or it has lines that nobody writes by hand. `too_large`: data more than code.
`unreadable`: it cannot be opened, or is not text. `no_grammar`: reading its language takes a
package that is not installed, of the extra `languages`.
"""
FunctionReason: TypeAlias = Literal[
    "trivial", "too_long", "secret", "duplicate", "near_duplicate", "odd_layout"
]
"""Why a function is left out.

`secret`: its text looks like holding a key, token or password. `duplicate`: the same text but for
white space was there before. `near_duplicate`: the same code was there before, under other names or
with another description. `odd_layout`: code stands beside its description on one line.
"""


@record
class MinedTree:
    """One source tree."""

    path: str
    num_files: int
    """Source files in it, those left out included."""
    licence_files: tuple[str, ...]
    """Relative paths of the files that state a licence."""
    package_licences: dict[str, str]
    """Licences that installed distributions declare, by the distribution's name; empty unless the
    tree holds such.
    """


@record
class CorpusFigures:
    """What was mined, from where, and what was left out."""

    schema_version: Literal[1]
    path: str
    """The file written."""
    digest: str
    """SHA-256 of the file."""
    num_records: int
    kinds: dict[MinedKind, int]
    """Instructions by what they are."""
    num_characters: int
    """Of prompts and completions."""
    languages: dict[LanguageName, int]
    """Files read, by language."""
    files_read: int
    """Files whose functions were looked at."""
    files_left_out: dict[FileReason, int]
    functions_left_out: dict[FunctionReason, int]
    seconds: float
    trees: tuple[MinedTree, ...]
