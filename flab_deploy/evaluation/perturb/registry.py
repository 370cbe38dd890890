"""What a perturbation method is, and the decorator that makes a function one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import cleandoc
from random import Random
from types import ModuleType
from typing import Literal, TypeAlias, TypeVar, get_args

from flab_deploy.corpus import Task, TaskKind
from flab_deploy.evaluation.perturb.form import Edit, Form, edited
from flab_deploy.evaluation.perturb.promises import Promise

Family: TypeAlias = Literal[
    "natural_language", "function_name", "variable", "syntax", "format", "chat"
]
FAMILIES: tuple[Family, ...] = get_args(Family)
Rewrite: TypeAlias = Callable[[Form, Random], list[Edit] | Task | None]
"""Makes the perturbed task, or the edits to it; no edits or None where it does not apply."""
Shape: TypeAlias = Literal["prompt", "prefix"]
"""What is perturbed: the prompt as it is, or one that shows the first half of the solution as well.
"""
R = TypeVar("R", bound=Rewrite)

FUNCTIONS: tuple[TaskKind, ...] = ("function_synthesis",)
DESCRIBED: tuple[TaskKind, ...] = ("function_synthesis", "chain_of_thought")
CODE: tuple[TaskKind, ...] = ("function_synthesis", "output_prediction")
ANY: tuple[TaskKind, ...] = ("function_synthesis", "output_prediction", "chain_of_thought")
CODE_PREFIX = "code_prefix"
"""The method whose items are the unperturbed prompts that show half of the solution."""

_METHODS: dict[str, list[Method]] = {}
"""Methods by the module that defines them, in the order in which they stand there."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to perturb a task."""

    name: str
    description: str
    """What it does, in one line."""
    family: Family
    promise: Promise
    """What is checked of every item, besides that its canonical solution passes its tests."""
    rewrite: Callable[[Form, Random], Task | None]
    """Makes the perturbed task; None where the method does not apply."""
    kinds: tuple[TaskKind, ...]
    """Kinds of task that it is for."""
    shape: Shape
    """What it is given of a function-synthesis task; items are compared with unperturbed prompts of
    that shape.
    """
    published: str
    """Its name in ReCode or NatGen, if it is there."""
    probe: bool
    """Whether it tests the tokenizer, or withholds or falsifies information; probes stay out of the
    headline figure.
    """
    fits_indentation: bool
    """Whether a completion may come in the usual indentation and is fitted to the prompt's."""
    wrapper: str
    """Text that it puts before the prompt and that is no part of the program."""
    most_changed: float
    """Share of the prompt's characters that it may change, at most."""

    @property
    def baseline(self) -> str | None:
        """The method whose items are the unperturbed prompts of its shape; None for the task's own
        prompt.
        """
        return CODE_PREFIX if self.shape == "prefix" else None


def perturbation(
    *,
    family: Family,
    promise: Promise,
    name: str = "",
    description: str = "",
    kinds: tuple[TaskKind, ...] = ANY,
    shape: Shape = "prompt",
    published: str = "",
    probe: bool = False,
    fits_indentation: bool = False,
    wrapper: str = "",
    most_changed: float = 0.5,
) -> Callable[[R], R]:
    """Make a rewrite a perturbation method; the arguments are the fields of `Method`.

    Its name is the function's if none is given, its description the docstring's first paragraph.
    """

    def registered(rewrite: R) -> R:
        method = Method(
            name=name or rewrite.__name__,
            description=description or _first_paragraph(rewrite),
            family=family,
            promise=promise,
            rewrite=_making_tasks(rewrite),
            kinds=kinds,
            shape=shape,
            published=published,
            probe=probe,
            fits_indentation=fits_indentation,
            wrapper=wrapper,
            most_changed=most_changed,
        )
        _METHODS.setdefault(rewrite.__module__, []).append(method)
        return rewrite

    return registered


def methods_in(module: ModuleType) -> list[Method]:
    """The methods that a module defines, in the order in which they stand there."""
    return list(_METHODS.get(module.__name__, ()))


def _first_paragraph(rewrite: Rewrite) -> str:
    return " ".join(cleandoc(rewrite.__doc__ or "").partition("\n\n")[0].split())


def _making_tasks(rewrite: Rewrite) -> Callable[[Form, Random], Task | None]:
    def rewritten(form: Form, rng: Random) -> Task | None:
        made = rewrite(form, rng)
        if not isinstance(made, list):
            return made
        return edited(form, made) if made else None

    return rewritten
