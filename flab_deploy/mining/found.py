"""What a language finds in a file, and what it must be able to do to be one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flab_deploy.corpus import Instruction
from flab_deploy.settings.corpus import MinedKind


class UnreadableSource(Exception):
    """A file that is not text in the encoding it declares."""


class BrokenSource(Exception):
    """A file that its language's grammar refuses."""


@dataclass(frozen=True, kw_only=True)
class Mined(Instruction):
    """An instruction and where it comes from."""

    source: str
    """`file:line`, the file relative to its tree."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
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

    name: str
    suffixes: tuple[str, ...]
    """Ends of its files' names, with the dot."""
    keywords: frozenset[str]
    """Words that are no names."""
    comment: str
    """What a comment up to the end of its line begins with."""
    text_of: Callable[[bytes], str]
    """A file's text with `\\n` at the ends of lines. Raises UnreadableSource."""
    candidates: Callable[[str], Iterator[Candidate]]
    """The functions of a file's text. Raises BrokenSource."""
