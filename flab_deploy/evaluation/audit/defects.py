"""What can be wrong with a perturbed task, found without running anything; anybody's data, not only
ours.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import get_args

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import apply_edits, code_tokens
from flab_deploy.evaluation.perturb.promises import exchanged_names, program_of, skeleton
from flab_deploy.evaluation.perturb.renaming import renamings
from flab_deploy.evaluation.source_code import bound_names, parse, squashed
from flab_deploy.records.printed.audit import Change, Defect, DefectKind

DEFECT_KINDS: tuple[DefectKind, ...] = get_args(DefectKind)
"""Every kind of defect; `records.printed.audit` says what each means."""

_SHORTEST_LEAK = 12
_MARK = re.compile(r"^\s*#?\s?(>>>|\.\.\.) ?(.*)$")


def inspect(made: Task, original: Task | None) -> list[Defect]:
    """What is wrong with a perturbed task as far as reading tells; more with the original to
    compare with.
    """
    if original is not None and made.prompt == original.prompt:
        return [
            Defect(kind="no_op", detail="the prompt is the original's, character for character")
        ]
    made = unwrapped(made, original)
    try:
        tree = parse(program_of(made))
        used = _unbound_in_test(made.test)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [_unparsable(made, error)]
    if made.kind == "output_prediction":
        return []
    defects = list(_names(made, tree, used))
    if original is not None:
        try:
            defects += _against(made, tree, original)
        except (SyntaxError, ValueError, tokenize.TokenError):
            return defects  # an original that is no Python says nothing about its perturbation
    return defects


def _unparsable(made: Task, error: BaseException) -> Defect:
    line = error.lineno if isinstance(error, SyntaxError) else None
    place = f"line {line}: " if line else ""
    return Defect(
        kind="unparsable", detail=f"{place}{error.msg if isinstance(error, SyntaxError) else error}"
    )


@lru_cache(maxsize=4096)
def _unbound_in_test(test: str) -> frozenset[str]:
    """Names that a test uses and neither binds nor finds in the language. Raises SyntaxError or
    ValueError.
    """
    tree = parse(test)
    known = bound_names(tree) | {*dir(builtins), "candidate", *sys.stdlib_module_names}
    return frozenset({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - known)


def _names(made: Task, tree: ast.Module, used: frozenset[str]) -> Iterator[Defect]:
    if not any(
        isinstance(n, ast.FunctionDef) and n.name == made.entry_point for n in ast.walk(tree)
    ):
        yield Defect(
            kind="undefined_entry_point",
            detail=f"no function {made.entry_point!r} in prompt and solution",
        )
    for name in sorted(used - bound_names(tree)) if used else ():
        yield Defect(kind="stale_name", detail=f"the test uses {name!r}, which nothing defines")


def _renamed(source: str, before: Task, made: Task) -> str:
    """Source of the original with its entry point called as in the perturbed task."""
    if before.entry_point == made.entry_point:
        return source
    return apply_edits(
        source, renamings(code_tokens(source), {before.entry_point: made.entry_point})
    )


def _against(made: Task, tree: ast.Module, original: Task) -> Iterator[Defect]:
    if made.test != original.test and skeleton(_renamed(original.test, original, made)) != skeleton(
        made.test
    ):
        yield Defect(kind="changed_test", detail="the test is not the original's")
    there, here = (examples_of(task.prompt) for task in (original, made))
    there = [
        (_rename_words(call, original, made), _rename_words(result, original, made))
        for call, result in there
    ]
    new = [example for example in here if example not in there]
    known = [_canonical(example) for example in there] if new else []
    added = [example for example in new if _canonical(example) not in known]
    cases = {_canonical(case) for case in _test_cases(made)} if added else set()
    leaked = [example for example in added if _canonical(example) in cases]
    for call, result in added:
        if (call, result) not in leaked:
            yield Defect(
                kind="changed_doctest",
                detail=f"not an example of the original: {call} gives {result}"[:200],
            )
    for call, result in leaked:
        yield Defect(
            kind="leaked_answer", detail=f"a case of the hidden test: {call} gives {result}"[:200]
        )
    shown = _shown_solution(made, tree, original)
    if shown:
        yield Defect(kind="leaked_answer", detail=f"the prompt shows the solution: {shown}"[:200])


def _rename_words(text: str, before: Task, made: Task) -> str:
    return re.sub(rf"\b{re.escape(before.entry_point)}\b", made.entry_point, text)


def examples_of(prompt: str) -> list[tuple[str, str]]:
    """Calls and results of the doctests in a prompt, in docstrings or comments."""
    found: list[tuple[str, str]] = []
    call, result, commented = "", list[str](), False
    for line in [*prompt.split("\n"), ""]:
        text, in_comment = line.strip().removeprefix("#").strip(), line.lstrip().startswith("#")
        mark = _MARK.match(line)
        ends = not text or text.startswith(('"""', "'''")) or (commented and not in_comment)
        if mark and mark[1] == "..." and call and not result:
            call += "\n" + mark[2]
            continue
        if (mark or ends) and call:
            found.append((call, " ".join(result)))
            call, result = "", []
        if mark and mark[1] == ">>>":
            call, commented = mark[2].strip(), in_comment
        elif call and not ends:
            result.append(text.removesuffix('"""').removesuffix("'''"))
    return found


