"""Every perturbation changes something, keeps its promise, repeats itself, and its canonical
solution still passes.
"""

import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from random import Random

import pytest

from flab_deploy.corpus import Task, corpus_digest
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.audit.own_methods import as_text, prove_methods
from flab_deploy.evaluation.perturb import methods
from flab_deploy.evaluation.perturb.catalogue import DEFAULT_METHODS, METHODS, method_named, select
from flab_deploy.evaluation.perturb.draw import Item, draw
from flab_deploy.evaluation.perturb.form import Edit, Form
from flab_deploy.evaluation.perturb.methods.prefix import with_prefix
from flab_deploy.evaluation.perturb.promises import (
    changed_share,
    exchanged_names,
    keeps_promise,
    program_of,
    skeleton,
)
from flab_deploy.evaluation.perturb.proof import Known, checked_program, prove, run_all
from flab_deploy.evaluation.perturb.registry import CODE_PREFIX, FAMILIES, methods_in, perturbation
from flab_deploy.evaluation.source_code import parse
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits

ROOT = Path(__file__).parents[3]
NEVER_ON_REFERENCE_TASKS = {"chained_comparison_split", "augmented_assignment_expansion"}


@pytest.fixture(scope="session")
def mixed(functions: list[Task]) -> list[Task]:
    """Reference tasks of all kinds."""
    return [
        *functions[:40],
        *make_tasks("test", "output_prediction", 20),
        *make_tasks("test", "chain_of_thought", 10),
    ]


def test_the_documents_say_how_many_methods_there_are() -> None:
    # CODE_PREFIX, from which some methods start, is none of them.
    texts = [ROOT / name for name in ("README.md", "docs/results.md") if (ROOT / name).is_file()]
    words = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in texts)
    said = re.findall(r"perturb[^.]*? (\d+) methods\b|\b(\d+) perturbation methods\b", words)
    assert {int(one or other) for one, other in said} == {len(METHODS) - 1}


def test_the_methods_are_of_all_families() -> None:
    assert {m.family for m in METHODS.values()} == set(FAMILIES)
    assert {METHODS[name].family for name in DEFAULT_METHODS} == set(FAMILIES)
    assert len(DEFAULT_METHODS) == len(set(DEFAULT_METHODS)) == 12
    assert not any(METHODS[name].probe for name in DEFAULT_METHODS)
    published = [m.published for m in METHODS.values() if m.published]
    assert len(published) == len(set(published)) >= 25


def test_every_method_has_a_name_of_its_own_and_says_what_it_does() -> None:
    folder = Path(methods.__file__).parent
    modules = [import_module(f"{methods.__name__}.{path.stem}") for path in folder.glob("[!_]*.py")]
    names = [method.name for module in modules for method in methods_in(module)]
    assert sorted(names) == sorted(METHODS)
    texts = [method.description for method in METHODS.values()]
    assert len(set(texts)) == len(texts)
    assert all(text.endswith((".", "?")) and "\n" not in text for text in texts)
    assert METHODS["crlf"].description == "The prompt's lines ended as on Windows."
    assert (
        METHODS["chat_german"].wrapper == "Vervollst\u00e4ndige die folgende Python-Funktion.\n\n"
    )


def test_a_rewrite_becomes_a_method(helpers_task: Task) -> None:
    @perturbation(family="format", promise="same_tree", published="Shouted")
    def shouted(form: Form, rng: Random) -> list[Edit]:
        """The description
        in capitals.

        For this test.
        """
        return [Edit(start=w.start, end=w.end, text=form.text(w).upper()) for w in form.words]

    method = methods_in(sys.modules[__name__])[-1]
    assert (method.name, method.description) == ("shouted", "The description in capitals.")
    made = method.rewrite(Form(helpers_task), Random(0))
    assert made is not None and "RETURN EVERY ONE OF THE items" in made.prompt
    assert method.rewrite(Form(described(helpers_task, "0.")), Random(0)) is None
    assert method.published == "Shouted" and "shouted" not in METHODS


