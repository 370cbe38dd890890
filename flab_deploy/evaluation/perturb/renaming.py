"""Renaming by tokens: which tokens are a name, and whether it can be renamed everywhere at once."""

from __future__ import annotations

import ast
import keyword
import tokenize
from collections.abc import Iterable, Mapping

from flab_deploy.evaluation.perturb.form import Edit, Form, Token
from flab_deploy.evaluation.source_code import bound_names

_VOWELS = set("aeiouAEIOU")


def uses(tokens: Iterable[Token], name: str) -> list[Token]:
    """NAME tokens that are the variable, not an attribute of something."""
    found, previous = [], ""
    for token in tokens:
        if token.kind == tokenize.NAME and token.text == name and previous != ".":
            found.append(token)
        previous = token.text
    return found


def renamings(tokens: Iterable[Token], names: Mapping[str, str]) -> list[Edit]:
    """Edits that put `names[old]` for each use of `old`."""
    listed = list(tokens)
    return [
        Edit(start=token.start, end=token.end, text=new)
        for old, new in names.items()
        for token in uses(listed, old)
    ]


def bound_elsewhere(tree: ast.Module, name: str) -> bool:
    """Whether the name is also a variable, a parameter, a keyword or an import."""
    if name in bound_names(tree, "assigned", "deleted", "parameter"):
        return True
    for node in ast.walk(tree):
        given = isinstance(node, ast.keyword) and node.arg == name
        imported = isinstance(node, ast.alias) and name in (node.name, node.asname)
        declared = isinstance(node, ast.Global | ast.Nonlocal) and name in node.names
        if given or imported or declared:
            return True
    return False


def renamable(form: Form, name: str) -> bool:
    """Whether every use of a variable or parameter is a token of its own within the entry point.

    Not so for names that are keywords of a call, appear inside f-strings, are declared global,
    imported or caught, or are used outside the function.
    """
    start, nodes = form.offset(form.function.lineno, 0), list(ast.walk(form.tree))
    in_tree = sum(isinstance(n, ast.Name) and n.id == name for n in nodes)
    in_tree += sum(isinstance(n, ast.arg) and n.arg == name for n in nodes)
    in_text = {
        n.id
        for f in nodes
        if isinstance(f, ast.JoinedStr)
        for n in ast.walk(f)
        if isinstance(n, ast.Name)
    }
    tokens = uses(form.tokens, name)
    end = form.span_of(form.function).end
    return (
        name not in in_text
        and len(tokens) == in_tree
        and all(start <= token.start < end for token in tokens)
    )


def parameters_of(function: ast.FunctionDef) -> list[str]:
    """Names of the parameters that can be given by position."""
    return [
        a.arg
        for a in (*function.args.posonlyargs, *function.args.args)
        if a.arg not in ("self", "cls")
    ]


def without_vowels(word: str) -> str:
    """The word as abbreviated by leaving out vowels after its first letter: `result` gives
    `rslt`.
    """
    short = word[:1] + "".join(letter for letter in word[1:] if letter not in _VOWELS)
    return short if len(short) >= 2 and not keyword.iskeyword(short) else word
