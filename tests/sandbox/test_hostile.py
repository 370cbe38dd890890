"""No program passes that is not right, harms anything, or disturbs the next.

Half a minute per user: a dozen programs must run into their time limit, twice each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flab_deploy.sandbox import describe_sandbox, tier_of

from .hostile import ATTACKS
from .suite import run_suite

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def test_there_are_many_different_attacks() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100
    assert not any("pass" in attack.verdicts or "infra_error" in attack.verdicts for attack in ATTACKS)


def test_attacks_fail_and_leave_nothing_behind() -> None:
    assert run_suite() == []


def _run(interpreter: str, user: int, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with a Python and a user of choice; raises OSError if that user cannot reach it."""
    return subprocess.run(
        [interpreter, "-B", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def _reachable_interpreter() -> str:
    """A Python, new enough, that an ordinary user can start and that can read this package; skips without one."""
    known = [sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"]
    for interpreter in [*known, *filter(None, map(shutil.which, ("python3", "python3.12", "python3.11")))]:
        try:
            if (
                _run(interpreter, NOBODY, "import flab_deploy.sandbox; assert sys.version_info >= (3, 11)").returncode
                == 0
            ):
                return interpreter
        except OSError:
            continue
    pytest.skip("no Python 3.11 or newer that the user nobody can reach")


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; the suite ran as this one")
@pytest.mark.parametrize(("user", "tiers"), [(NOBODY, {"1", "2"}), (0, {"1r", "2r"})])
def test_attacks_fail_with_the_systems_interpreter(user: int, tiers: set[str]) -> None:
    """As an ordinary user, and as root with an interpreter that private users can reach by themselves."""
    interpreter = _reachable_interpreter()
    result = _run(interpreter, user, "from tests.sandbox.suite import main; main()")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["complaints"] == [], interpreter
    assert told["sandbox"]["tier"] in tiers


def test_the_tiers() -> None:
    required, namespaces = ["landlock", "seccomp"], ["private_network", "limited_disk"]
    assert tier_of(["landlock", *namespaces, "private_user"]) == "0"
    assert tier_of([*required, "limited_disk"]) == "1" and tier_of([*required, "private_user"]) == "1r"
    assert tier_of([*required, *namespaces]) == "2" and tier_of([*required, *namespaces, "private_user"]) == "2r"


def test_the_tier_is_found_by_trying() -> None:
    described = describe_sandbox()
    assert described["tier"] in ({"1r", "2r"} if os.getuid() == 0 else {"1", "2"})
    assert {"landlock", "seccomp", "rlimits", "separate_test_process"} <= set(described["layers"])
