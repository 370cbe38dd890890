"""Perturbations of variables and parameters: other names for them, everywhere in the function at
once.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Callable
from functools import partial, wraps
from random import Random

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import Edit, Form, Span, edited, usable_name
from flab_deploy.evaluation.perturb.registry import CODE, perturbation
from flab_deploy.evaluation.perturb.renaming import (
    parameters_of,
    renamable,
    renamings,
    uses,
    without_vowels,
)
from flab_deploy.evaluation.source_code import bound_names, parse

_PARAMETERS = ("arg", "values", "inputs", "sequence", "collection", "param", "given", "content")
_GENERIC = (
    "tmp",
    "data",
    "res",
    "obj",
    "val",
    "item",
    "foo",
    "aux",
    "temp",
    "thing",
    "bar",
    "var",
    "elem",
    "cur",
)
_AFFIXES = ("my_{}", "{}_value", "the_{}", "{}_1")
_REFERENCE = r"(?P<before>\b(?:in|from|given|take|using|over)\s+){}(?!\w)"

NewName = Callable[[str, int, Random], str]
"""What to call a variable: from its name, its number among the function's variables, and a random
source.
"""
_in_code = partial(
    perturbation, family="variable", promise="same_up_to_names", kinds=CODE, shape="prefix"
)


def _renaming(new_name: NewName) -> Callable[[Form, Random], Task | None]:
    """The rewrite that gives all variables shown in the prompt the names that `new_name` makes."""

    @wraps(new_name)
    def rewrite(form: Form, rng: Random) -> Task | None:
        names: dict[str, str] = {}
        for number, old in enumerate(local_variables(form)):
            new = new_name(old, number, rng)
            if usable_name(new, form) and new not in names.values():
                names[old] = new
        return edited(form, renamings(form.tokens, names)) if names else None

    return rewrite


@_in_code(published="VarRenamerNaive")
@_renaming
def var_renamer_naive(name: str, number: int, rng: Random) -> str:
    """`VAR_0`, `VAR_1` and so on."""
    return f"VAR_{number}"


@_in_code(published="VarRenamerRN")
@_renaming
def var_renamer_rn(name: str, number: int, rng: Random) -> str:
    """Random letters and digits."""
    return rng.choice(string.ascii_letters) + "".join(
        rng.choices(string.ascii_letters + string.digits, k=5)
    )


@_in_code()
@_renaming
def var_renamer_generic(name: str, number: int, rng: Random) -> str:
    """A name that fits anything, such as `tmp`."""
    return rng.choice(_GENERIC)


@_in_code()
@_renaming
def var_renamer_abbreviation(name: str, number: int, rng: Random) -> str:
    """Without vowels: `rslt` for `result`."""
    return without_vowels(name)


@_in_code()
@_renaming
def var_renamer_affix(name: str, number: int, rng: Random) -> str:
    """With a prefix or suffix that says nothing: `my_result`."""
    return rng.choice(_AFFIXES).format(name)


def local_variables(form: Form) -> list[str]:
    """Variables of the entry point that the prompt shows and that can be renamed, in order of
    appearance.
    """
    stored = bound_names(form.function, "assigned") - bound_names(form.function, "parameter")
    first = {name: uses(form.tokens, name) for name in stored}
    shown = [name for name, tokens in first.items() if tokens and tokens[0].start < form.split]
    return sorted((n for n in shown if renamable(form, n)), key=lambda n: first[n][0].start)


def _safe_parameter(form: Form, name: str) -> bool:
    """Whether nothing gives the parameter by keyword and nothing but the function uses the name."""
    trees = (form.tree, parse(form.task.test))
    keywords = {n.arg for tree in trees for n in ast.walk(tree) if isinstance(n, ast.keyword)}
    return (
        name not in keywords and renamable(form, name) and not _in_annotations(form.function, name)
    )


@perturbation(family="variable", promise="same_up_to_names")
def parameter_rename(form: Form, rng: Random) -> Task | None:
    """The first parameter under another name, in code and wherever the description clearly means
    it.
    """
    parameters = parameters_of(form.function)
    prose = " ".join(form.text(line) for line in form.prose) if form.has_docstring else ""
    free = [
        name
        for name in _PARAMETERS
        if usable_name(name, form) and not re.search(rf"\b{name}\b", prose, re.I)
    ]
    if not parameters or not free or not _safe_parameter(form, parameters[0]):
        return None
    old, new = parameters[0], rng.choice(free)
    mentions = _references(form, old) if form.has_docstring else []
    edits = renamings(form.tokens, {old: new})
    return edited(form, [*edits, *(Edit(start=s.start, end=s.end, text=new) for s in mentions)])


@_in_code(probe=True)
def variable_name_swap(form: Form, rng: Random) -> Task | None:
    """Two variables, or a variable and a parameter, called by each other's name."""
    names = local_variables(form)
    given = [name for name in parameters_of(form.function) if _safe_parameter(form, name)]
    pairs = [(a, b) for at, a in enumerate(names) for b in names[at + 1 :] + given]
    if not pairs:
        return None
    left, right = rng.choice(pairs)
    return edited(form, renamings(form.tokens, {left: right, right: left}))


def _in_annotations(function: ast.FunctionDef, name: str) -> bool:
    arguments = [n for n in ast.walk(function.args) if isinstance(n, ast.arg)]
    notes = [
        n
        for n in (*(a.annotation for a in arguments), *function.args.defaults, function.returns)
        if n is not None
    ]
    return any(isinstance(n, ast.Name) and n.id == name for note in notes for n in ast.walk(note))


def _references(form: Form, name: str) -> list[Span]:
    """Mentions after words such as "in" or "given", or in backquotes; the same word as a plain noun
    stays.
    """
    patterns = (
        re.compile(_REFERENCE.format(re.escape(name)), re.I),
        re.compile(rf"`(?P<before>){re.escape(name)}`"),
    )
    found = []
    for line in form.prose:
        for pattern in patterns:
            for match in pattern.finditer(form.text(line)):
                at = line.start + match.end("before")
                if form.source[at : at + len(name)] == name:
                    found.append(Span(start=at, end=at + len(name)))
    return found
