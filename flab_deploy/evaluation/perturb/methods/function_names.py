"""Perturbations of the function's name: in code, docstring, doctests and tests at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from random import Random

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import (
    Edit,
    Form,
    Span,
    apply_edits,
    code_tokens,
    edited,
    usable_name,
)
from flab_deploy.evaluation.perturb.methods.characters import neighbour
from flab_deploy.evaluation.perturb.registry import perturbation
from flab_deploy.evaluation.perturb.renaming import bound_elsewhere, renamings, without_vowels
from flab_deploy.evaluation.perturb.words import INFLECTIONS, NAME_SYNONYMS
from flab_deploy.evaluation.source_code import parse

_AFFIXES = ("my_{}", "{}_impl", "do_{}", "{}_fn")
_NEUTRAL = ("f", "g", "solution", "fn", "run", "target_function")
_MISLEADING = (
    "parse_date",
    "open_connection",
    "load_settings",
    "print_report",
    "send_email",
    "rotate_image",
)
_LONG_RUN = re.compile(r"[A-Za-z]{4,}")

_new_name = partial(perturbation, family="function_name", promise="same_up_to_names")


def _renaming(new_name: Callable[[str, Random], str]) -> Callable[[Form, Random], Task | None]:
    """The rewrite that calls the function what `new_name` makes of its name."""

    @wraps(new_name)
    def rewrite(form: Form, rng: Random) -> Task | None:
        return rename_function(form, new_name(form.task.entry_point, rng))

    return rewrite


@_new_name(published="FuncRenameCamelCase")
@_renaming
def func_rename_camel_case(name: str, rng: Random) -> str:
    """`snake_case` as `camelCase`."""
    first, *rest = [part for part in name.split("_") if part] or [name]
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


@_new_name(published="FuncRenameButterFinger")
@_renaming
def func_rename_butter_finger(name: str, rng: Random) -> str:
    """One inner letter replaced by its keyboard neighbour."""
    places = [
        at for run in _LONG_RUN.finditer(name) for at in range(run.start() + 1, run.end() - 1)
    ]
    if not places:
        return name
    at = rng.choice(places)
    return name[:at] + neighbour(rng, name[at]) + name[at + 1 :]


@_new_name(published="FuncRenameSwapChar")
@_renaming
def func_rename_swap_char(name: str, rng: Random) -> str:
    """Two inner letters exchanged."""
    runs = _LONG_RUN.finditer(name)
    places = [
        at
        for run in runs
        for at in range(run.start() + 1, run.end() - 2)
        if name[at] != name[at + 1]
    ]
    if not places:
        return name
    at = rng.choice(places)
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


@_new_name(published="FuncRenameChangeChar")
@_renaming
def func_rename_change_char(name: str, rng: Random) -> str:
    """35 % of the letters in upper case, at least one."""
    places = [at for at, letter in enumerate(name) if letter.islower()]
    chosen = (
        {at for at in places if rng.random() < 0.35} or {rng.choice(places)} if places else set()
    )
    return "".join(letter.upper() if at in chosen else letter for at, letter in enumerate(name))


def _part_replaced(name: str, rng: Random, table: Mapping[str, Sequence[str]]) -> str:
    parts = name.split("_")
    places = [at for at, part in enumerate(parts) if part in table]
    if places:
        at = rng.choice(places)
        parts[at] = rng.choice(table[parts[at]])
    return "_".join(parts)


@_new_name(published="FuncRenameInflectionalVariation")
@_renaming
def func_rename_inflectional_variation(name: str, rng: Random) -> str:
    """One word of the name in another form: `count_vowel` for `count_vowels`."""
    return _part_replaced(name, rng, INFLECTIONS)


@_new_name(published="FuncRenameSynonymSub")
@_renaming
def func_rename_synonym_sub(name: str, rng: Random) -> str:
    """One word of the name replaced by a synonym."""
    return _part_replaced(name, rng, {word: (other,) for word, other in NAME_SYNONYMS.items()})


@_new_name()
@_renaming
def func_rename_abbreviation(name: str, rng: Random) -> str:
    """The name's words without their vowels: `cnt_vwls`."""
    return "_".join(without_vowels(part) for part in name.split("_"))


@_new_name()
@_renaming
def func_rename_affix(name: str, rng: Random) -> str:
    """The name with a prefix or suffix that says nothing."""
    return rng.choice(_AFFIXES).format(name)


@_new_name(probe=True)
@_renaming
def func_rename_neutral(name: str, rng: Random) -> str:
    """A name that says nothing."""
    return rng.choice(_NEUTRAL)


@_new_name(probe=True)
@_renaming
def func_rename_misleading(name: str, rng: Random) -> str:
    """A name that says something else."""
    return rng.choice(_MISLEADING)


def rename_function(form: Form, new: str) -> Task | None:
    """The task with its entry point called `new` in code, docstring, doctests and tests; None if
    that is not safe.
    """
    old = form.task.entry_point
    if (
        not usable_name(new, form)
        or bound_elsewhere(form.tree, old)
        or bound_elsewhere(parse(form.task.test), old)
    ):
        return None
    edits = renamings(form.tokens, {old: new})
    edits += [Edit(start=s.start, end=s.end, text=new) for s in _mentions(form, old)]
    test = apply_edits(form.task.test, renamings(code_tokens(form.task.test), {old: new}))
    return replace(edited(form, edits), test=test, entry_point=new)


def _mentions(form: Form, name: str) -> list[Span]:
    """Where the docstring means the function: in doctests, before `(`, in backquotes, or if it is
    no English word.
    """
    if not form.has_docstring:
        return []
    found = []
    pattern = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    for line in form.doctests + form.prose:
        for match in pattern.finditer(form.text(line)):
            span = Span(start=line.start + match.start(), end=line.start + match.end())
            marked = form.source[span.end] == "(" or form.source[span.start - 1] == "`"
            if line in form.doctests or marked or "_" in name:
                found.append(span)
    return found
