"""Checking, without running anything, that a perturbed task still asks for the same function."""

from __future__ import annotations

import ast
import tokenize
from typing import Literal

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import Form, parse

Promise = Literal["same_code", "same_tree", "same_up_to_names", "same_up_to_annotations"]


def keeps_promise(promise: Promise, form: Form, made: Task) -> bool:
    """Whether the perturbed task parses and differs from the original only in what its method may change."""
    try:
        if promise == "same_code":
            return _same_code(form, Form(made))
        if promise == "same_up_to_names":
            return _same_up_to_names(form, made)
        drop = promise == "same_up_to_annotations"
        return _skeleton(form.source, drop) == _skeleton(made.prompt + made.canonical_solution, drop)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return False


def _same_code(before: Form, after: Form) -> bool:
    """Everything outside the docstring is identical, and within it names, numbers, quotes and doctests are."""
    tail_before, tail_after = before.source[before.inner.end :], after.source[after.inner.end :]
    head_before, head_after = before.source[: before.inner.start], after.source[: after.inner.start]
    same_tests = before.task.test == after.task.test
    return same_tests and (head_before, tail_before, before.kept_text()) == (head_after, tail_after, after.kept_text())


def _same_up_to_names(form: Form, made: Task) -> bool:
    """One name at most became another one, everywhere in the code and nowhere else."""
    source = made.prompt + made.canonical_solution
    before, after = _names(parse(form.source)), _names(parse(source))
    gone, new = sorted(before - after), sorted(after - before)
    if len(gone) > 1 or len(gone) != len(new):
        return False
    back = dict(zip(new, gone, strict=True))
    renamed_entry = back.get(made.entry_point, made.entry_point) == form.task.entry_point
    return renamed_entry and _skeleton(form.source) == _skeleton(source, back=back)


def _names(tree: ast.Module) -> set[str]:
    found = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    found |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return found | {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def _skeleton(source: str, drop_annotations: bool = False, back: dict[str, str] | None = None) -> str:
    """The source's tree without docstrings, optionally without annotations, names mapped through `back`."""
    names = back or {}
    tree = parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            _strip_docstring(node)
            node.name = names.get(node.name, node.name)
            node.returns = None if drop_annotations else node.returns
        elif isinstance(node, ast.arg):
            node.arg = names.get(node.arg, node.arg)
            node.annotation = None if drop_annotations else node.annotation
        elif isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.dump(tree)


def _strip_docstring(function: ast.FunctionDef) -> None:
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        function.body = function.body[1:] or [ast.Pass()]
