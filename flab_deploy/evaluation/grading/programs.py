"""What a completion is judged as: a program to run, or a value to compare."""

from __future__ import annotations

import ast
import math
import warnings

from flab_deploy.corpus import Task
from flab_deploy.evaluation.grading.security import UNPARSABLE, findings
from flab_deploy.evaluation.perturb.catalogue import METHODS
from flab_deploy.evaluation.perturb.methods.chat import unfenced
from flab_deploy.evaluation.perturb.methods.layout import fit_indentation
from flab_deploy.evaluation.source_code import parse_if_python
from flab_deploy.evaluation.writing.trim import trimmed
from flab_deploy.sandbox import Program, VerdictName

_LONGEST_VALUE = 10_000
# The test compares plain values that were copied out of the candidate's process, types included.
_SAME = """def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(k in a and same(a[k], b[k]) for k in b)
    return a == b
"""


def parses(source: str) -> bool:
    """Whether the source is Python as far as the parser can tell; nothing is executed."""
    return parse_if_python(source) is not None


def answer_of(
    task: Task,
    text: str,
    perturbation: str | None = None,
    *,
    truncated: bool = False,
    program_id: str = "",
    cpu_s: float = 0.0,
) -> Program | VerdictName:
    """What the sandbox has to run to judge a completion, or the verdict where nothing needs to run.

    `cpu_s` is the program's processor time, 0 for that of the limits.
    """
    if task.kind == "output_prediction":
        return value_verdict(task, text)
    if task.kind == "input_prediction":
        return _call(task, text, program_id, cpu_s)
    source = program_of(task, text, perturbation, truncated)
    if task.kind == "secure_code":
        return secure_verdict(source)
    return judged_program(task, source, program_id, cpu_s)


def secure_verdict(source: str) -> VerdictName:
    """`pass` if no static rule finds anything, `fail_assert` if one does, `fail_load` if it is not
    Python.
    """
    found = findings(source)
    return "pass" if not found else "fail_load" if UNPARSABLE in found else "fail_assert"


def judged_program(task: Task, source: str, program_id: str, cpu_s: float = 0.0) -> Program:
    """A source as the sandbox takes it, with the task's test."""
    return Program(
        program_id=program_id,
        source=source,
        test=task.test,
        entry_point=task.entry_point,
        prelude=task.prompt,
        cpu_s=cpu_s,
    )


def program_of(task: Task, text: str, perturbation: str | None, truncated: bool) -> str:
    """The whole program: prompt and completion, without what follows the solution and is not part
    of it.

    A completion that was cut off loses the unfinished lines at its end. Where the prompt's
    indentation was perturbed, the completion's is fitted to it; a wrapper is no part of the
    program, nor is what follows the end of its code fence.
    """
    prompt, method = task.prompt, METHODS.get(perturbation or "")
    if method is not None and method.fits_indentation:
        text = fit_indentation(prompt, text)
    if method is not None and method.wrapper:
        prompt, text = prompt.removeprefix(method.wrapper), unfenced(text)
    if truncated:
        lines = text.split("\n")
        while len(lines) > 1 and not parses(prompt + "\n".join(lines)):
            lines.pop()
        text = "\n".join(lines)
    return prompt + trimmed(prompt, text, task.entry_point)


def arguments_of(text: str) -> str:
    """The literal arguments, as source, that a completion of `f(` begins with. Raises ValueError if
    there are none.
    """
    line = text.split("\n", 1)[0][:_LONGEST_VALUE]
    for at, character in enumerate(line):
        if character == ")" and (tree := parse_if_python(f"f({line[: at + 1]}")) is not None:
            call = tree.body[0].value if isinstance(tree.body[0], ast.Expr) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                return _literal_arguments(call)
            break
    raise ValueError(f"not arguments: {line[:60]!r}")


def _literal_arguments(call: ast.Call) -> str:
    try:
        parts = [repr(ast.literal_eval(argument)) for argument in call.args]
        parts += [
            f"{keyword.arg}={ast.literal_eval(keyword.value)!r}"
            for keyword in call.keywords
            if keyword.arg
        ]
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError("arguments must be literals") from None
    if any(keyword.arg is None for keyword in call.keywords):
        raise ValueError("arguments must be written out")
    return ", ".join(parts)


def _call(task: Task, text: str, program_id: str, cpu_s: float) -> Program | VerdictName:
    """The function with a test that calls it on the predicted arguments."""
    try:
        arguments, wanted = arguments_of(text), value_of(task.test)
    except ValueError:
        return "fail_load"
    test = f"{_SAME}\ndef check(candidate):\n    assert same(candidate({arguments}), {wanted!r})\n"
    source = task.prompt.rpartition("\nassert ")[0] + "\n"
    return Program(
        program_id=program_id, source=source, test=test, entry_point=task.entry_point, cpu_s=cpu_s
    )


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
    """Equality of literals that tells types apart: `True` is not 1, `1.0` is not 1, -0.0 is not
    0.0.
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(
            same_value(a, b) for a, b in zip(left, right, strict=True)
        )
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


def value_verdict(task: Task, text: str) -> VerdictName:
    """`pass`, `fail_assert` for another value, or `fail_load` for something that is no literal."""
    try:
        value = value_of(text)
    except ValueError:
        return "fail_load"
    return "pass" if same_value(value, value_of(task.test)) else "fail_assert"