def _canonical(example: tuple[str, ...]) -> tuple[str, ...]:
    """The example with its expressions in one spelling."""
    parts = []
    for part in example:
        try:
            parts.append(ast.dump(parse(part.strip())))
        except (SyntaxError, ValueError, RecursionError):
            parts.append(squashed(part))
    return tuple(parts)


def _test_cases(made: Task) -> Iterator[tuple[str, str]]:
    """Calls and expected results of the test's assertions of equality."""
    for node in ast.walk(parse(made.test)):
        if (
            isinstance(node, ast.Compare)
            and isinstance(node.left, ast.Call)
            and isinstance(node.left.func, ast.Name)
        ):
            if node.left.func.id == "candidate":
                node.left.func.id = made.entry_point
            yield ast.unparse(node.left), ast.unparse(node.comparators[0])


def _shown_solution(made: Task, tree: ast.Module, original: Task) -> str:
    """The part of the solution that the perturbed prompt shows and the original's does not; empty
    if none.
    """
    there, here = squashed(_rename_words(original.prompt, original, made)), squashed(made.prompt)
    lines = made.canonical_solution.split("\n")
    whole = squashed("\n".join(line for line in lines if not line.lstrip().startswith("#")))
    returns = [
        n.value.lineno for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value is not None
    ]
    # The last `return` with all that follows it on its lines, if it is in the solution.
    answer = (
        squashed("\n".join(program_of(made).split("\n")[max(returns) - 1 :])) if returns else ""
    )
    for part in (whole, answer.removeprefix("return") if answer and whole.endswith(answer) else ""):
        if (
            len(part) >= _SHORTEST_LEAK
            and not part.isidentifier()
            and here.count(part) > there.count(part)
        ):
            return part
    return ""


def change_of(made: Task, original: Task | None) -> Change:
    """What differs from the original."""
    if original is None:
        return "unknown"
    if made.prompt == original.prompt:
        return "nothing"
    if unwrapped(made, original) is not made:
        return "wrapper"
    if program_of(made) == program_of(original):
        return "prompt end"
    if squashed(program_of(made)) == squashed(program_of(original)):
        return "white space"
    try:
        before, after = program_of(original), program_of(made)
        if skeleton(before) == skeleton(after):
            return "docstring"
        return "names" if exchanged_names(parse(before), parse(after)) is not None else "code"
    except (SyntaxError, ValueError, RecursionError):
        return "unknown"


def unwrapped(made: Task, original: Task | None) -> Task:
    """The task without text that a chat template put before an otherwise untouched prompt."""
    if original is None or not original.prompt or not made.prompt.endswith(original.prompt):
        return made
    try:
        parse(program_of(made))
    except (SyntaxError, ValueError, RecursionError):
        return replace(made, prompt=original.prompt)
    return made


def duplicates(tasks: list[tuple[str, str]]) -> dict[int, str]:
    """Places of items whose id or prompt (ids and prompts are given) was there before, with what
    repeats.
    """
    ids, prompts = Counter(i for i, _ in tasks), Counter(p for _, p in tasks)
    found: dict[int, str] = {}
    seen: set[str] = set()
    for at, (task_id, prompt) in enumerate(tasks):
        if ids[task_id] > 1 and f"i{task_id}" in seen:
            found[at] = f"task_id {task_id!r} appears {ids[task_id]} times"
        elif prompts[prompt] > 1 and f"p{prompt}" in seen:
            found[at] = "the same prompt under another task_id"
        seen |= {f"i{task_id}", f"p{prompt}"}
    return found
