"""Perturbations of names and code on tasks made to try them: what each does, and what each must not
touch.
"""

from dataclasses import replace

import pytest

from flab_deploy.corpus import Task
from flab_deploy.evaluation.grading.programs import program_of as judged_program
from flab_deploy.evaluation.perturb.catalogue import METHODS
from flab_deploy.evaluation.perturb.draw import Item, draw
from flab_deploy.evaluation.perturb.form import Form
from flab_deploy.evaluation.perturb.methods.chat import unfenced
from flab_deploy.evaluation.perturb.methods.function_names import rename_function
from flab_deploy.evaluation.perturb.promises import program_of
from flab_deploy.evaluation.perturb.proof import prove
from flab_deploy.sandbox import Limits

BODY = """    total = 0
    for k in range(1, len(xs), 2):
        if low < xs[k] <= high:
            total += 3
        else:
            total -= 1
    label = f"{total}"
    while total > 100:
        total -= 50
    return label + str(total)
"""
TASK = Task(
    task_id="t",
    kind="function_synthesis",
    prompt='def score(xs, low, high):\n    """Score xs."""\n',
    canonical_solution=BODY,
    entry_point="score",
    test="def check(candidate):\n    assert candidate([5, 2, 9, 4, 1, 7], 1, 4) == '55'\n",
)
SHOWN = replace(
    TASK,
    prompt=TASK.prompt + BODY[: BODY.index("    return")],
    canonical_solution=BODY[BODY.index("    return") :],
)
"""The same with all but the last line in the prompt."""


def _only(method: str, task: Task, seed: int = 0) -> Task:
    """The perturbed task, proven; the task is perturbed in the shape it has."""
    plain = replace(METHODS[method], shape="prompt")
    found = draw(plain, [task], seed)
    assert (len(found.items), found.num_rejected) == (1, 0), method
    (proof,) = prove(found.items, Limits())
    assert (proof.verdict, proof.detail) == ("pass", "")
    return found.items[0].task


def test_the_example_is_whole() -> None:
    assert program_of(SHOWN) == program_of(TASK)


@pytest.mark.parametrize(
    ("method", "there", "gone"),
    [
        (
            "for_while_transformer",
            ("= 1\n    while ", " < len(xs):\n        k = ", " += 2\n        if"),
            "for k in",
        ),
        (
            "block_swap",
            (
                "if not (low < xs[k] <= high):\n            total -= 1\n        else:\n       "
                "     total += 3",
            ),
            "",
        ),
        ("augmented_assignment_expansion", ("total = total ",), ""),
        ("dead_code_inserter_last", ("total -= 50\n    ",), ""),
        ("double_negation", ("not not (",), ""),
    ],
)
def test_code_is_rewritten(method: str, there: tuple[str, ...], gone: str) -> None:
    found = [_only(method, SHOWN, seed).prompt for seed in range(6)]
    assert any(all(text in prompt for text in there) for prompt in found), found[0]
    assert not gone or any(gone not in prompt for prompt in found)


@pytest.mark.parametrize(
    ("method", "text", "more"),
    [("unused_variable", "\n", 1), ("split_lines", "\n", 1), ("redundant_parentheses", "(", 1)],
)
def test_code_is_added(method: str, text: str, more: int) -> None:
    assert _only(method, SHOWN).prompt.count(text) == SHOWN.prompt.count(text) + more


@pytest.mark.parametrize("method", ["double_negation", "block_swap"])
def test_a_condition_may_follow_its_keyword_without_a_space(method: str) -> None:
    tight = {
        "if low < xs[k] <= high:": "if(low < xs[k]):",
        "while total > 100:": "while(total > 100):",
    }
    task = SHOWN
    for written, close in tight.items():
        task = replace(
            task,
            prompt=task.prompt.replace(written, close),
            test="def check(c):\n    c([1, 2], 1, 2)\n",
        )
    made = [_only(method, task, seed).prompt for seed in range(4)]
    assert any("not" in prompt for prompt in made) and not any("ifnot" in prompt for prompt in made)


def test_a_chain_is_split_only_where_its_middle_may_be_read_twice() -> None:
    assert (
        draw(replace(METHODS["chained_comparison_split"], shape="prompt"), [SHOWN]).num_unchanged
        == 1
    )
    plain = replace(
        SHOWN,
        prompt=SHOWN.prompt.replace("xs[k] <=", "k <="),
        test="def check(c):\n    c([1], 1, 2)\n",
    )
    made = draw(replace(METHODS["chained_comparison_split"], shape="prompt"), [plain]).items[0].task
    assert "if (low < k and k <= high):" in made.prompt


@pytest.mark.parametrize(
    "loop",
    [
        "    for x in xs:\n        xs.append(x)\n        break\n",  # changes what it runs over
        "    for x in xs:\n        xs = []\n",
        "    for x in xs[1:]:\n        pass\n",
        "    for x in xs:\n        pass\n    else:\n        low = 1\n",
        "    for x, y in zip(xs, xs):\n        pass\n",
    ],
)
def test_loops_that_are_not_safe_to_rewrite_stay(loop: str) -> None:
    task = replace(SHOWN, prompt=TASK.prompt + loop, canonical_solution="    return 1\n")
    assert (
        draw(replace(METHODS["for_while_transformer"], shape="prompt"), [task]).num_unchanged == 1
    )


