"""A task taken apart: its tokens, its function, its docstring, and which text nothing may touch."""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from flab_deploy.corpus import Task
from flab_deploy.evaluation.source_code import parse

_FSTRING_START, _FSTRING_END = (
    getattr(tokenize, "FSTRING_START", None),
    getattr(tokenize, "FSTRING_END", None),
)
_WORD = re.compile(r"(?<![\w\\.])[A-Za-z]+(?:['-][A-Za-z]+)*(?![\w(]|\.\w)")
_QUOTED = re.compile(r"```.*?```|``.+?``|`[^`\n]+`|\"[^\"\n]*\"|(?<!\w)'[^'\n]*'(?!\w)", re.DOTALL)
_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d(?:[\w.]*\w)?")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of the source, as character offsets."""

    start: int
    end: int

    def overlaps(self, other: Span) -> bool:
        """Whether the two share a character."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Text to put in place of a span."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token with character offsets."""

    kind: int
    text: str
    start: int
    end: int


class Form:
    """A task's prompt and canonical solution as one parsed source.

    Raises SyntaxError, ValueError or tokenize.TokenError if they are not one Python source that
    defines the entry point; everything about the docstring raises ValueError if it has none
    within the prompt.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.source = task.prompt + task.canonical_solution
        self.split = len(task.prompt)
        self.tree = parse(self.source)
        self.tokens = list(_tokens(self.source))
        named = [
            n
            for n in ast.walk(self.tree)
            if isinstance(n, ast.FunctionDef) and n.name == task.entry_point
        ]
        if not named:
            raise ValueError(f"no function {task.entry_point!r} in the source")
        self.function = named[-1]

    @cached_property
    def docstring(self) -> Token:
        """The docstring with its quotes."""
        first = self.function.body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            start = self.offset(first.lineno, first.col_offset)
            for token in self.tokens:
                if (
                    token.kind == tokenize.STRING
                    and token.start == start
                    and token.end <= self.split
                ):
                    return token
        raise ValueError(f"{self.task.entry_point!r} has no docstring within the prompt")

    @cached_property
    def has_docstring(self) -> bool:
        """Whether the function has a docstring within the prompt."""
        try:
            return bool(self.docstring.text)
        except ValueError:
            return False

    def offset(self, line: int, column_bytes: int) -> int:
        """Character offset of an `ast` position."""
        text = self._lines[line - 1]
        return self._starts[line - 1] + len(text.encode()[:column_bytes].decode())

    @cached_property
    def _lines(self) -> list[str]:
        return self.source.split("\n")

    @cached_property
    def _starts(self) -> list[int]:
        return line_starts(self.source)

    @property
    def quotes(self) -> str:
        """The quotes that delimit the docstring, without its prefix."""
        found = re.match(r"[A-Za-z]*('''|\"\"\"|'|\")", self.docstring.text)
        assert found is not None
        return found[1]

    @property
    def inner(self) -> Span:
        """The docstring's text between its quotes."""
        opening = self.docstring.text.index(self.quotes) + len(self.quotes)
        return Span(start=self.docstring.start + opening, end=self.docstring.end - len(self.quotes))

    @property
    def indentation(self) -> str:
        """White space before the docstring on its line."""
        start = self.source.rfind("\n", 0, self.docstring.start) + 1
        return self.source[start : self.docstring.start]

    @cached_property
    def prose(self) -> list[Span]:
        """Lines of the docstring that are neither blank nor part of a doctest."""
        return [span for span, doctest in self._doc_lines if not doctest]

    @cached_property
    def doctests(self) -> list[Span]:
        """Lines of the docstring that belong to doctests."""
        return [span for span, doctest in self._doc_lines if doctest]

    @cached_property
    def _doc_lines(self) -> list[tuple[Span, bool]]:
        found, at, inside = [], self.inner.start, False
        for line in self.source[self.inner.start : self.inner.end].split("\n"):
            inside = bool(line.strip()) and (inside or line.lstrip().startswith(">>>"))
            if line.strip():
                found.append((Span(start=at, end=at + len(line)), inside))
            at += len(line) + 1
        return found

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Names that the prompt's code uses."""
        named = [t.text for t in self.tokens if t.kind == tokenize.NAME and t.start < self.split]
        return frozenset(name for name in named if not keyword.iskeyword(name))

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name in the prompt, the solution and the tests."""
        tests = {t.text for t in _tokens(self.task.test) if t.kind == tokenize.NAME}
        return frozenset({t.text for t in self.tokens if t.kind == tokenize.NAME} | tests)

    @cached_property
    def protected(self) -> list[Span]:
        """Quoted text and numbers in the prose, in order."""
        return [
            Span(start=line.start + found.start(), end=line.start + found.end())
            for line in self.prose
            for pattern in (_QUOTED, _NUMBER)
            for found in pattern.finditer(self.source[line.start : line.end])
        ]

    @cached_property
    def words(self) -> list[Span]:
        """Words of the prose that may change: no identifiers, keywords, acronyms, or words within
        protected text.
        """
        return [word for line in self.prose for word in self._words_of(line)]

    def _words_of(self, line: Span) -> Iterator[Span]:
        for found in _WORD.finditer(self.source[line.start : line.end]):
            span, text = (
                Span(start=line.start + found.start(), end=line.start + found.end()),
                found[0],
            )
            plain = text.islower() or text.istitle() or len(text) == 1
            reserved = keyword.iskeyword(text) and text != "return"
            known = (
                text in self.identifiers
                or reserved
                or text in ("int", "str", "bool", "dict", "len")
            )
            if plain and not known and not any(span.overlaps(other) for other in self.protected):
                yield span

    def span_of(self, node: ast.stmt | ast.expr) -> Span:
        """Where a node of the tree stands in the source."""
        last, end = node.end_lineno or node.lineno, node.end_col_offset or 0
        return Span(start=self.offset(node.lineno, node.col_offset), end=self.offset(last, end))

    def shown(self, node: ast.stmt | ast.expr) -> bool:
        """Whether a node lies within the prompt."""
        return self.span_of(node).end <= self.split

    def code_of(self, node: ast.stmt | ast.expr) -> str:
        """A node as it is written."""
        return self.text(self.span_of(node))

    def indentation_of(self, node: ast.stmt) -> str:
        """White space before a statement; None of it if something else stands before it on its
        line.
        """
        start = self._starts[node.lineno - 1]
        return self.source[start : self.offset(node.lineno, node.col_offset)]

    def text(self, span: Span) -> str:
        """The source's text in a span."""
        return self.source[span.start : span.end]

    def kept_text(self) -> tuple[list[str], list[str]]:
        """Text that perturbations of the wording must leave alone: doctest lines, and protected
        text in order.
        """
        return [self.text(s) for s in self.doctests], [self.text(s) for s in self.protected]


