"""What a test takes from the prompt: found in the prompt's text, so that no program has a say in
it.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator


def names_in(code: types.CodeType) -> Iterator[str]:
    """Every global, attribute and module name that the code mentions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def _parsed(text: str) -> ast.Module | None:
    for tail in ("", "\n    pass\n", "\n        pass\n"):
        try:
            return ast.parse(text + tail)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _complete_part(prompt: str) -> ast.Module:
    """The longest beginning of a prompt, in whole lines, that is Python; a prompt may stop in the
    middle.
    """
    lines = prompt.splitlines()
    for end in range(len(lines), 0, -1):
        tree = _parsed("\n".join(lines[:end]))
        if tree is not None:
            return tree
    return ast.Module(body=[], type_ignores=[])


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement at the top of a module gives a meaning to."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return {
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def needed_prelude(prompt: str, names: frozenset[str]) -> str:
    """The prompt's definitions if `names` mentions one of them, else nothing, so that most tests
    start sooner.
    """
    if not any(name in prompt for name in names):
        return ""
    body = _complete_part(prompt).body
    bound = set().union(*map(_bound, body)) if body else set()
    wanted = bound & names or (bound if "*" in bound else set())
    return ast.unparse(ast.Module(body=body, type_ignores=[])) if wanted else ""