def test_operands_with_effects_stay() -> None:
    task = replace(
        SHOWN,
        prompt=TASK.prompt + "    if xs.pop() < low():\n        return 1\n",
        canonical_solution="    return 1\n",
    )
    assert draw(replace(METHODS["operand_swap"], shape="prompt"), [task]).num_unchanged == 1


def test_variables_in_f_strings_and_parameters_keep_their_names() -> None:
    made = _only("var_renamer_naive", SHOWN)
    assert (
        "VAR_0" in made.prompt
        and "total = 0" in made.prompt
        and "def score(xs, low, high)" in made.prompt
    )
    assert "for VAR_0 in range" in made.prompt or "for VAR_1 in range" in made.prompt
    assert "label" not in made.prompt + made.canonical_solution


def test_a_renamed_variable_is_renamed_in_the_hidden_half() -> None:
    made = _only("var_renamer_rn", SHOWN)
    new = made.canonical_solution.split("return ")[1].split(" +")[0]
    assert new != "label" and f"    {new} = f" in made.prompt


def test_a_rename_reaches_doctests_and_tests_but_not_longer_names(helpers_task: Task) -> None:
    task = replace(helpers_task, test=helpers_task.test + "    assert shift_all([0]) == [1]\n")
    made = draw(METHODS["func_rename_camel_case"], [task]).items[0].task
    assert made.entry_point == "shiftAll"
    assert (
        ">>> shiftAll([1, 2])" in made.prompt
        and "def shift(value" in made.prompt
        and "`shift`" in made.prompt
    )
    assert "shiftAll([0])" in made.test and "shift_all" not in made.prompt + made.test


def test_an_unsafe_rename_is_not_made(helpers_task: Task) -> None:
    form = Form(helpers_task)
    assert rename_function(form, "shift") is None
    assert rename_function(form, "class") is None and rename_function(form, "len") is None
    shadowed = replace(
        helpers_task,
        canonical_solution="    shift_all = items\n    return [i + 1 for i in shift_all]\n",
    )
    assert rename_function(Form(shadowed), "other") is None


def test_a_renamed_parameter_is_renamed_where_it_is_meant() -> None:
    task = Task(
        task_id="p",
        kind="function_synthesis",
        prompt='def total(numbers: list) -> int:\n    """Return the sum of even numbers in '
        'numbers."""',
        canonical_solution="\n    return sum([n for n in numbers if n % 2 == 0])\n",
        test="def check(candidate):\n    assert candidate([1, 2]) == 2\n",
        entry_point="total",
    )
    made = _only("parameter_rename", task)
    new = made.prompt.split("(")[1].split(":")[0]
    assert new != "numbers"
    assert (
        f"even numbers in {new}." in made.prompt and f"for n in {new} if" in made.canonical_solution
    )
    by_keyword = replace(
        task, test="def check(candidate):\n    assert candidate(numbers=[1, 2]) == 2\n"
    )
    assert draw(METHODS["parameter_rename"], [by_keyword]).num_unchanged == 1


def test_a_task_that_does_not_apply_is_counted_as_unchanged(functions: list[Task]) -> None:
    plain = [task for task in functions if "_" not in task.entry_point]
    found = draw(METHODS["func_rename_camel_case"], plain)
    assert (len(found.items), found.num_unchanged) == (0, len(plain))


def test_blank_lines_that_end_examples_stay() -> None:
    doc = '"""Add.\n\n    >>> f(1)\n    2\n\n    More words.\n    """\n'
    task = replace(
        TASK,
        prompt="def f(x):\n    " + doc,
        canonical_solution="    return x + 1\n",
        entry_point="f",
        test="def check(candidate):\n    assert candidate(1) == 2\n",
    )
    made = _only("blank_line_removal", task)
    assert "Add.\n    >>> f(1)\n    2\n\n    More words." in made.prompt
    for seed in range(10):
        for method in ("new_lines", "trailing_spaces"):
            (item,) = draw(METHODS[method], [task], seed).items
            assert ">>> f(1)\n    2\n" in item.task.prompt


def test_numbers_as_words_and_back() -> None:
    doc = (
        '"""Take the first 3 of them, one by one, and 3.5 or "3 of" these, twelve at most; '
        'keep each one below 12."""'
    )
    made = _only("number_words", replace(TASK, prompt=f"def score(xs, low, high):\n    {doc}\n"))
    assert (
        "first three of" in made.prompt
        and '3.5 or "3 of"' in made.prompt
        and ", 12 at most" in made.prompt
    )
    assert "one by one" in made.prompt and "each one below twelve." in made.prompt


def test_a_wrapper_is_no_part_of_the_program() -> None:
    (item,) = draw(METHODS["chat_alpaca"], [TASK]).items
    assert isinstance(item, Item) and item.task.prompt.endswith("```python\n" + TASK.prompt)
    assert item.program == TASK
    assert judged_program(item.task, BODY, "chat_alpaca", False) == program_of(TASK)
    assert judged_program(item.task, BODY + "```\nDone.\n", "chat_alpaca", False) == program_of(
        TASK
    )
    assert unfenced("```python\nx\n") == "```python\nx\n"
