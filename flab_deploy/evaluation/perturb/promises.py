"""What a method promises to leave the same, checked without running anything."""

from __future__ import annotations

import ast
import builtins
import re
import tokenize
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import Form, apply_edits, code_tokens
from flab_deploy.evaluation.perturb.renaming import renamings
from flab_deploy.evaluation.perturb.words import NUMBER_OF_WORD
from flab_deploy.evaluation.source_code import bound_names, parse, squashed

Promise = Literal[
    "same_code",
    "same_code_other_numbers",
    "same_tree",
    "same_tree_other_doc",
    "same_up_to_names",
    "same_up_to_annotations",
    "same_behaviour",
]
"""What stays the same, besides that the canonical solution passes the tests.

`same_code`: all but the wording of the description; in it, names, numbers, quoted text and
examples. `same_code_other_numbers`: likewise, with numbers as digits or words.
`same_tree`: the program's tree, docstring aside, and the docstring's text, white space aside.
`same_tree_other_doc`: the program's tree, docstring aside.
`same_up_to_names`: the tree and the docstring, with names of the program's own exchanged one for
one. `same_up_to_annotations`: the tree without annotations, and the docstring.
`same_behaviour`: signature, docstring and tests; the rest has to be shown by running it.
"""

_NUMBER_WORD = re.compile(r"\b(" + "|".join(NUMBER_OF_WORD) + r")\b")


def keeps_promise(promise: Promise, form: Form, made: Task) -> bool:
    """Whether the perturbed task parses and differs from the original only in what its method may
    change.
    """
    try:
        return _CHECKS[promise](form, made)
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError):
        return False


def changed_share(before: str, after: str) -> float:
    """Share of the characters that differ, in [0, 1]; what both texts begin and end with is not
    compared.
    """
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
        min(len(before), len(after)),
    )
    left, right = before[start:], after[start:]
    tails = zip(reversed(left), reversed(right), strict=False)
    end = next((i for i, (a, b) in enumerate(tails) if a != b), min(len(left), len(right)))
    left, right = left[: len(left) - end], right[: len(right) - end]
    if not left or not right:
        return max(len(left), len(right)) / max(len(before), len(after), 1)
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return (max(len(left), len(right)) - sum(block.size for block in blocks)) / max(
        len(before), len(after)
    )


def program_of(task: Task) -> str:
    """Prompt and canonical solution."""
    return task.prompt + task.canonical_solution


def _same_code(form: Form, made: Task) -> bool:
    after = Form(made)
    return _same_around(form, after) and form.kept_text() == after.kept_text()


def _same_code_other_numbers(form: Form, made: Task) -> bool:
    after = Form(made)
    digits = [
        [_NUMBER_WORD.sub(lambda m: NUMBER_OF_WORD[m[0]], one.text(line)) for line in one.prose]
        for one in (form, after)
    ]
    return (
        _same_around(form, after)
        and form.kept_text()[0] == after.kept_text()[0]
        and digits[0] == digits[1]
    )


def _same_around(before: Form, after: Form) -> bool:
    """Whether everything outside the docstring is identical."""
    tail_before, tail_after = before.source[before.inner.end :], after.source[after.inner.end :]
    head_before, head_after = before.source[: before.inner.start], after.source[: after.inner.start]
    return before.task.test == after.task.test and (head_before, tail_before) == (
        head_after,
        tail_after,
    )


def _documentation(form: Form) -> str:
    return squashed(form.text(form.inner)) if form.has_docstring else ""


def _same_tree_other_doc(form: Form, made: Task) -> bool:
    return form.task.test == made.test and skeleton(form.source) == skeleton(program_of(made))


def _same_tree(form: Form, made: Task) -> bool:
    return _same_tree_other_doc(form, made) and _documentation(form) in squashed(made.prompt)


def _same_up_to_annotations(form: Form, made: Task) -> bool:
    same = skeleton(form.source, annotations=False) == skeleton(program_of(made), annotations=False)
    return same and form.task.test == made.test and _documentation(form) in squashed(made.prompt)


