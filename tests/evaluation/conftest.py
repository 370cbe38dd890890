"""Tasks in the shapes that perturbations must cope with."""

import pytest

from flab_deploy.corpus import Task
from flab_deploy.reference.tasks import make_tasks

HELPERS = '''from typing import List


def shift(value: int) -> int:
    """Helper."""
    return value + 1


def shift_all(items: List[int], step: int = 1) -> List[int]:
    """ Return every one of the items, shifted by 1 with `shift`; "items" stays as it is.
    Check the sum of items if the number is greater than 3.5, don't count twice.
    >>> shift_all([1, 2])
    [2, 3]
    """
'''


@pytest.fixture(scope="session")
def functions() -> list[Task]:
    """Reference tasks of function synthesis."""
    return make_tasks("test", "function_synthesis", 60)


@pytest.fixture
def helpers_task() -> Task:
    """A task in HumanEval's style: imports, a helper, recursion-free body, prompt ending in a
    newline.
    """
    return Task(
        task_id="h",
        kind="function_synthesis",
        prompt=HELPERS,
        canonical_solution="    out = []\n    for i in items:\n        out.append(shift(i))\n "
        "   return out\n",
        test="def check(candidate):\n    assert candidate([1, 2]) == [2, 3]\n    assert "
        "candidate([]) == []\n",
        entry_point="shift_all",
    )
