"""Every perturbation changes something, keeps its promise, and its canonical solution still passes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flab_deploy.corpus import Task, corpus_digest
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.perturb.catalogue import METHODS, Item, draw, method_named
from flab_deploy.evaluation.perturb.form import Form
from flab_deploy.evaluation.perturb.names import rename_function
from flab_deploy.evaluation.perturb.promises import keeps_promise
from flab_deploy.sandbox import Program, judge


def _only(method: str, task: Task) -> Task:
    found = draw(METHODS[method], [task])
    assert (len(found.items), found.num_rejected) == (1, 0), method
    return found.items[0].task


def test_canonical_solutions_pass_under_every_method(functions: list[Task], helpers_task: Task) -> None:
    items: list[Item] = []
    for method in METHODS.values():
        found = draw(method, [*functions[:25], helpers_task])
        assert found.items and found.num_rejected == 0, method.name
        items += found.items
    programs = [
        Program(
            program_id=f"{item.method} {item.task.task_id}", source=item.task.prompt + item.task.canonical_solution,
            test=item.task.test, entry_point=item.task.entry_point,
        )
        for item in items
    ]  # fmt: skip
    assert [(v.program_id, v.detail) for v in judge(programs) if v.verdict != "pass"] == []


@pytest.mark.parametrize("method", sorted(METHODS))
def test_items_differ_and_repeat(method: str, functions: list[Task]) -> None:
    first, again = draw(METHODS[method], functions), draw(METHODS[method], functions)
    by_id = {task.task_id: task for task in functions}
    assert all(item.task.prompt != by_id[item.task.task_id].prompt for item in first.items)
    assert corpus_digest([i.task for i in first.items]) == corpus_digest([i.task for i in again.items])
    assert len(first.items) + first.num_unchanged + first.num_rejected == len(functions)


def test_items_are_the_same_in_another_process(functions: list[Task]) -> None:
    script = (
        "from flab_deploy.corpus import corpus_digest as d\n"
        "from flab_deploy.evaluation.perturb.catalogue import METHODS, draw\n"
        "from flab_deploy.reference.tasks import make_tasks\n"
        "tasks = make_tasks('test', 'function_synthesis', 60)\n"
        "print(d([i.task for m in METHODS.values() for i in draw(m, tasks, 7).items]))\n"
    )
    environment = {"PYTHONHASHSEED": "123", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    here = corpus_digest([i.task for m in METHODS.values() for i in draw(m, functions, 7).items])
    assert done.stdout.strip() == here


def test_another_seed_gives_other_typos(functions: list[Task]) -> None:
    first, other = draw(METHODS["butter_finger"], functions, 0), draw(METHODS["butter_finger"], functions, 1)
    assert [i.task.prompt for i in first.items] != [i.task.prompt for i in other.items]


@pytest.mark.parametrize("method", [m.name for m in METHODS.values() if m.family == "wording"])
def test_names_numbers_quotes_and_doctests_stay(method: str, helpers_task: Task) -> None:
    for seed in range(20):
        for item in draw(METHODS[method], [helpers_task], seed).items:
            for kept in ("`shift`", '"items"', " 1 ", "3.5", "    >>> shift_all([1, 2])\n    [2, 3]\n", " items"):
                assert kept in item.task.prompt, (method, seed)
            head = helpers_task.prompt.index("Return")
            assert item.task.prompt[:head].rstrip() == helpers_task.prompt[:head].rstrip()


def test_a_rename_reaches_doctests_and_tests_but_not_longer_names(helpers_task: Task) -> None:
    task = replace(helpers_task, test=helpers_task.test + "    assert shift_all([0]) == [1]\n")
    made = _only("name_camel_case", task)
    assert made.entry_point == "shiftAll"
    assert ">>> shiftAll([1, 2])" in made.prompt and "def shift(value" in made.prompt and "`shift`" in made.prompt
    assert "shiftAll([0])" in made.test and "shift_all" not in made.prompt + made.test


def test_an_unsafe_rename_is_not_made(helpers_task: Task) -> None:
    form = Form(helpers_task)
    assert rename_function(form, "shift") is None
    assert rename_function(form, "class") is None and rename_function(form, "len") is None
    shadowed = replace(
        helpers_task, canonical_solution="    shift_all = items\n    return [i + 1 for i in shift_all]\n"
    )
    assert rename_function(Form(shadowed), "other") is None


def test_a_renamed_parameter_is_renamed_where_it_is_meant() -> None:
    task = Task(
        task_id="p", kind="function_synthesis",
        prompt='def total(numbers: list) -> int:\n    """Return the sum of even numbers in numbers."""',
        canonical_solution="\n    return sum([n for n in numbers if n % 2 == 0])\n",
        test="def check(candidate):\n    assert candidate([1, 2]) == 2\n", entry_point="total",
    )  # fmt: skip
    made = _only("parameter_rename", task)
    new = made.prompt.split("(")[1].split(":")[0]
    assert new != "numbers"
    assert f"even numbers in {new}." in made.prompt and f"for n in {new} if" in made.canonical_solution
    by_keyword = replace(task, test="def check(candidate):\n    assert candidate(numbers=[1, 2]) == 2\n")
    assert draw(METHODS["parameter_rename"], [by_keyword]).num_unchanged == 1


def test_a_task_that_does_not_apply_is_counted_as_unchanged(functions: list[Task]) -> None:
    plain = [task for task in functions if "_" not in task.entry_point]
    found = draw(METHODS["name_camel_case"], plain)
    assert (len(found.items), found.num_unchanged) == (0, len(plain))


def test_a_task_without_docstring_is_rejected() -> None:
    bare = Task(
        task_id="b",
        kind="function_synthesis",
        prompt="def f(x):",
        canonical_solution="\n    return x\n",
        test="",
        entry_point="f",
    )
    assert draw(METHODS["char_case"], [bare]).num_rejected == 1


def test_promises_catch_what_methods_must_not_do(helpers_task: Task) -> None:
    form = Form(helpers_task)
    number = replace(helpers_task, prompt=helpers_task.prompt.replace("3.5", "3.6"))
    doctest = replace(helpers_task, prompt=helpers_task.prompt.replace("[2, 3]\n", "[2, 4]\n"))
    code = replace(helpers_task, canonical_solution=helpers_task.canonical_solution.replace("shift(i)", "shift(i + 0)"))
    broken = replace(helpers_task, prompt=helpers_task.prompt.replace('""" Return', "Return"))
    for promise in ("same_code", "same_tree", "same_up_to_names", "same_up_to_annotations"):
        assert keeps_promise(promise, form, helpers_task)
        assert not keeps_promise(promise, form, code) and not keeps_promise(promise, form, broken)
    assert not keeps_promise("same_code", form, number) and not keeps_promise("same_code", form, doctest)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose from butter_finger"):
        method_named("nonsense")