def _same_up_to_names(form: Form, made: Task) -> bool:
    names = exchanged_names(parse(form.source), parse(program_of(made)))
    if names is None or names.get(form.task.entry_point, form.task.entry_point) != made.entry_point:
        return False
    entry = (
        {form.task.entry_point: made.entry_point}
        if made.entry_point != form.task.entry_point
        else {}
    )
    test = apply_edits(form.task.test, renamings(code_tokens(form.task.test), entry))
    return test == made.test and _same_doc_up_to_names(form, made, names)


def _same_doc_up_to_names(form: Form, made: Task, names: Mapping[str, str]) -> bool:
    if not form.has_docstring:
        return True
    after = Form(made)
    old, new = form.text(form.inner), after.text(after.inner)
    words = [re.findall(r"\w+|[^\w\s]", text) for text in (old, new)]
    same_words = len(words[0]) == len(words[1]) and all(
        a == b or names.get(a) == b for a, b in zip(*words, strict=True)
    )
    examples = [[one.text(line) for line in one.doctests] for one in (form, after)]
    entry, name = form.task.entry_point, made.entry_point
    return (
        same_words
        and [re.sub(rf"\b{re.escape(entry)}\b", name, line) for line in examples[0]] == examples[1]
    )


def _same_behaviour(form: Form, made: Task) -> bool:
    after = Form(made)
    same_text = not form.has_docstring or form.text(form.inner) == after.text(after.inner)
    signatures = [ast.dump(one.function.args) for one in (form, after)]
    same_task = (form.task.test, form.task.entry_point) == (made.test, made.entry_point)
    return same_text and same_task and signatures[0] == signatures[1]


_CHECKS: dict[Promise, Callable[[Form, Task], bool]] = {
    "same_code": _same_code,
    "same_code_other_numbers": _same_code_other_numbers,
    "same_tree": _same_tree,
    "same_tree_other_doc": _same_tree_other_doc,
    "same_up_to_names": _same_up_to_names,
    "same_up_to_annotations": _same_up_to_annotations,
    "same_behaviour": _same_behaviour,
}


@lru_cache(maxsize=4096)
def skeleton(source: str, *, annotations: bool = True) -> str:
    """The source's tree as text, without docstrings and, if wanted, annotations. Raises
    SyntaxError or ValueError.
    """
    tree = parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            _strip_docstring(node)
        if not annotations and isinstance(node, ast.FunctionDef):
            node.returns = None
        elif not annotations and isinstance(node, ast.arg):
            node.annotation = None
    return ast.dump(tree)


def _strip_docstring(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module,
) -> None:
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        node.body = node.body[1:] or [ast.Pass()]


def exchanged_names(before: ast.Module, after: ast.Module) -> dict[str, str] | None:
    """Which names of the first tree are other ones in the second, if nothing else differs,
    docstrings aside.

    Names are exchanged one for one, and only those that the first program binds itself; otherwise
    None.
    """
    there: dict[str, str] = {}
    back: dict[str, str] = {}
    if not _alike(before, after, there, back):
        return None
    changed = {old: new for old, new in there.items() if old != new}
    bound = bound_names(before, "assigned", "deleted", "parameter", "function")
    sound = all(old in bound and not hasattr(builtins, new) for old, new in changed.items())
    return changed if sound else None


_IDENTIFIERS = {
    (ast.Name, "id"),
    (ast.arg, "arg"),
    (ast.FunctionDef, "name"),
    (ast.AsyncFunctionDef, "name"),
}


def _alike(before: object, after: object, there: dict[str, str], back: dict[str, str]) -> bool:
    if type(before) is not type(after):
        return False
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(
            _alike(a, b, there, back) for a, b in zip(before, after, strict=True)
        )
    if not isinstance(before, ast.AST) or not isinstance(after, ast.AST):
        return before == after
    for one in (before, after):
        if isinstance(one, ast.FunctionDef):
            _strip_docstring(one)
    for field in before._fields:
        left, right = getattr(before, field, None), getattr(after, field, None)
        if (
            (type(before), field) in _IDENTIFIERS
            and isinstance(left, str)
            and isinstance(right, str)
        ):
            if there.setdefault(left, right) != right or back.setdefault(right, left) != left:
                return False
        elif not _alike(left, right, there, back):
            return False
    return True
