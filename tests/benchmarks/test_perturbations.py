"""The proof behind the perturbations: every method, 500 reference tasks, 5 seeds, every solution
run.
"""

import sys
import time

import pytest

from flab_deploy.evaluation.audit.own_methods import as_text, prove_methods

pytestmark = pytest.mark.benchmark


@pytest.mark.timeout(7200)
def test_no_method_makes_a_broken_item() -> None:
    started = time.monotonic()
    audit = prove_methods(["all"], num_tasks=500, num_seeds=5)
    sys.stdout.write(f"\n{as_text(audit)}\nin {time.monotonic() - started:.0f} s\n")
    found = audit.methods
    assert {one.name: one.examples for one in found if one.num_broken} == {}
    assert {one.name: one.num_rejected for one in found if one.num_rejected} == {}
    assert len([one for one in found if one.num_items]) >= 45
    assert all(one.num_given >= 2500 for one in found)
