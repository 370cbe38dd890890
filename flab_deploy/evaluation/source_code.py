"""Python source as text and tree: parsed in one place, its names, its characters that count."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import Literal, TypeAlias

Binding: TypeAlias = Literal[
    "assigned", "deleted", "parameter", "function", "class", "import", "exception"
]
"""How a name can come to stand for something, or cease to."""


def parse(source: str) -> ast.Module:
    """The syntax tree; nothing is executed, and warnings about odd literals are of no interest.

    Raises SyntaxError or ValueError for what is not Python, RecursionError or MemoryError for what
    is nested too deep.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def parse_if_python(source: str) -> ast.Module | None:
    """The syntax tree, or None if the source is not Python as far as the parser can tell."""
    try:
        return parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def bound_names(tree: ast.AST, *ways: Binding) -> set[str]:
    """Names that the tree binds in one of these ways, anywhere in it; in any way if none is given.

    An import binds the first part of its name, or its alias.
    """
    return {name for way, name in _bindings(tree) if not ways or way in ways}


def _bindings(tree: ast.AST) -> Iterator[tuple[Binding, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield "deleted" if isinstance(node.ctx, ast.Del) else "assigned", node.id
        elif isinstance(node, ast.arg):
            yield "parameter", node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.name
        elif isinstance(node, ast.ClassDef):
            yield "class", node.name
        elif isinstance(node, ast.alias):
            yield "import", (node.asname or node.name).split(".")[0]
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield "exception", node.name


def squashed(text: str) -> str:
    """The text without white space and comment signs."""
    return "".join(text.replace("#", "").split())
