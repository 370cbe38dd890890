"""Proving items: their canonical solutions run in the sandbox, many to a process, and against the
original's.

Items whose program and test have the same tree as one that was run need no run of their own: a
docstring, a comment or white space cannot make a program fail. The others run in batches; the
members of a batch that fails run again, each in a process of its own, so that one bad program
costs time but never another one's verdict.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.catalogue import METHODS
from flab_deploy.evaluation.perturb.draw import Item
from flab_deploy.evaluation.perturb.promises import program_of, skeleton
from flab_deploy.evaluation.source_code import parse
from flab_deploy.sandbox import Limits, Program, judge

_BATCH = 40
_PATIENCE_S = 300.0
"""Time on the clock for what is meant to pass; a busy machine may take long over little work."""
_VARIED = ("same_up_to_annotations", "same_behaviour")
"""Promises under which the code itself differs, so that behaviour is compared on more inputs than
the test's.
"""
_VARIED_CPU_S = 1.0
"""Processor time that a task has to end on varied inputs."""
_BEYOND = ("timeout_cpu", "timeout_wall", "memory_limit", "output_limit", "unsupported_value")
"""Verdicts that varied inputs may bring about by asking for too much; the test alone then decides.
"""


@dataclass(frozen=True, kw_only=True)
class PerturbationProof:
    """How an item's canonical solution was shown to pass, or not."""

    verdict: str
    """The sandbox's verdict on the solution, the item's own or that of the same program."""
    detail: str
    """One line; empty for `pass`."""
    own_run: bool
    """False if the verdict is that of another item with the same program and test."""


def checked_program(
    program_id: str, task: Task, original: Task | None = None, cpu_s: float = 0.0
) -> Program:
    """The task's solution with its test; with `original`, both solutions must also agree on varied
    inputs.

    `cpu_s` is its processor time, 0 for that of the limits.
    Raises SyntaxError or ValueError if a task or its test is no Python.
    """
    source, test = program_of(task), task.test
    if task.kind == "output_prediction":
        source, test = _predicted(task)
    if original is not None:
        before = (
            program_of(original) if task.kind != "output_prediction" else _predicted(original)[0]
        )
        calls = _recorded_calls(test)
        test += (
            _DIFFERENTIAL.format(source=before, name=original.entry_point, calls=calls)
            if calls
            else ""
        )
    return Program(
        program_id=program_id,
        source=source,
        test=test,
        entry_point=task.entry_point,
        prelude=task.prompt,
        cpu_s=cpu_s,
    )


def _predicted(task: Task) -> tuple[str, str]:
    """An output-prediction task as a program and a test that compares what it returns, types
    included.
    """
    lines = program_of(task).split("\n")
    statement = parse(program_of(task)).body[-1]
    if not (isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare)):
        raise ValueError(f"{task.task_id} does not end with an assertion of a result")
    call = statement.test.left
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise ValueError(f"{task.task_id} does not end with an assertion about a call")
    call.func.id = "candidate"
    test = f"def check(candidate):\n    assert repr({ast.unparse(call)}) == repr({task.test})\n"
    return "\n".join(lines[: statement.lineno - 1]) + "\n", test


def _recorded_calls(test: str) -> list[tuple[list[object], dict[str, object]]]:
    """Arguments of the test's calls of `candidate`, where they are literals."""
    found: list[tuple[list[object], dict[str, object]]] = []
    for node in ast.walk(parse(test)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "candidate"
        ):
            try:
                given = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
                found.append(([ast.literal_eval(a) for a in node.args], given))
            except (ValueError, TypeError):
                continue
    return found


_DIFFERENTIAL = """

_check_recorded = check


def check(candidate):
    import copy

    _check_recorded(candidate)
    space = {{"__name__": "original"}}
    exec(compile({source!r}, "<original>", "exec"), space)

    def outcome(function, args, kwargs):
        args, kwargs = copy.deepcopy(args), copy.deepcopy(kwargs)
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            return "error", type(error).__name__
        return "value", repr((value, args, kwargs))

    def varied(value, way):
        if isinstance(value, bool) or not isinstance(value, (int, float, str, list)):
            return value
        if isinstance(value, (int, float)):
            return (value + 1, -value, value - 1)[way]
        return (value[::-1], value + value, value[1:])[way]

    for number, (args, kwargs) in enumerate({calls!r}):
        for given in (args, [varied(value, number % 3) for value in args]):
            mine = outcome(space[{name!r}], given, kwargs)
            # A varied input may be none that the task is about.
            if given is args or mine[0] == "value":
                theirs = outcome(candidate, given, kwargs)
                assert mine == theirs, f"{{given}}: {{theirs}} for {{mine}}"
"""
_BATCH_SOURCE = """
_spaces = []
for _source in {sources!r}:
    _space = {{"__name__": "program"}}
    exec(compile(_source, "<program>", "exec"), _space)
    _spaces.append(_space)


def run_member(number, name, args, kwargs):
    return _spaces[number][name](*args, **kwargs)
"""
_BATCH_TEST = """
def check(candidate):
    def member(number, name):
        def call(*args, **kwargs):
            calls.append(number)
            return candidate(number, name, list(args), kwargs)

        return call

    for number, (name, test) in enumerate({tests!r}):
        calls = []
        space = {{"__name__": "test"}}
        exec(compile(test, "<test>", "exec"), space)
        space["check"](member(number, name))
        assert calls, f"test {{number}} never calls the program"
"""


