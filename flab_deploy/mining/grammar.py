"""Functions found by a tree-sitter grammar, for languages with braces.

The comment right before a function is its description; prompt and completion part after the brace
that opens the body. As in Python, a method is given below the line of its class, and what is
defined inside a function is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from flab_deploy.mining.found import BrokenSource, FoundFunction, Language, MissingGrammar
from flab_deploy.settings.corpus import MinedKind

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_COMMENT = re.compile(r"/\*(?s:.*?)\*/|//[^\n]*")


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """What a language's grammar calls the things that matter here."""

    package: str
    """Package of the grammar."""
    functions: frozenset[str]
    """Nodes with a `body` in braces, methods included."""
    methods: frozenset[str] = frozenset()
    """Those of them that are methods although they stand outside a class."""
    classes: frozenset[str] = frozenset()
    """Nodes with a `body` that holds methods."""
    wrappers: frozenset[str] = frozenset()
    """Nodes that a function stands in without being inside anything."""
    test: str
    """Pattern that the header of a test matches."""


def language_of(
    grammar: Grammar, *, title: str, suffixes: tuple[str, ...], keywords: str
) -> Language:
    """The language with this grammar; keywords with blanks between them."""
    return Language(
        title=title,
        suffixes=suffixes,
        keywords=frozenset(keywords.split()),
        comment="//",
        candidates=lambda text: _candidates(grammar, text),
    )


@cache
def _parser(package: str) -> Parser:
    try:
        tree_sitter = import_module("tree_sitter")
        language = tree_sitter.Language(import_module(package).language())
    except ImportError:
        raise MissingGrammar from None
    parser: Parser = tree_sitter.Parser(language)
    return parser


def _candidates(grammar: Grammar, text: str) -> Iterator[FoundFunction]:
    source = text.encode()
    root = _parser(grammar.package).parse(source).root_node
    if root.has_error:
        raise BrokenSource
    yield from _Finder(grammar, source).within(root, ())


@dataclass(frozen=True)
class _Finder:
    grammar: Grammar
    source: bytes

    def within(self, node: Node, classes: tuple[str, ...]) -> Iterator[FoundFunction]:
        """The functions directly in a file or in the body of a class."""
        for outer in node.named_children:
            inner = self._unwrapped(outer)
            body = inner.child_by_field_name("body")
            if body is None or not self._text(body.start_byte, body.end_byte).startswith("{"):
                continue
            if inner.type in self.grammar.classes:
                header = self._text(self._line_start(outer), body.start_byte + 1)
                yield from self.within(body, (*classes, header))
            elif inner.type in self.grammar.functions:
                yield from self._candidate(outer, inner, body, classes)

    def _unwrapped(self, node: Node) -> Node:
        while node.type in self.grammar.wrappers:
            inside = (node.child_by_field_name(name) for name in ("declaration", "value"))
            following = next(filter(None, inside), None) or node.named_children[-1]
            node = following
        return node

    def _candidate(
        self, outer: Node, inner: Node, body: Node, classes: Sequence[str]
    ) -> Iterator[FoundFunction]:
        start, opened = self._line_start(outer), body.start_byte + 1
        described = self._described(outer)
        header, rest = self._text(start, opened), self._text(opened, outer.end_byte)
        if described < start:
            is_method = bool(classes) or inner.type in self.grammar.methods
            kind: MinedKind = "method" if is_method else "function"
        elif re.search(self.grammar.test, header):
            kind = "test"
        else:
            return
        inside = _COMMENT.sub("", self._text(opened, body.end_byte - 1))
        yield FoundFunction(
            kind=kind,
            line=self.source.count(b"\n", 0, described) + 1,
            prompt="\n".join([*classes, self._text(described, opened)]),
            completion=rest + "\n",
            body_lines=sum(bool(line.strip()) for line in inside.split("\n")),
            code=header + rest,
        )

    def _described(self, node: Node) -> int:
        """Where the comment right before a node starts; where the node does, without one."""
        start, row = self._line_start(node), node.start_point.row
        before = node.prev_named_sibling
        while before is not None and before.type in _COMMENTS:
            alone = not self.source[self._line_start(before) : before.start_byte].strip()
            if before.end_point.row != row - 1 or not alone:
                break
            start, row = self._line_start(before), before.start_point.row
            before = before.prev_named_sibling
        return start

    def _line_start(self, node: Node) -> int:
        return self.source.rfind(b"\n", 0, node.start_byte) + 1

    def _text(self, start: int, end: int) -> str:
        return self.source[start:end].decode()
