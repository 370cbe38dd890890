"""What a language finds in a file, and what it must be able to do to be one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flab_deploy.corpus import Instruction
from flab_deploy.settings.corpus import MinedKind


class BrokenSource(Exception):
    """A file that its language's grammar refuses."""


class MissingGrammar(Exception):
    """A file whose language is read by a package that is not installed."""


@dataclass(frozen=True, kw_only=True)
class Mined(Instruction):
    """An instruction and where it comes from."""

    source: str
    """`file:line`, the file relative to its tree."""


@dataclass(frozen=True, kw_only=True)
class FoundFunction:
    """A function that could become an instruction."""

    kind: MinedKind
    line: int
    """Where it starts, decorators included, from 1."""
    prompt: str
    """Up to the end of its description, or of its header; ends where a token ends."""
    completion: str
    """The rest, from the line break on; empty if the rest begins on the prompt's last line."""
    body_lines: int
    """Lines of code; 0 if the body does nothing."""
    code: str
    """The text without its description, to recognise copies."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """A programming language that functions are mined from."""

    title: str
    """As people write it."""
    suffixes: tuple[str, ...]
    """Ends of its files' names, with the dot."""
    keywords: frozenset[str]
    """Words that are no names."""
    comment: str
    """What a comment up to the end of its line begins with."""
    candidates: Callable[[str], Iterator[FoundFunction]]
    """The functions of a file's text, `\\n` at the ends of its lines. Raises BrokenSource or
    MissingGrammar.
    """
    encoding_of: Callable[[bytes], str] = lambda _: "utf-8-sig"
    """The encoding of a file's text. Raises SyntaxError where it declares one that is not known."""