def line_starts(source: str) -> list[int]:
    """Character offset of the start of each line."""
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _tokens(source: str) -> Iterator[Token]:
    starts = line_starts(source)
    opened: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (first, left), (last, right) = token.start, token.end
        start, end = starts[first - 1] + left, starts[last - 1] + right
        # From Python 3.12 on, an f-string is many tokens; here it is one everywhere.
        if token.type == _FSTRING_START:
            opened.append(start)
        elif token.type == _FSTRING_END:
            outer = opened.pop()
            if not opened:
                yield Token(kind=tokenize.STRING, text=source[outer:end], start=outer, end=end)
        elif not opened:
            yield Token(kind=token.type, text=token.string, start=start, end=end)


def code_tokens(source: str) -> list[Token]:
    """Tokens of any Python source with character offsets."""
    return list(_tokens(source))


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with non-overlapping edits made."""
    parts, at = [], 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if edit.start < at:
            raise ValueError("edits overlap")
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def edited(form: Form, edits: Iterable[Edit]) -> Task:
    """The task with edits made to its prompt and solution. Raises ValueError if an edit spans
    both.
    """
    split = form.split
    listed = list(edits)
    before = [e for e in listed if e.end <= split]
    after = [
        Edit(start=e.start - split, end=e.end - split, text=e.text)
        for e in listed
        if e.start >= split and e.end > split
    ]
    if len(before) + len(after) != len(listed):
        raise ValueError("an edit spans the end of the prompt")
    return replace(
        form.task,
        prompt=apply_edits(form.task.prompt, before),
        canonical_solution=apply_edits(form.task.canonical_solution, after),
    )


def usable_name(name: str, form: Form) -> bool:
    """Whether `name` is a valid identifier that nothing else uses."""
    reserved = keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name)
    return name.isidentifier() and not reserved and name not in form.names
