"""The methods by name, and what each promises to leave the same."""

from __future__ import annotations

import hashlib
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from flab_deploy.corpus import Task
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.perturb import language, layout, names
from flab_deploy.evaluation.perturb.form import Edit, Form, edited

Family = Literal["wording", "name", "parameter", "annotation", "layout", "prompt_end"]
Promise = Literal["same_code", "same_tree", "same_up_to_names", "same_up_to_annotations"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to perturb a task."""

    name: str
    family: Family
    promise: Promise
    """What is checked of every item, besides that its canonical solution passes its tests."""
    rewrite: Callable[[Form, Random], Task | None]
    """The perturbed task, or None where the method does not apply."""
    probe: bool = False
    """Whether it tests the tokenizer rather than the model; probes stay out of the headline figure."""
    fits_indentation: bool = False
    """Whether a completion may come in the usual indentation and is fitted to the prompt's."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One perturbed task."""

    method: str
    task: Task
    """The perturbed task; its `task_id` is that of the task it was made from."""


def _wording(rewrite: Callable[[Form, Random], list[Edit]]) -> Callable[[Form, Random], Task | None]:
    def rewritten(form: Form, rng: Random) -> Task | None:
        edits = rewrite(form, rng)
        return edited(form, edits) if edits else None

    return rewritten


def _methods() -> dict[str, Method]:
    listed = [
        Method(name=name, family="wording", promise="same_code", rewrite=_wording(rewrite))
        for name, rewrite in language.METHODS.items()
    ]
    listed += [
        Method(name="name_camel_case", family="name", promise="same_up_to_names", rewrite=names.camel_case),
        Method(name="name_affix", family="name", promise="same_up_to_names", rewrite=names.affix),
        Method(name="name_butter_finger", family="name", promise="same_up_to_names", rewrite=names.name_butter_finger),
        Method(name="parameter_rename", family="parameter", promise="same_up_to_names", rewrite=names.parameter_rename),
        Method(name="type_hints", family="annotation", promise="same_up_to_annotations", rewrite=names.type_hints),
        Method(name="doc_to_comments", family="layout", promise="same_tree", rewrite=layout.doc_to_comments),
        Method(name="quote_style", family="layout", promise="same_tree", rewrite=layout.quote_style),
        Method(name="blank_lines", family="layout", promise="same_tree", rewrite=layout.blank_lines),
        Method(name="two_space_indent", family="layout", promise="same_tree", rewrite=layout.two_space_indent,
               fits_indentation=True),
        Method(name="tab_indent", family="layout", promise="same_tree", rewrite=layout.tab_indent,
               fits_indentation=True),
        Method(name="prompt_end_newline", family="prompt_end", promise="same_tree", rewrite=layout.prompt_end_newline,
               probe=True),
    ]  # fmt: skip
    return {method.name: method for method in listed}


METHODS = _methods()


def method_named(name: str) -> Method:
    """The method called `name`. Raises ConfigError for an unknown one."""
    if name not in METHODS:
        raise ConfigError(f"no perturbation {name!r}; choose from {', '.join(METHODS)}")
    return METHODS[name]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one method made of a list of tasks, before anything was run."""

    items: tuple[Item, ...]
    num_unchanged: int
    """Tasks to which the method does not apply, or which it left as they were."""
    num_rejected: int
    """Tasks that could not be taken apart, and items that broke the method's promise."""


def seeded(method: str, task_id: str, seed: int) -> Random:
    """The random source of one item, the same in every process."""
    return Random(hashlib.sha256(f"{method}|{task_id}|{seed}".encode()).digest())


def draw(method: Method, tasks: Sequence[Task], seed: int = 0) -> Drawn:
    """The method's items for function-synthesis tasks, each checked against the method's promise."""
    from flab_deploy.evaluation.perturb.promises import keeps_promise

    items, unchanged, rejected = [], 0, 0
    for task in tasks:
        try:
            form = Form(task)
            made = method.rewrite(form, seeded(method.name, task.task_id, seed))
        except (SyntaxError, ValueError, tokenize.TokenError, RecursionError):
            rejected += 1
            continue
        if made is None or made.prompt == task.prompt:
            unchanged += 1
        elif not keeps_promise(method.promise, form, made):
            rejected += 1
        else:
            items.append(Item(method=method.name, task=replace(made, task_id=task.task_id)))
    return Drawn(items=tuple(items), num_unchanged=unchanged, num_rejected=rejected)
