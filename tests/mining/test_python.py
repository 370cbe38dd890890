"""Python functions as prompt and completion."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from flab_deploy.mining.languages.python import LANGUAGE
from tests.mining.trees import mined, parts, place, squares

SHAPES = '''\
import functools


@functools.cache
@functools.wraps(
    print,
)
def area(
    width,
    height=(1, 2),
):  # in metres
    # before the description
    """Multiply.

    More.
    """  # noqa
    # how

    first = width * height[0]
    return first


class Outer(
    object
):
    """Not asked for."""

    class Inner:

        @property
        def size(self):
            r\'\'\'How
            large.\'\'\'

            text = """
no indentation here
"""
            return text


async def wait(seconds): # asynchronously
    'Wait.'
    await sleep(seconds)
    return seconds
'''


def test_a_function_is_given_up_to_its_docstring_and_a_method_below_its_class(
    tmp_path: Path,
) -> None:
    found = mined(tmp_path, {"shapes.py": SHAPES})
    assert found.kinds == {"function": 2, "method": 1}
    area, size, wait = parts(found)
    assert area[0] == SHAPES[SHAPES.index("@functools") : SHAPES.index("  # noqa")] + "  # noqa"
    assert area[1] == "\n    # how\n\n    first = width * height[0]\n    return first\n"
    assert size[0] == (
        "class Outer(\n    object\n):\n    class Inner:\n        @property\n"
        "        def size(self):\n            r'''How\n            large.'''"
    )
    assert size[1].endswith(
        '\n            text = """\nno indentation here\n"""\n            return text\n'
    )
    assert wait == (
        "async def wait(seconds): # asynchronously\n    'Wait.'",
        "\n    await sleep(seconds)\n    return seconds\n",
    )
    lines = sorted(place(record.source)[1] for record in found.records)
    starts = ("@functools", "        @property", "async def")
    assert lines == [SHAPES[: SHAPES.index(start)].count("\n") + 1 for start in starts]


def test_what_is_mined_is_python_and_prompts_end_where_a_token_ends(tmp_path: Path) -> None:
    for prompt, completion in parts(mined(tmp_path, {"shapes.py": SHAPES, "more.py": squares()})):
        ast.parse(prompt + completion)
        assert prompt == prompt.rstrip()
        assert completion.startswith("\n") and completion.endswith("\n")


def test_a_test_without_docstring_is_given_by_its_header(tmp_path: Path) -> None:
    source = """\
        @mark
        def test_sum(numbers, more=":"):  # quick

            # first
            @local
            def helper():
                return 1
            assert sum(numbers) == helper()


        class TestAll(Case):
            def test_one(
                self,
            ):
                value = 1
                assert value


        def test_described():
            "It has words."
            value = 2
            assert value == 2


        def helper(numbers):
            total = sum(numbers)
            return total
        """
    found = mined(tmp_path, {"test_all.py": source})
    assert found.kinds == {"test": 2, "function": 1}
    prompts = [prompt for prompt, _ in parts(found)]
    assert prompts == [
        '@mark\ndef test_sum(numbers, more=":"):  # quick',
        "class TestAll(Case):\n    def test_one(\n        self,\n    ):",
        'def test_described():\n    "It has words."',
    ]
    completions = [completion for _, completion in parts(found)]
    assert completions[0].startswith("\n\n    # first\n    @local\n    def helper():")
    assert completions[1] == "\n        value = 1\n        assert value\n"


def test_what_is_defined_under_a_condition_or_in_a_function_is_passed_over(tmp_path: Path) -> None:
    inner = squares("inner").replace("\n", "\n    ")
    found = mined(tmp_path, {"a.py": f"if True:\n{inner}\ndef outer():\n{inner}\n" + squares()})
    assert [prompt.splitlines()[0] for prompt, _ in parts(found)] == ["def squares(values):"]


@pytest.mark.parametrize(
    "content",
    [
        b"# -*- coding: latin-1 -*-\n" + squares("größe").encode("latin-1"),
        b"\xef\xbb\xbf" + squares("größe").encode(),
        squares("größe").replace("\n", "\r\n").encode(),
        (squares("größe") + "# a\x0cb\u2028c\n").encode(),
    ],
    ids=["latin-1", "byte order mark", "carriage returns", "other separators"],
)
def test_a_file_is_read_as_python_reads_it(tmp_path: Path, content: bytes) -> None:
    found = mined(tmp_path, {"size.py": content})
    assert found.files_left_out.total() == 0
    ((prompt, completion),) = parts(found)
    assert prompt == 'def größe(values):\n    """Add up the squares of values."""'
    assert completion == squares().split('."""')[1]


def test_odd_escapes_do_not_warn() -> None:
    text = 'PATTERN = "\\d"\n' + squares()
    assert [found.line for found in LANGUAGE.candidates(text)] == [3]
