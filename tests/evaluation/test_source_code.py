"""Names that a source binds, way by way, and what does not parse."""

import pytest

from flab_deploy.evaluation.source_code import bound_names, parse, parse_if_python, squashed

SOURCE = """
import os.path, sys as system
from math import pi as circle

class Shape:
    def area(self, scale=1):
        total = self.size * scale
        del scale
        return total

async def later(*rest):
    try:
        [item for item in rest]
    except ValueError as error:
        print(error)
"""


def test_names_are_found_by_the_way_they_are_bound() -> None:
    tree = parse(SOURCE)
    assert bound_names(tree, "assigned") == {"total", "item"}
    assert bound_names(tree, "deleted") == {"scale"}
    assert bound_names(tree, "parameter") == {"self", "scale", "rest"}
    assert bound_names(tree, "function") == {"area", "later"}
    assert bound_names(tree, "class", "exception") == {"Shape", "error"}
    assert bound_names(tree, "import") == {"os", "system", "circle"}
    used = {"print", "ValueError", "size", "math", "pi"}
    assert len(bound_names(tree)) == 12 and used.isdisjoint(bound_names(tree))


@pytest.mark.parametrize("source", ["def f(:", "\0", "(" * 5000 + ")" * 5000])
def test_what_is_no_python_has_no_tree(source: str) -> None:
    assert parse_if_python(source) is None
    with pytest.raises((SyntaxError, ValueError, RecursionError, MemoryError)):
        parse(source)


def test_odd_literals_are_parsed_without_a_warning() -> None:
    tree = parse_if_python(r"x = '\d'")
    assert tree is not None and bound_names(tree) == {"x"}


def test_white_space_and_comment_signs_do_not_count() -> None:
    assert squashed("a = 1  # one\n\tb") == "a=1oneb"
