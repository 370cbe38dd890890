"""Perturbations of names and annotations: the function's name, its parameters, its type hints.

Renames go by tokens, never by text search, and reach the tests as well.
"""

from __future__ import annotations

import ast
import re
import tokenize
from dataclasses import replace
from random import Random

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import (
    Edit,
    Form,
    Span,
    Token,
    apply_edits,
    code_tokens,
    edited,
    parse,
    usable_name,
)
from flab_deploy.evaluation.perturb.language import neighbour

_AFFIXES = ("my_{}", "{}_impl", "do_{}", "{}_fn")
_PARAMETERS = ("arg", "values", "inputs", "sequence", "collection", "param", "given", "content")
_REFERENCE = r"(?P<before>\b(?:in|from|given|take|using|over)\s+){}(?!\w)"


def camel_case(form: Form, rng: Random) -> Task | None:
    """The function's snake_case name in camelCase."""
    first, *rest = [part for part in form.task.entry_point.split("_") if part] or [""]
    return rename_function(form, first + "".join(part[:1].upper() + part[1:] for part in rest)) if rest else None


def affix(form: Form, rng: Random) -> Task | None:
    """The function's name with a prefix or suffix that says nothing."""
    return rename_function(form, rng.choice(_AFFIXES).format(form.task.entry_point))


def name_butter_finger(form: Form, rng: Random) -> Task | None:
    """One inner letter of the function's name replaced by its keyboard neighbour."""
    name = form.task.entry_point
    places = [at for found in re.finditer(r"[A-Za-z]{4,}", name) for at in range(found.start() + 1, found.end() - 1)]
    if not places:
        return None
    at = rng.choice(places)
    return rename_function(form, name[:at] + neighbour(rng, name[at]) + name[at + 1 :])


def rename_function(form: Form, new: str) -> Task | None:
    """The task with its entry point called `new` in code, docstring, doctests and tests; None if that is not safe."""
    old = form.task.entry_point
    if not usable_name(new, form) or _bound_elsewhere(form.tree, old) or _bound_elsewhere(parse(form.task.test), old):
        return None
    edits = [_renaming(t, new) for t in _uses(form.tokens, old)]
    edits += [Edit(start=s.start, end=s.end, text=new) for s in _mentions(form, old)]
    test = apply_edits(form.task.test, [_renaming(t, new) for t in _uses(code_tokens(form.task.test), old)])
    return replace(edited(form, edits), test=test, entry_point=new)


def _renaming(token: Token, new: str) -> Edit:
    return Edit(start=token.start, end=token.end, text=new)


def _uses(tokens: list[Token], name: str) -> list[Token]:
    """NAME tokens that are the variable, not an attribute of something."""
    previous = [None, *tokens]
    return [
        t
        for t, before in zip(tokens, previous, strict=False)
        if t.kind == tokenize.NAME and t.text == name and not (before is not None and before.text == ".")
    ]


def _bound_elsewhere(tree: ast.Module, name: str) -> bool:
    """Whether the name is also a variable, a parameter, a keyword or an import."""
    for node in ast.walk(tree):
        stored = isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
        other = isinstance(node, ast.arg | ast.keyword) and node.arg == name
        imported = isinstance(node, ast.alias) and name in (node.name, node.asname)
        declared = isinstance(node, ast.Global | ast.Nonlocal) and name in node.names
        if stored or other or imported or declared:
            return True
    return False


def _mentions(form: Form, name: str) -> list[Span]:
    """Where the docstring means the function: in doctests, before `(`, in backquotes, or if it is no English word."""
    found = []
    pattern = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    for line in form.doctests + form.prose:
        for match in pattern.finditer(form.text(line)):
            span = Span(start=line.start + match.start(), end=line.start + match.end())
            marked = form.source[span.end] == "(" or form.source[span.start - 1] == "`"
            if line in form.doctests or marked or "_" in name:
                found.append(span)
    return found


def parameter_rename(form: Form, rng: Random) -> Task | None:
    """The first parameter under another name, in code and wherever the description clearly means it."""
    parameters = [a.arg for a in (*form.function.args.posonlyargs, *form.function.args.args) if a.arg != "self"]
    prose = " ".join(form.text(line) for line in form.prose)
    free = [name for name in _PARAMETERS if usable_name(name, form) and not re.search(rf"\b{name}\b", prose, re.I)]
    if not parameters or not free:
        return None
    old, new = parameters[0], rng.choice(free)
    uses = _uses(form.tokens, old)
    start, end = form.offset(form.function.lineno, 0), len(form.source)
    outside = [t for t in uses if not start <= t.start < end]
    keywords = [n for tree in (form.tree, parse(form.task.test)) for n in ast.walk(tree) if isinstance(n, ast.keyword)]
    if outside or any(n.arg == old for n in keywords) or _in_annotations(form.function, old):
        return None
    edits = [_renaming(t, new) for t in uses]
    return edited(form, [*edits, *(Edit(start=s.start, end=s.end, text=new) for s in _references(form, old))])


def _in_annotations(function: ast.FunctionDef, name: str) -> bool:
    arguments = [n for n in ast.walk(function.args) if isinstance(n, ast.arg)]
    notes = [
        n for n in (*(a.annotation for a in arguments), *function.args.defaults, function.returns) if n is not None
    ]
    return any(isinstance(n, ast.Name) and n.id == name for note in notes for n in ast.walk(note))


def _references(form: Form, name: str) -> list[Span]:
    """Mentions after words such as "in" or "given", or in backquotes; the same word as a plain noun stays."""
    patterns = (re.compile(_REFERENCE.format(re.escape(name)), re.I), re.compile(rf"`(?P<before>){re.escape(name)}`"))
    found = []
    for line in form.prose:
        for pattern in patterns:
            for match in pattern.finditer(form.text(line)):
                at = line.start + match.end("before")
                if form.source[at : at + len(name)] == name:
                    found.append(Span(start=at, end=at + len(name)))
    return found


def type_hints(form: Form, rng: Random) -> Task | None:
    """The function's annotations removed, or `object` as annotation of each parameter where there are none."""
    arguments = [n for n in ast.walk(form.function.args) if isinstance(n, ast.arg)]
    annotated = [a for a in arguments if a.annotation is not None]
    if not annotated and form.function.returns is None:
        ends = [form.offset(a.end_lineno or a.lineno, a.end_col_offset or 0) for a in arguments if a.arg != "self"]
        return edited(form, [Edit(start=at, end=at, text=": object") for at in ends]) if ends else None
    edits = []
    for argument in annotated:
        assert argument.end_lineno is not None and argument.end_col_offset is not None
        name_end = form.offset(argument.lineno, argument.col_offset) + len(argument.arg)
        edits.append(Edit(start=name_end, end=form.offset(argument.end_lineno, argument.end_col_offset), text=""))
    returns = form.function.returns
    if returns is not None and returns.end_lineno is not None and returns.end_col_offset is not None:
        arrow = max(
            t.start for t in form.tokens if t.text == "->" and t.start < form.offset(returns.lineno, returns.col_offset)
        )
        start = len(form.source[:arrow].rstrip())
        edits.append(Edit(start=start, end=form.offset(returns.end_lineno, returns.end_col_offset), text=""))
    return edited(form, edits)
