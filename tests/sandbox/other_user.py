"""Running code as another user, with an interpreter that the other user can reach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def run_as(interpreter: str, user: int, code: str) -> subprocess.CompletedProcess[str]:
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


def reachable_interpreter() -> str:
    """A Python, new enough, that an ordinary user can start and that can read this package; skips
    without one.
    """
    known = [sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"]
    needed = "import flab_deploy.sandbox; assert sys.version_info >= (3, 11)"
    for interpreter in [
        *known,
        *filter(None, map(shutil.which, ("python3", "python3.12", "python3.11"))),
    ]:
        try:
            if run_as(interpreter, NOBODY, needed).returncode == 0:
                return interpreter
        except OSError:
            continue
    pytest.skip("no Python 3.11 or newer that the user nobody can reach")
