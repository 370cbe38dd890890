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

from flab_deploy.sandbox import describe_sandbox

from .hostile import ATTACKS
from .suite import run_suite

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def test_there_are_many_different_attacks() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100
    assert not any("pass" in attack.verdicts or "infra_error" in attack.verdicts for attack in ATTACKS)


def test_attacks_fail_and_leave_nothing_behind() -> None:
    assert run_suite() == []


def _as_nobody(code: str) -> tuple[subprocess.CompletedProcess[str] | None, str]:
    """Run Python code as an ordinary user with the first interpreter that user can reach."""
    interpreters = [sys.executable, *(shutil.which(name) or "" for name in ("python3", "python3.11", "python3.12"))]
    interpreters += ["/usr/bin/python3"]
    check = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); assert sys.version_info >= (3, 11); import flab_deploy.sandbox"
    )
    for interpreter in filter(None, dict.fromkeys(interpreters)):
        try:
            result = subprocess.run(
                [interpreter, "-B", "-c", f"{check}\n{code}"],
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                timeout=600,
            )
        except OSError:
            continue
        if result.returncode == 0 or not code:
            return result, interpreter
        if "tests.sandbox" in result.stderr or "flab_deploy" in result.stderr and "Error" in result.stderr:
            return result, interpreter
    return None, ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; the suite ran as this one")
def test_attacks_fail_for_an_ordinary_user_too() -> None:
    reachable, _ = _as_nobody("")
    if reachable is None or reachable.returncode != 0:
        pytest.skip("no Python 3.11 or newer that the user nobody can reach")
    result, interpreter = _as_nobody("from tests.sandbox.suite import main; main()")
    assert result is not None and result.returncode == 0, result and result.stderr
    told = json.loads(result.stdout)
    assert told["complaints"] == [], interpreter
    assert told["sandbox"]["tier"] == "1"


def test_the_tier_is_found_by_trying() -> None:
    described = describe_sandbox()
    assert described["tier"] == ("1r" if os.getuid() == 0 else "1")
    assert {"landlock", "seccomp", "rlimits", "separate_test_process"} <= set(described["layers"])
