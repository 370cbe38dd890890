from __future__ import annotations

import ast

import pytest

from flab_deploy.corpus import TASK_KINDS, TaskKind
from flab_deploy.reference.tasks import make_tasks, split_of, stream_instructions


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_tasks_are_reproducible_and_different(kind: TaskKind) -> None:
    tasks = make_tasks("test", kind, 100)
    assert tasks == make_tasks("test", kind, 100)
    assert len({task.prompt for task in tasks}) == 100


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_compositions_belong_to_one_split(kind: TaskKind) -> None:
    test = {task.composition for task in make_tasks("test", kind, 300)}
    train = {task.composition for task in make_tasks("train", kind, 300)}
    assert test.isdisjoint(train)
    assert all(split_of(composition) == "test" for composition in test)


@pytest.mark.parametrize("kind", ["function_synthesis", "chain_of_thought"])
def test_solutions_parse_and_pass_their_hidden_tests(kind: TaskKind) -> None:
    for task in make_tasks("validation", kind, 150):
        scope: dict[str, object] = {}
        exec(task.prompt + task.canonical_solution + "\n" + task.test, scope)
        check, function = scope["check"], scope[task.entry_point]
        assert callable(check)
        check(function)


def test_a_function_that_returns_a_constant_fails_the_hidden_tests() -> None:
    passed = 0
    for task in make_tasks("test", "function_synthesis", 200):
        scope: dict[str, object] = {}
        exec(task.test, scope)
        check = scope["check"]
        assert callable(check)
        try:
            check(lambda _argument: [])
            passed += 1
        except AssertionError:
            pass
    assert passed == 0


def test_outputs_are_the_literals_that_the_program_gives() -> None:
    for task in make_tasks("test", "output_prediction", 150):
        scope: dict[str, object] = {}
        source, _, call = task.prompt.rpartition("\nassert ")
        exec(source, scope)
        assert eval(call.removesuffix(" =="), scope) == ast.literal_eval(task.test)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_prompts_do_not_end_in_white_space(kind: TaskKind) -> None:
    assert all(task.prompt == task.prompt.rstrip() for task in make_tasks("test", kind, 100))


def test_training_examples_come_from_training_compositions_only() -> None:
    stream = stream_instructions("check")
    held_out = {task.prompt for task in make_tasks("test", "function_synthesis", 500)}
    assert all(next(stream).prompt not in held_out for _ in range(500))
