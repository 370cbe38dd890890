"""What a completion amounts to: a program to judge, or a value to compare."""

from __future__ import annotations

import ast
import math
import warnings

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.catalogue import METHODS
from flab_deploy.evaluation.perturb.chat import unfenced
from flab_deploy.evaluation.perturb.layout import fit_indentation

_LONGEST_VALUE = 10_000


def parses(source: str) -> bool:
    """Whether the source is Python as far as the parser can tell; nothing is executed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def program_of(task: Task, text: str, perturbation: str | None, truncated: bool) -> str:
    """The whole program: prompt and completion.

    A completion that was cut off loses the unfinished lines at its end. Where the prompt's
    indentation was perturbed, the completion's is fitted to it; a wrapper is no part of the
    program, nor is what follows the end of its code fence.
    """
    prompt, method = task.prompt, METHODS.get(perturbation or "")
    if method is not None and method.fits_indentation:
        text = fit_indentation(prompt, text)
    if method is not None and method.wrapper:
        prompt, text = prompt.removeprefix(method.wrapper), unfenced(text)
    if not truncated:
        return prompt + text
    lines = text.split("\n")
    while len(lines) > 1 and not parses(prompt + "\n".join(lines)):
        lines.pop()
    return prompt + "\n".join(lines)


def value_of(text: str) -> object:
    """The literal on the first line of a completion. Raises ValueError if there is none."""
    line = text.lstrip(" ").split("\n", 1)[0].strip()
    if len(line) > _LONGEST_VALUE:
        raise ValueError("the value is too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a literal: {line[:60]!r} ({type(error).__name__})") from None


def same_value(left: object, right: object) -> bool:
    """Equality of literals that tells types apart: `True` is not 1, `1.0` is not 1, -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(same_value(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return _same_items(list(left.items()), list(right.items()))
    if isinstance(left, set) and isinstance(right, set):
        return _same_items(list(left), list(right))
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


def _same_items(left: list[object], right: list[object]) -> bool:
    """Whether two collections without order hold the same values."""
    rest = list(right)
    for item in left:
        at = next((i for i, other in enumerate(rest) if same_value(item, other)), None)
        if at is None:
            return False
        del rest[at]
    return not rest


def value_verdict(task: Task, text: str) -> str:
    """`pass`, `fail_assert` for another value, or `fail_load` for something that is no literal."""
    try:
        value = value_of(text)
    except ValueError:
        return "fail_load"
    return "pass" if same_value(value, value_of(task.test)) else "fail_assert"
