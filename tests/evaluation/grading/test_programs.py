"""Values are compared with their types; programs are put together without losing or gaining
text.
"""

from dataclasses import replace

import pytest

from flab_deploy.corpus import Task
from flab_deploy.evaluation.grading.programs import (
    parses,
    program_of,
    same_value,
    value_of,
    value_verdict,
)
from flab_deploy.evaluation.perturb.methods.layout import fit_indentation

VALUE = Task(
    task_id="v",
    kind="output_prediction",
    prompt="assert f([1]) ==",
    canonical_solution=" [1]\n",
    test="[1]",
    entry_point="f",
)
FUNCTION = Task(
    task_id="f",
    kind="function_synthesis",
    prompt='def f(x):\n    """One."""',
    canonical_solution="\n    return 1\n",
    test="def check(candidate):\n    assert candidate(0) == 1\n",
    entry_point="f",
)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (True, 1),
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ({1: 2}, {1: True}),
        ({1}, {True}),
        ("1", 1),
        (b"a", "a"),
        (None, 0),
    ],
)
def test_values_of_different_types_differ(left: object, right: object) -> None:
    assert not same_value(left, right) and not same_value([left], [right])


@pytest.mark.parametrize(
    "value", [1, True, -2.5, "a'b", None, [1, (2, "x")], {"a": [1], 2: {3}}, {1, 2}, b"x", 1j, []]
)
def test_a_value_equals_itself(value: object) -> None:
    assert same_value(value, value_of(" " + repr(value) + "\n"))


def test_order_counts_in_lists_and_not_in_sets_and_dictionaries() -> None:
    assert not same_value([1, 2], [2, 1])
    assert same_value({1, "a"}, {"a", 1}) and same_value({1: "a", 2: "b"}, {2: "b", 1: "a"})


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (" [1]\n", "pass"),
        (" [ 1 ]\nprint()", "pass"),
        ("", "fail_load"),
        (" [True]", "fail_assert"),
        (" [2]", "fail_assert"),
        (" __import__('os').getcwd()", "fail_load"),
        (" f([1])", "fail_load"),
        (" " + "[" * 5000, "fail_load"),
        (" mock.ANY", "fail_load"),
        (" " + "9" * 20_000, "fail_load"),
    ],
)
def test_verdicts_on_values(text: str, verdict: str) -> None:
    assert value_verdict(VALUE, text) == verdict


def test_a_cut_off_completion_loses_only_its_unfinished_end() -> None:
    text = "\n    y = x + 1\n    return 1\n\nprint(f("
    assert (
        program_of(FUNCTION, text, None, truncated=True)
        == FUNCTION.prompt + "\n    y = x + 1\n    return 1\n"
    )
    broken = "\n    y = x + 1\n    return (1"
    assert program_of(FUNCTION, broken, None, truncated=False) == FUNCTION.prompt + broken


def test_indentation_is_fitted_only_where_it_was_perturbed() -> None:
    prompt = 'def f(x):\n\t"""One."""'
    text = "\n    for i in x:\n        return i\n    return 1\n"
    task = replace(FUNCTION, prompt=prompt)
    assert (
        program_of(task, text, "tab_indent", False)
        == prompt + "\n\tfor i in x:\n\t\treturn i\n\treturn 1\n"
    )
    assert program_of(task, text, None, False) == prompt + text
    assert fit_indentation(prompt, "\n\treturn 1\n") == "\n\treturn 1\n"
    assert fit_indentation(prompt, " return 1") == " return 1"


def test_hostile_sources_do_not_upset_the_parser() -> None:
    assert not parses("(" * 100_000)
    assert not parses("a\0b")
    assert parses(r"x = '\d'")
