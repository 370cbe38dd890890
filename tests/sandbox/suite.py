"""Runs the hostile programs, each followed by an honest one, and says what went wrong.

Apart from the tests so that another user, with another interpreter, can run it too.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flab_deploy.sandbox import Limits, Program, describe_sandbox, judge
from tests.sandbox.hostile import ATTACKS, HONEST, ODD_BUT_RIGHT, TEST

LIMITS = Limits(cpu_s=0.3, wall_s=1.5, memory_bytes=256 << 20)


def _filled(source: str, canary: Path, port: int) -> str:
    words = {
        "{canary!r}": repr(str(canary)),
        "{folder!r}": repr(str(canary.parent)),
        "{port}": str(port),
        "{judge}": str(os.getpid()),
        "{package!r}": repr(str(Path(__file__).parent)),
        **(
            {"{bpf}": "280", "{keyctl}": "219", "{userfaultfd}": "282"}
            if platform.machine() == "aarch64"
            else {"{bpf}": "321", "{keyctl}": "250", "{userfaultfd}": "323"}
        ),
    }
    for word, value in words.items():
        source = source.replace(word, value)
    return source


def _program(name: str, source: str) -> Program:
    return Program(program_id=name, source=source, test=TEST, entry_point="f")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A place for temporary files that no other judge uses."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o711)
        tempfile.tempdir = place
        try:
            yield Path(place)
        finally:
            tempfile.tempdir = before


def _processes_of(folder: Path) -> list[str]:
    """Processes of the judges whose temporary files are in a folder: a worker and what it forks
    name it.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


def run_suite() -> list[str]:
    """Run everything; the complaints, of which there should be none."""
    os.environ["FLAB_SECRET"] = "of the judge"
    complaints: list[str] = []
    with (
        tempfile.TemporaryDirectory() as place,
        temporary_folder() as temporary,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        folder = Path(place)
        folder.chmod(0o777)
        canary = folder / "canary"
        canary.write_text("secret")
        canary.chmod(0o666)
        stat = canary.stat()
        programs = []
        for attack in ATTACKS:
            programs.append(
                _program(attack.name, _filled(attack.source, canary, server.getsockname()[1]))
            )
            programs.append(_program("honest", HONEST))
        programs += [_program(name, source) for name, source in ODD_BUT_RIGHT.items()]
        allowed = {attack.name: attack.verdicts for attack in ATTACKS}
        for before, verdict in zip([None, *programs], judge(programs, LIMITS, 1), strict=False):
            if verdict.verdict not in allowed.get(verdict.program_id, ("pass",)):
                after = (
                    f" after {before.program_id!r}"
                    if before and verdict.program_id == "honest"
                    else ""
                )
                complaints.append(
                    f"{verdict.program_id!r}{after}: {verdict.verdict} ({verdict.detail})"
                )
        if left := _processes_of(temporary):
            complaints.append(f"processes left: {left}")
        if os.listdir(temporary):
            complaints.append(f"temporary files left: {os.listdir(temporary)}")
        if os.listdir(folder) != ["canary"] or canary.read_text() != "secret":
            complaints.append(f"side effects in the folder: {os.listdir(folder)}")
        if (canary.stat().st_mode, canary.stat().st_mtime_ns) != (stat.st_mode, stat.st_mtime_ns):
            complaints.append("the canary's mode or time changed")
        if Path("/dev/shm/flab-hostile").exists():
            complaints.append("a file was left in /dev/shm")
        server.setblocking(False)
        try:
            server.accept()
            complaints.append("a connection was made")
        except BlockingIOError:
            pass
    return complaints


def main() -> None:
    """Print the complaints and the sandbox's description as JSON."""
    sys.stdout.write(json.dumps({"complaints": run_suite(), "sandbox": describe_sandbox()}))
