"""Making the items of a method from a list of tasks, each checked against what the method
promises.
"""

from __future__ import annotations

import hashlib
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.catalogue import METHODS
from flab_deploy.evaluation.perturb.form import Form
from flab_deploy.evaluation.perturb.methods.prefix import with_prefix
from flab_deploy.evaluation.perturb.promises import changed_share, keeps_promise
from flab_deploy.evaluation.perturb.registry import Method


@dataclass(frozen=True, kw_only=True)
class Item:
    """One perturbed task."""

    method: str
    task: Task
    """The perturbed task; its `task_id` is that of the task it was made from."""
    seed: int = 0
    """The seed it was drawn with."""
    variant: int = 0
    """Which of several forms of its task under its method, from 0."""
    original: Task | None = None
    """The unperturbed task of the same shape, where the item was just drawn."""

    @property
    def program(self) -> Task:
        """The task as it is judged: without the wrapper that is no part of the program."""
        return replace(
            self.task, prompt=self.task.prompt.removeprefix(METHODS[self.method].wrapper)
        )


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one method made of a list of tasks, before anything was run."""

    items: tuple[Item, ...]
    num_unchanged: int
    """Tasks to which the method does not apply, or which it left as they were."""
    num_rejected: int
    """Tasks that could not be taken apart, and items that broke the method's promise."""
    rejected: tuple[str, ...] = ()
    """Ids of those tasks."""
    num_forms: int = 1
    """How often the method was given each task."""


def seeded(method: str, task_id: str, seed: int) -> Random:
    """The random source of one item, the same in every process."""
    return Random(hashlib.sha256(f"{method}|{task_id}|{seed}".encode()).digest())


@lru_cache(maxsize=2048)
def _form(task: Task) -> Form:
    return Form(task)


@lru_cache(maxsize=2048)
def _prefixed(task: Task) -> Task | None:
    return with_prefix(_form(task))


def shaped(method: Method, task: Task) -> Task | None:
    """The task as the method is given it; None if the task has no such shape."""
    if method.shape == "prefix" and task.kind == "function_synthesis":
        return _prefixed(task)
    return task


def draw_forms(method: Method, tasks: Sequence[Task], seed: int, count: int) -> Drawn:
    """`count` forms of each task, with the seeds from `seed` on as ReCode draws them; each counts
    as a task here.
    """
    drawn = [draw(method, tasks, seed + variant) for variant in range(count)]
    return Drawn(
        items=tuple(
            replace(item, variant=variant)
            for variant, found in enumerate(drawn)
            for item in found.items
        ),
        num_unchanged=sum(found.num_unchanged for found in drawn),
        num_rejected=sum(found.num_rejected for found in drawn),
        rejected=tuple(task_id for found in drawn for task_id in found.rejected),
        num_forms=count,
    )


def draw(method: Method, tasks: Sequence[Task], seed: int = 0) -> Drawn:
    """The method's items for some tasks; tasks of a kind that the method is not for count as
    unchanged.
    """
    items: list[Item] = []
    rejected: list[str] = []
    for task in tasks:
        try:
            original = shaped(method, task) if task.kind in method.kinds else None
            if original is None:
                continue
            form = _form(original)
            made = method.rewrite(form, seeded(method.name, task.task_id, seed))
        except (SyntaxError, ValueError, tokenize.TokenError, RecursionError):
            rejected.append(task.task_id)
            continue
        if made is None or made.prompt == original.prompt:
            continue
        item = Item(
            method=method.name,
            task=replace(made, task_id=task.task_id),
            seed=seed,
            original=original,
        )
        if sound(method, form, item):
            items.append(item)
        else:
            rejected.append(task.task_id)
    return Drawn(
        items=tuple(items),
        num_unchanged=len(tasks) - len(items) - len(rejected),
        num_rejected=len(rejected),
        rejected=tuple(rejected),
    )


def sound(method: Method, form: Form, item: Item) -> bool:
    """Whether an item keeps its method's promise and changes no more than the method may."""
    program = item.program
    share = changed_share(form.task.prompt, program.prompt)
    return share <= method.most_changed and keeps_promise(method.promise, form, program)