def _batched(number: int, members: Sequence[Program]) -> Program:
    tests = [(member.entry_point, member.test) for member in members]
    return Program(
        program_id=f"batch {number}",
        source=_BATCH_SOURCE.format(sources=[member.source for member in members]),
        test=_BATCH_TEST.format(tests=tests),
        entry_point="run_member",
    )


def run_all(
    programs: Sequence[Program],
    limits: Limits,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[str, str]]:
    """Verdict and detail of each program; batches that fail are run again one by one."""
    tell = progress or (lambda _: None)
    patient = replace(limits, wall_s=max(limits.wall_s, _PATIENCE_S))
    together = replace(patient, cpu_s=min(_PATIENCE_S, 5 * limits.cpu_s))
    batches = [programs[at : at + _BATCH] for at in range(0, len(programs), _BATCH)]
    found: list[tuple[str, str]] = []
    alone: list[int] = []
    sizes = iter([len(members) for members in batches])
    batched = [_batched(i, members) for i, members in enumerate(batches)]
    batch_verdicts = judge(batched, together, workers, lambda _: tell(next(sizes)))
    for members, verdict in zip(batches, batch_verdicts, strict=True):
        alone += [] if verdict.passed else range(len(found), len(found) + len(members))
        found += [(verdict.verdict, verdict.detail)] * len(members)
    for at, verdict in zip(
        alone, judge([programs[at] for at in alone], patient, workers), strict=True
    ):
        found[at] = (verdict.verdict, verdict.detail)
    return found


Known = dict[str, tuple[str, str]]
"""Verdict and detail of programs that were run, by `_key`."""


def _key(program: Program) -> str:
    """Equal for programs that behave alike: their trees without docstrings, unless they read
    those.
    """
    reads = "__doc__" in program.source + program.test
    parts = [
        program.source if reads else skeleton(program.source),
        program.test,
        program.entry_point,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def prove(
    items: Sequence[Item],
    limits: Limits,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
    *,
    known: Known | None = None,
    cpu_s: Mapping[str, float] | None = None,
) -> list[PerturbationProof]:
    """Proofs of the items, in order; verdicts are taken from `known` and added to it.

    `cpu_s` is the processor time of slow tasks by id.
    Raises SandboxError if code cannot be isolated here.
    """
    outcomes = {} if known is None else known
    waiting: dict[str, Program] = {}
    keys: list[str] = []
    failed: dict[str, str] = {}
    plain: dict[str, Program] = {}
    times = cpu_s or {}
    endless = _endless_when_varied(items, limits, workers, outcomes, times)
    for at, item in enumerate(items):
        varied = METHODS[item.method].promise in _VARIED and item.original not in endless
        try:
            time_s = times.get(item.task.task_id, 0.0)
            program = checked_program("", item.program, item.original if varied else None, time_s)
            key = _key(program)
            if varied:
                plain[key] = checked_program("", item.program, cpu_s=time_s)
        except (SyntaxError, ValueError, RecursionError) as error:
            key = f"item {at}"
            failed[key] = f"{type(error).__name__}: {error}"
        else:
            waiting.update({key: program} if key not in outcomes else {})
        keys.append(key)
    (progress or (lambda _: None))(len(items) - len(waiting))
    outcomes.update(
        zip(waiting, run_all(list(waiting.values()), limits, workers, progress), strict=True)
    )
    again = {key: plain[key] for key in waiting if key in plain and outcomes[key][0] in _BEYOND}
    outcomes.update(zip(again, run_all(list(again.values()), limits, workers), strict=True))
    first = {key: at for at, key in reversed(list(enumerate(keys)))}
    return [
        _proof(key, outcomes, failed, own_run=key in waiting and first[key] == at)
        for at, key in enumerate(keys)
    ]


def _endless_when_varied(
    items: Sequence[Item], limits: Limits, workers: int, outcomes: Known, cpu_s: Mapping[str, float]
) -> set[Task]:
    """Originals that do not end on varied inputs, such as a loop that counts up to a number that is
    now negative.

    Found out once per task, for each of its items would be waited for as long.
    """
    changed = [
        item.original for item in items if METHODS[item.method].promise in _VARIED and item.original
    ]
    programs: dict[Task, Program] = {}
    for task in dict.fromkeys(changed):
        with suppress(SyntaxError, ValueError, RecursionError):
            time_s = max(_VARIED_CPU_S, cpu_s.get(task.task_id, 0.0))
            programs[task] = checked_program("", task, task, time_s)
    keys = {task: f"varied {_key(program)}" for task, program in programs.items()}
    waiting = {key: programs[task] for task, key in keys.items() if key not in outcomes}
    for key, verdict in zip(waiting, judge(list(waiting.values()), limits, workers), strict=True):
        outcomes[key] = verdict.verdict, verdict.detail
    return {task for task, key in keys.items() if outcomes[key][0] in _BEYOND}


def _proof(
    key: str, outcomes: Known, failed: Mapping[str, str], *, own_run: bool
) -> PerturbationProof:
    verdict, detail = ("fail_load", failed[key]) if key in failed else outcomes[key]
    return PerturbationProof(verdict=verdict, detail=detail, own_run=own_run)
