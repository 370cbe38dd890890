"""What a worker sees of its children, what it may have for itself, and what a test finds around
it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flab_deploy.sandbox.kernel import gauges, policy
from flab_deploy.sandbox.worker.prelude import needed_prelude

ROOT = Path(__file__).resolve().parents[2]


def test_gauges_follow_a_process(tmp_path: Path) -> None:
    me = os.getpid()
    before = gauges.written_bytes(me)
    (tmp_path / "a").write_bytes(bytes(300_000))
    (tmp_path / "b").write_bytes(b"12345")
    assert gauges.written_bytes(me) - before >= 300_005
    assert gauges.left_in(str(tmp_path)) == (2, 300_005)
    before_s, seen_s, after_s = time.process_time(), gauges.cpu_s(me), time.process_time()
    assert before_s <= seen_s <= after_s


def test_gauges_of_a_process_that_is_gone_are_zero() -> None:
    done = subprocess.Popen([sys.executable, "-S", "-c", ""])
    done.wait()
    assert (
        gauges.cpu_s(done.pid) == gauges.waited_s(done.pid) == gauges.written_bytes(done.pid) == 0
    )


_SLEEP = "import os, time; os.write(1, b'x'); time.sleep(600)"


def test_waiting_for_a_processor_is_told_from_sleeping() -> None:
    """Three that share a processor wait for it; one that sleeps does not, however long."""
    one = {min(os.sched_getaffinity(0))}
    sleeper = subprocess.Popen([sys.executable, "-S", "-c", _SLEEP], stdout=subprocess.PIPE)
    spin = [sys.executable, "-S", "-c", "while True: pass"]
    spinners = [subprocess.Popen(spin) for _ in range(3)]

    def wait_until_all_waited(seconds: float) -> None:
        deadline = time.monotonic() + 120
        while min(gauges.waited_s(p.pid) for p in spinners) < seconds:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    try:
        for process in (sleeper, *spinners):
            os.sched_setaffinity(process.pid, one)
        assert sleeper.stdout is not None and sleeper.stdout.read(1) == b"x"
        while state_of(sleeper.pid) != "S":
            time.sleep(0.01)
        asleep_s = gauges.waited_s(sleeper.pid)
        waited_s = max(gauges.waited_s(process.pid) for process in spinners)
        wait_until_all_waited(waited_s + 0.5)
        assert gauges.waited_s(sleeper.pid) == asleep_s
    finally:
        for process in (sleeper, *spinners):
            process.kill()
            process.communicate()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_library_holds_no_installed_package() -> None:
    library = policy.find_library()
    assert any(path.endswith("/json") for path in library.readable)
    assert not any("site-packages" in path or "dist-packages" in path for path in library.readable)
    package = os.path.realpath(pytest.__file__)
    assert not any(package.startswith(path + "/") for path in library.readable)


_INSIDE = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from flab_deploy.sandbox.kernel.namespaces import enter_namespaces
layers = enter_namespaces(sys.argv[2], 1 << 20)
if not layers:
    sys.exit(77)
assert layers == ["private_network", "limited_disk"], layers
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[3])), timeout=5)
    sys.exit("connected")
except OSError:
    pass
try:
    with open(os.path.join(sys.argv[2], "big"), "wb") as out:
        for _ in range(8):
            out.write(bytes(1 << 20))
            out.flush()
    sys.exit("no limit")
except OSError as error:
    assert error.errno == 28, error
"""


def test_a_worker_has_its_own_network_and_a_small_disk(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [
            sys.executable,
            "-c",
            _INSIDE,
            str(ROOT),
            str(tmp_path),
            str(server.getsockname()[1]),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel gives this user no namespaces")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_children_go_first_when_memory_ends_and_the_worker_does_not() -> None:
    def turn() -> int:
        return int(Path("/proc/self/oom_score_adj").read_text())

    fork, own = policy.ForkFirstToGo(), turn()
    for _ in range(2):
        read, write = os.pipe()
        pid = fork()
        if pid == 0:
            os.write(write, str(turn()).encode())
            os._exit(0)
        assert turn() == own
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(read, 100) == b"1000"
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    "prompt",
    [
        "import math\ndef poly(x):\n    return x\n\ndef f(n):\n    '''Doc.'''\n",
        "def poly(x):\n    return x\n\ndef f(n):\n",
        "def poly(x):\n    return x\n\ndef f(n):\n    for i in range(n):\n",
        "def poly(x):\n    return x\n\ndef f(n):\n    '''An open\n    doc",
        "def poly(x):\n    return x\n\nWrite a function that\n'does' this (and that:\n",
        "class A:\n    pass\n\npoly = lambda x: x\n",
        "if True:\n    def other(): pass\n    poly = abs\n",
    ],
)
def test_helpers_are_found_in_prompts_that_stop_anywhere(prompt: str) -> None:
    namespace: dict[str, object] = {}
    exec(needed_prelude(prompt, frozenset({"poly"})), namespace)
    poly = namespace["poly"]
    assert callable(poly) and poly(3) == 3


@pytest.mark.parametrize(
    "prompt", ["", "no python at (all", "def f(n):\n    poly = 1\n", "poly(3)\n", "# poly\n"]
)
def test_prompts_without_the_helper_give_nothing(prompt: str) -> None:
    assert needed_prelude(prompt, frozenset({"poly"})) == ""
    assert needed_prelude("def poly(x):\n    return x\n", frozenset({"append"})) == ""
