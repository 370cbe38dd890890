"""No program passes that is not right, harms anything, or disturbs the next.

Half a minute per user: a dozen programs must run into their time limit, twice each.
"""

from __future__ import annotations

import json
import os

import pytest

from flab_deploy.sandbox import describe_sandbox, tier_of
from tests.sandbox.hostile import ATTACKS
from tests.sandbox.other_user import NOBODY, reachable_interpreter, run_as
from tests.sandbox.suite import run_suite


def test_there_are_many_different_attacks() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100
    assert not any(
        "pass" in attack.verdicts or "infra_error" in attack.verdicts for attack in ATTACKS
    )


def test_attacks_fail_and_leave_nothing_behind() -> None:
    assert run_suite() == []


@pytest.mark.slow
@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can become another user; the suite ran as this one"
)
@pytest.mark.parametrize(("user", "tiers"), [(NOBODY, {"1", "2"}), (0, {"1r", "2r"})])
def test_attacks_fail_with_the_systems_interpreter(user: int, tiers: set[str]) -> None:
    """As an ordinary user, and as root with an interpreter that private users can reach by
    themselves.
    """
    interpreter = reachable_interpreter()
    result = run_as(interpreter, user, "from tests.sandbox.suite import main; main()")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["complaints"] == [], interpreter
    assert told["sandbox"]["tier"].removesuffix("c") in tiers


def test_the_tiers() -> None:
    required, namespaces = ["landlock", "seccomp"], ["private_network", "limited_disk"]
    assert tier_of(["landlock", *namespaces, "private_user"]) == "0"
    assert (
        tier_of([*required, "limited_disk"]) == "1" and tier_of([*required, "private_user"]) == "1r"
    )
    assert (
        tier_of([*required, *namespaces]) == "2"
        and tier_of([*required, *namespaces, "private_user"]) == "2r"
    )
    groups = ["cgroup_memory", "cgroup_pids"]
    assert (
        tier_of([*required, *groups]) == "1c"
        and tier_of([*required, "cgroup_pids", "cgroup_kill"]) == "1"
    )
    assert (
        tier_of([*required, *namespaces, *groups, "private_user"]) == "2rc"
        and tier_of(groups) == "0"
    )


def test_the_tier_is_found_by_trying() -> None:
    described = describe_sandbox()
    assert str(described["tier"]).removesuffix("c") in (
        {"1r", "2r"} if os.getuid() == 0 else {"1", "2"}
    )
    assert {"landlock", "seccomp", "rlimits", "separate_test_process"} <= set(described["layers"])
