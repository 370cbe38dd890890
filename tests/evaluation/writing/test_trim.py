"""What follows a solution is dropped; helper functions that it uses are not."""

import pytest

from flab_deploy.corpus import Task
from flab_deploy.evaluation.grading.programs import arguments_of, program_of
from flab_deploy.evaluation.writing.trim import first_stop, trimmed

PROMPT = 'def solve(x):\n    """Do it."""'
NESTED = "\n    def inner(y):\n        return y\n    return inner(x)\n"
BODY = "\n    return helper(x) + LIMIT\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\n    return x\n", "\n    return x\n"),
        ("\n    return x\n\n\ndef other(y):\n    return y\n", "\n    return x\n"),
        ("\n    return x\n\nprint(solve(1))\nassert False\n", "\n    return x\n"),
        ("\n    return x\n\nif __name__ == '__main__':\n    solve(1)\n", "\n    return x\n"),
        ("\n    return x\n```\nThis function returns x.", "\n    return x\n"),
        ("\n    return x\n\n\ndef solve(x):\n    return None\n", "\n    return x\n"),
        ("\n    return x\n\n\n@undefined\nclass Other:\n    pass\n", "\n    return x\n"),
        (NESTED, NESTED),
    ],
)
def test_what_is_not_the_solution_goes(text: str, kept: str) -> None:
    assert trimmed(PROMPT, text, "solve") == kept


def test_what_the_solution_uses_stays() -> None:
    text = (
        BODY + "\n\nimport math\nimport os\nLIMIT = 3\nUNUSED = 4\n\n\ndef unused(y):\n    return "
        "y\n\n\n"
        "@wrap\ndef helper(y):\n    return deeper(y)\n\n\ndef deeper(y):\n    return "
        "table[y]\n\n\ntable = {}\n"
        "for i in range(9):\n    table[i] = math.floor(i)\n\n\ndef wrap(f):\n    return f\n"
    )
    found = PROMPT + trimmed(PROMPT, text, "solve")
    scope: dict[str, object] = {}
    assert "unused" not in found and "os" not in found.split() and "UNUSED" not in found
    # Definitions stay in their order, so a decorator that comes too late still fails as it did.
    with pytest.raises(NameError, match="wrap"):
        exec(found, scope)
    exec(found.replace("@wrap\n", ""), scope)
    assert scope["solve"](5) == 8  # type: ignore[operator]


def test_a_program_that_restarts_keeps_its_real_definition() -> None:
    text = '\n\n\ndef solve(x):\n    """Again."""\n    return x\n\n\ndef next_one():\n    pass\n'
    assert trimmed(PROMPT, text, "solve") == '\n\n\ndef solve(x):\n    """Again."""\n    return x\n'


def test_unparsable_text_is_left_alone() -> None:
    assert trimmed(PROMPT, "\n    return (\n", "solve") == "\n    return (\n"


def test_a_stop_counts_only_after_a_whole_solution() -> None:
    inside = '\n    text = """\nprint(1)\n"""\n    return text\n'
    assert first_stop(PROMPT, inside, "solve") is None
    assert first_stop(PROMPT, inside + "\nprint(2)", "solve") == len(inside)
    late = "\nprint(0)\n\ndef solve():\n    return 1\n\nprint(1)"
    assert first_stop('"""Write solve."""', late, "solve") == late.index("\nprint(1)")


def test_a_cut_off_program_loses_its_end_and_what_is_not_its_own() -> None:
    task = Task(
        task_id="t",
        kind="function_synthesis",
        prompt=PROMPT,
        canonical_solution="",
        test="",
        entry_point="solve",
    )
    text = "\n    return x\n\n\ndef other(y):\n    return (y"
    assert program_of(task, text, None, truncated=True) == PROMPT + "\n    return x\n\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1, 'x)')\n", "1, 'x)'"),
        (")", ""),
        ("[1, (2, 3)], key=None) # so", "[1, (2, 3)], key=None"),
        ("-1.5)\nprint()", "-1.5"),
        ("{1: {2}})", "{1: {2}}"),
    ],
)
def test_arguments_are_literals(text: str, found: str) -> None:
    assert arguments_of(text) == found


@pytest.mark.parametrize(
    "text",
    ["", "1", "open('x'))", "*[1])", "**{})", "x)", "__import__('os').getcwd())", "1) + (2)"[:1]],
)
def test_other_arguments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="arguments"):
        arguments_of(text)
