"""Where an answer ends: what a model writes after its solution is dropped, functions that the
solution uses are not.

Base models go on after the solution with prints, tests, a main block or the next function. Fixed
stop strings such as a new `def` would also cut helper functions, so the program's tree decides.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from flab_deploy.evaluation.source_code import bound_names, parse_if_python

STOPS = ("\nif __name__", "\nprint(", "\nassert ", "\n```", "\n>>>")
"""Lines that no solution needs; a model is stopped at the first that leaves a whole program before
it.
"""
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def first_stop(prompt: str, text: str, entry_point: str) -> int | None:
    """Where in a completion the first of STOPS stands that the solution is complete before; None if
    nowhere.
    """
    found = sorted({at for stop in STOPS for at in _places(text, stop)})
    return next((at for at in found if _complete(prompt + text[:at] + "\n", entry_point)), None)


def _places(text: str, stop: str) -> Iterator[int]:
    at = text.find(stop)
    while at >= 0:
        yield at
        at = text.find(stop, at + 1)


def _complete(source: str, entry_point: str) -> bool:
    tree = parse_if_python(source)
    return tree is not None and any(_defines(node, entry_point) for node in tree.body)


def trimmed(prompt: str, text: str, entry_point: str) -> str:
    """The completion without what follows the solution and is not used by it.

    Top-level statements after the first whole definition of the entry point stay if they bind or
    change a name that it needs, directly or through another that stays. Unparsable text stays as it
    is.
    """
    cut = first_stop(prompt, text, entry_point)
    text = text if cut is None else text[:cut].rstrip() + "\n"
    tree = parse_if_python(prompt + text)
    if tree is None:
        return text
    solved = next((i for i, node in enumerate(tree.body) if _defines(node, entry_point)), None)
    if solved is None or solved == len(tree.body) - 1:
        return text
    rest = tree.body[solved + 1 :]
    kept = _needed(tree.body[: solved + 1], rest, entry_point)
    lines = (prompt + text).split("\n")
    head = lines[: tree.body[solved].end_lineno]
    if len("\n".join(head)) < len(prompt):  # the prompt itself goes on after the entry point
        return text
    tail = ["\n".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in kept]
    return "\n".join([*head, *tail, ""])[len(prompt) :]


def _first_line(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, _Definition) else []
    return min([node.lineno, *(entry.lineno for entry in decorators)])


def _defines(node: ast.stmt, name: str) -> bool:
    """Whether a statement defines `name` with more than a docstring."""
    if isinstance(node, _Definition):
        return node.name == name and not _hollow(node.body)
    return name in _changed(node)


def _hollow(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(n, ast.Pass) or (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
        for n in body
    )


def _needed(before: list[ast.stmt], rest: list[ast.stmt], entry_point: str) -> list[ast.stmt]:
    """Those of `rest` that the statements before need, in their order."""
    names = {name for node in before for name in _loaded(node)}
    kept: set[int] = set()
    grown = True
    while grown:
        grown = False
        for i, node in enumerate(rest):
            if (
                i not in kept
                and _changed(node) - {entry_point} & names
                or i not in kept
                and _sets_recursion_limit(node)
            ):
                kept.add(i)
                names |= _loaded(node)
                grown = True
    return [node for i, node in enumerate(rest) if i in kept]


def _sets_recursion_limit(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("sys.setrecursionlimit(")


def _loaded(node: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _changed(node: ast.stmt) -> set[str]:
    """Names that a top-level statement binds, or whose value it changes through an attribute, item
    or method.
    """
    if isinstance(node, _Definition):
        return {node.name}
    found = bound_names(node, "assigned", "function", "class", "import")
    for n in ast.walk(node):
        if isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store):
            found |= _root(n)
        elif (
            isinstance(n, ast.Call)
            and isinstance(n.func, ast.Attribute)
            and isinstance(node, ast.Expr)
        ):
            found |= _root(n.func)
    return found


def _root(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
