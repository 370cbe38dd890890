"""Python: functions and methods with a docstring, and tests without one, found by `ast`.

A method is given below the line of its class, indented as it stands, so that prompt and completion
together are Python as it was written. What is defined inside a function or under a condition is
passed over: out of its place it would not be what it is.
"""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
import warnings
from collections.abc import Iterator, Sequence

from flab_deploy.mining.found import BrokenSource, FoundFunction, Language
from flab_deploy.settings.corpus import MinedKind

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _encoding_of(source: bytes) -> str:
    return tokenize.detect_encoding(io.BytesIO(source).readline)[0]


def _candidates(text: str) -> Iterator[FoundFunction]:
    try:
        with warnings.catch_warnings(action="ignore"):  # odd escapes are their author's affair
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BrokenSource from None
    lines = text.split("\n")
    for function, classes in _functions(tree.body, ()):
        found = _candidate(lines, function, classes)
        if found is not None:
            yield found


def _functions(
    body: Sequence[ast.stmt], classes: tuple[ast.ClassDef, ...]
) -> Iterator[tuple[_Function, tuple[ast.ClassDef, ...]]]:
    for node in body:
        if isinstance(node, _Function):
            yield node, classes
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, (*classes, node))


def _candidate(
    lines: Sequence[str], node: _Function, classes: Sequence[ast.ClassDef]
) -> FoundFunction | None:
    """The function as prompt and completion; None if it neither says what it does nor is a test."""
    first = _first_line(node)
    description = _docstring(node)
    if description is not None:
        kind: MinedKind = "method" if classes else "function"
        body, last = node.body[1:], description.end_lineno or description.lineno
    elif node.name.startswith("test_"):
        kind, body, last = "test", node.body, _header_end(lines, node)
    else:
        return None
    header = [line for outer in classes for line in _header(lines, outer)]
    rest = lines[last : node.end_lineno]
    beside = bool(body) and _first_line(body[0]) <= last
    code_start = _header_end(lines, node) if description is not None else last
    code = [*lines[first - 1 : code_start], *rest]
    return FoundFunction(
        kind=kind,
        line=first,
        prompt="\n".join([*header, *lines[first - 1 : last]]).rstrip(),
        completion="" if beside else "\n" + "\n".join(rest) + "\n",
        body_lines=0 if all(map(_does_nothing, body)) else sum(map(_is_code, rest)),
        code="\n".join(code),
    )


def _first_line(node: ast.stmt) -> int:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return node.lineno


def _docstring(node: _Function | ast.ClassDef) -> ast.stmt | None:
    first = node.body[0]
    holds_text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
        and first.value.value.strip()
    )
    return first if holds_text else None


def _header(lines: Sequence[str], node: ast.ClassDef) -> Sequence[str]:
    return lines[node.lineno - 1 : _header_end(lines, node)]


def _header_end(lines: Sequence[str], node: _Function | ast.ClassDef) -> int:
    """The last line of `def` or `class`, from 1; comments between it and the body are the body's.

    That of the body if both stand on one line.
    """
    last = _first_line(node.body[0]) - 1
    while last > node.lineno and not _is_code(lines[last - 1]):
        last -= 1
    return max(last, node.lineno)


def _is_code(line: str) -> bool:
    text = line.strip()
    return bool(text) and not text.startswith("#")


def _does_nothing(node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name))):
            return name == "NotImplementedError"
    return False


LANGUAGE = Language(
    title="Python",
    suffixes=(".py",),
    keywords=frozenset(keyword.kwlist),
    comment="#",
    candidates=_candidates,
    encoding_of=_encoding_of,
)