def test_no_item_is_broken_on_reference_tasks() -> None:
    audit = prove_methods(["all"], num_tasks=5, num_seeds=2)
    found = audit.methods
    assert {one.name: one.examples for one in found if one.num_broken or one.num_rejected} == {}
    assert all(METHODS[one.name].description in as_text(audit) for one in found)
    assert all(one.num_items + one.num_no_op + one.num_rejected == one.num_given for one in found)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_items_differ_and_keep_the_rest(method: str, mixed: list[Task]) -> None:
    found = draw(METHODS[method], mixed, 3)
    assert len(found.items) + found.num_unchanged + found.num_rejected == len(mixed)
    assert found.num_rejected == 0
    assert found.items or method in NEVER_ON_REFERENCE_TASKS
    by_id = {task.task_id: task for task in mixed}
    for item in found.items:
        before = by_id[item.task.task_id]
        assert item.original is not None and item.task.prompt != item.original.prompt
        if METHODS[method].shape == "prompt":
            assert item.original == before
        parse(program_of(item.program))


def test_items_are_the_same_in_another_process(mixed: list[Task]) -> None:
    script = (
        "from flab_deploy.corpus import corpus_digest as d\n"
        "from flab_deploy.evaluation.perturb.catalogue import METHODS\n"
        "from flab_deploy.evaluation.perturb.draw import draw\n"
        "from flab_deploy.reference.tasks import make_tasks\n"
        "tasks = [*make_tasks('test', 'function_synthesis', 60)[:40], *make_tasks('test', "
        "'output_prediction', 20),"
        " *make_tasks('test', 'chain_of_thought', 10)]\n"
        "print(d([i.task for m in METHODS.values() for i in draw(m, tasks, 7).items]))\n"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "123",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    here = corpus_digest([i.task for m in METHODS.values() for i in draw(m, mixed, 7).items])
    assert done.stdout.strip() == here


@pytest.mark.parametrize(
    "method", ["butter_fingers_perturbation", "func_rename_swap_char", "dead_code_inserter"]
)
def test_another_seed_gives_other_items(method: str, mixed: list[Task]) -> None:
    first, other = draw(METHODS[method], mixed, 0), draw(METHODS[method], mixed, 1)
    assert [i.task.prompt for i in first.items] != [i.task.prompt for i in other.items]


@pytest.mark.parametrize("method", [m.name for m in METHODS.values() if m.promise == "same_code"])
def test_names_numbers_quotes_and_doctests_stay(method: str, helpers_task: Task) -> None:
    for seed in range(20):
        for item in draw(METHODS[method], [helpers_task], seed).items:
            for kept in (
                "`shift`",
                '"items"',
                "1",
                "3.5",
                "    >>> shift_all([1, 2])\n    [2, 3]\n",
                "items",
            ):
                assert kept in item.task.prompt, (method, seed)
            head = helpers_task.prompt.index("Return")
            assert item.task.prompt[:head].rstrip() == helpers_task.prompt[:head].rstrip()


def test_promises_catch_what_methods_must_not_do(helpers_task: Task) -> None:
    form = Form(helpers_task)
    number = replace(helpers_task, prompt=helpers_task.prompt.replace("3.5", "3.6"))
    doctest = replace(helpers_task, prompt=helpers_task.prompt.replace("[2, 3]\n", "[2, 4]\n"))
    code = replace(
        helpers_task,
        canonical_solution=helpers_task.canonical_solution.replace("shift(i)", "shift(i + 0)"),
    )
    broken = replace(helpers_task, prompt=helpers_task.prompt.replace('""" Return', "Return"))
    tested = replace(helpers_task, test=helpers_task.test.replace("[2, 3]", "[2, 4]"))
    signature = replace(
        helpers_task, prompt=helpers_task.prompt.replace("step: int = 1", "step: int = 2")
    )
    for promise in ("same_code", "same_tree", "same_up_to_names", "same_up_to_annotations"):
        assert keeps_promise(promise, form, helpers_task)
        assert not any(
            keeps_promise(promise, form, made) for made in (number, code, broken, tested, signature)
        ), promise
    for promise in ("same_code", "same_code_other_numbers", "same_up_to_names", "same_behaviour"):
        assert not keeps_promise(promise, form, doctest)
    assert keeps_promise("same_behaviour", form, code)
    assert not any(
        keeps_promise("same_behaviour", form, made) for made in (number, broken, tested, signature)
    )


def test_only_own_names_are_exchanged_and_one_for_one() -> None:
    before = parse("def f(a):\n    b = len(a)\n    return b\n")
    for source, names in {
        "def f(x):\n    y = len(x)\n    return y\n": {"a": "x", "b": "y"},
        "def f(b):\n    a = len(b)\n    return a\n": {"a": "b", "b": "a"},
        "def f(x):\n    x = len(x)\n    return x\n": None,  # two names became one
        "def f(a):\n    b = sum(a)\n    return b\n": None,  # not its own name
        "def f(a):\n    max = len(a)\n    return max\n": None,  # hides a builtin
        "def f(a):\n    b = len(a)\n    return a\n": None,
    }.items():
        assert exchanged_names(before, parse(source)) == names, source


def test_the_share_of_changed_characters() -> None:
    assert changed_share("abcd", "abcd") == 0
    assert changed_share("abcd", "abxd") == 0.25
    assert changed_share("abcd", "abcdabcd") == 0.5
    assert changed_share("abcd", "wxyz") == 1


def test_a_prefix_is_the_first_half_of_the_solution(
    functions: list[Task], helpers_task: Task
) -> None:
    for task in [*functions, helpers_task]:
        made = with_prefix(Form(task))
        lines = [line for line in task.canonical_solution.split("\n") if line.strip()]
        assert (made is None) == (len(lines) == 1)
        if made is not None:
            assert program_of(made) == program_of(task)
            assert made.prompt.endswith("\n") == task.prompt.endswith("\n")
            shown = [
                line for line in made.prompt.removeprefix(task.prompt).split("\n") if line.strip()
            ]
            assert shown == lines[: len(lines) // 2]


def test_statements_of_several_lines_are_not_torn_apart() -> None:
    solution = (
        "    total = sum(\n        x\n        for x in xs\n    )\n    total += 1\n    "
        "return total\n"
    )
    task = Task(
        task_id="t",
        kind="function_synthesis",
        prompt='def f(xs):\n    """Add."""\n',
        canonical_solution=solution,
        test="",
        entry_point="f",
    )
    made = with_prefix(Form(task))
    assert made is not None and made.prompt.endswith("    )\n")


def test_a_task_without_docstring_is_rejected() -> None:
    bare = Task(
        task_id="b",
        kind="function_synthesis",
        prompt="def f(x):",
        canonical_solution="\n    return x\n",
        test="",
        entry_point="f",
    )
    assert draw(METHODS["change_char_case"], [bare]).num_rejected == 1


def test_names_of_methods() -> None:
    assert method_named("ButterFingersPerturbation").name == "butter_fingers_perturbation"
    assert select(["ForWhileTransformer", "for_while_transformer"]) == ("for_while_transformer",)
    assert select(["default"]) == DEFAULT_METHODS
    assert set(select(["all"])) == set(METHODS) - {CODE_PREFIX}
    assert select(["chat"]) == tuple(m.name for m in METHODS.values() if m.family == "chat")
    with pytest.raises(ConfigError, match="choose from all, natural_language"):
        method_named("nonsense")


def test_proofs_find_wrong_solutions_in_a_batch_and_no_others(functions: list[Task]) -> None:
    wrong = replace(functions[1], canonical_solution="\n    return None\n")
    hangs = replace(functions[2], canonical_solution="\n    while True:\n        pass\n")
    poison = replace(functions[3], canonical_solution="\n    raise SystemExit\n")
    programs = [
        checked_program(str(i), t)
        for i, t in enumerate([functions[0], wrong, hangs, poison, *functions[4:9]])
    ]
    found = [verdict for verdict, _ in run_all(programs, Limits(cpu_s=0.2, wall_s=5))]
    assert found[0] == "pass" and found[4:] == ["pass"] * 5
    assert (
        found[1] in ("fail_assert", "fail_exception")
        and found[2] == "timeout_cpu"
        and found[3] != "pass"
    )


def test_behaviour_is_compared_beyond_the_test() -> None:
    task = Task(
        task_id="d",
        kind="function_synthesis",
        prompt='def f(x):\n    """Shift."""\n',
        canonical_solution="    return x + 2\n",
        test="def check(candidate):\n    assert candidate(2) == 4\n",
        entry_point="f",
    )
    other = replace(task, canonical_solution="    return x * 2\n")
    passes, fails = checked_program("", other), checked_program("", other, task)
    assert [verdict for verdict, _ in run_all([passes, fails], Limits())] == ["pass", "fail_assert"]
    grows = replace(
        task,
        canonical_solution="    x.append(1)\n    return len(x)\n",
        test="def check(candidate):\n    assert candidate([1]) == 2\n",
    )
    keeps = replace(grows, canonical_solution="    return len(x) + 1\n")
    ((verdict, _),) = run_all([checked_program("", keeps, grows)], Limits())
    assert verdict == "fail_assert"


def test_inputs_that_ask_for_too_much_prove_nothing() -> None:
    body = "    while n > 30:\n        pass\n    return n\n"
    task = Task(
        task_id="w",
        kind="function_synthesis",
        prompt='def f(n):\n    """Wait."""\n',
        canonical_solution=body,
        test="def check(candidate):\n    assert candidate(30) == 30\n",
        entry_point="f",
    )
    other = replace(task, canonical_solution=body.replace("return n", "return n + 0"))
    items = [
        Item(method="operand_swap", task=made, original=task)
        for made in (other, replace(other, canonical_solution=body + "\n    n = 1\n"))
    ]
    known: Known = {}
    assert [proof.verdict for proof in prove(items, Limits(cpu_s=0.2, wall_s=5), known=known)] == [
        "pass"
    ] * 2
    waited = [verdict for verdict, _ in known.values() if verdict == "timeout_cpu"]
    assert len(waited) == 1  # once for the task, not once for each of its items


def test_equal_programs_run_once(functions: list[Task]) -> None:
    items = [
        item
        for name in ("change_char_case", "new_lines")
        for item in draw(METHODS[name], functions[:5]).items
    ]
    proofs = prove(items, Limits())
    assert [proof.verdict for proof in proofs] == ["pass"] * 10
    assert sum(proof.own_run for proof in proofs) == 5
    assert len({skeleton(program_of(item.program)) for item in items}) == 5


@pytest.mark.parametrize(
    ("method", "description", "wanted"),
    [
        (
            "declarative_sentence",
            "Return the sum.",
            {f"{who} returns the sum." for who in ("This function", "The function", "It")},
        ),
        (
            "declarative_sentence",
            "Given a list,\n    return the sum.",
            {
                f"Given a list,\n    {who} returns the sum."
                for who in ("this function", "the function", "it")
            },
        ),
        ("declarative_sentence", "You are given a list. Of it, return the sum.", set()),
        (
            "polite_request",
            "For a list, find the least.",
            {
                f"For a list, {ask} find the least."
                for ask in ("please", "kindly", "your task is to", "write code to")
            },
        ),
        ("polite_request", "Given a list. Then, return the sum.", set()),
    ],
)
def test_sentences_are_turned(
    method: str, description: str, wanted: set[str], helpers_task: Task
) -> None:
    task = described(helpers_task, description)
    found = {i.task.prompt for seed in range(40) for i in draw(METHODS[method], [task], seed).items}
    assert found == {described(helpers_task, text).prompt for text in wanted}


@pytest.mark.parametrize(
    ("description", "before"),
    [
        ("Return the sum. It is 0 for none.", "Return the sum."),
        ("Return the\n    sum (e.g. 1.5 for 1.5).", "1.5)."),
        ("Return the sum\n    >>> f(1)\n    1", "Return the sum."),
        ("Is it even? Tell.", "Is it even?"),
        ("Scale so that the largest is 1\n    >>> f(1)\n    1", "is 1."),
    ],
)
def test_a_filler_follows_the_first_sentence(
    description: str, before: str, helpers_task: Task
) -> None:
    (item,) = draw(METHODS["filler_sentence"], [described(helpers_task, description)], 0).items
    added = len(item.task.prompt) - len(described(helpers_task, description).prompt)
    assert (
        item.task.prompt.split(" This helper is ")[0]
        .split(" The function is ")[0]
        .split(" It was ")[0]
        .endswith(before)
    )
    assert added > 20


def described(task: Task, description: str) -> Task:
    """A task with another description."""
    form = Form(task)
    start, end = form.inner.start, form.inner.end
    return replace(task, prompt=f"{task.prompt[:start]}{description}\n    {task.prompt[end:]}")
