"""A worker's control groups: where they may be made, what they bound, and that they go.

Those that need a group to be made skip where this machine has none to give.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flab_deploy.errors import SandboxError
from flab_deploy.sandbox import Limits, Program, Verdict, describe_sandbox, judge
from flab_deploy.sandbox.kernel import gauges
from flab_deploy.sandbox.kernel.cgroups import (
    SLACK_BYTES,
    WorkerGroup,
    clear_left,
    group_for,
    hierarchies,
    places,
)
from tests.sandbox.hostile import HONEST, TEST
from tests.sandbox.other_user import NOBODY, ROOT, reachable_interpreter, run_as

MIB = 1 << 20


def needs(*layers: str) -> pytest.MarkDecorator:
    missing = [layer for layer in layers if layer not in describe_sandbox()["layers"]]
    return pytest.mark.skipif(
        bool(missing), reason=f"no control group here gives {' and '.join(missing)}"
    )


def parents() -> list[Path]:
    """Where judges of this process make groups."""
    found = hierarchies(
        Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    )
    return [place for hierarchy in found for place, _ in places(hierarchy)]


def groups_of(pid: int) -> list[Path]:
    return [group for parent in parents() for group in parent.glob(f"flab-judge-*-{pid}-*")]


def write_to_groups(name: str, value: int) -> None:
    for group in groups_of(os.getpid()):
        if (group / name).exists():
            (group / name).write_text(str(value))


def judged_in_changed_groups(change: Callable[[], None], *sources: str) -> list[Verdict]:
    """Verdicts of one worker whose groups are changed after a first, honest program."""
    programs = [
        Program(program_id="p", source=s, test=TEST, entry_point="f") for s in (HONEST, *sources)
    ]
    done: list[int] = []

    def progress(_: int) -> None:
        done.append(1)
        if len(done) == 1:
            change()

    verdicts = judge(programs, workers=1, progress=progress)
    assert verdicts[0].passed
    return verdicts[1:]


# Finding a place


V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 /docker/abc /sys/fs/cgroup/a\\040place rw,relatime shared:9 - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""


def test_groups_of_both_kinds_are_found_side_by_side() -> None:
    membership = (
        "4:memory:/a/b\n3:cpu,cpuacct:/c\n2:pids:/docker/abc/d\n1:name=systemd:/e\n0::/f:g\n"
    )
    found = hierarchies(V1_MOUNTS, membership)
    assert [(h.version, set(h.controllers), str(h.own), str(h.top)) for h in found] == [
        (1, {"memory"}, "/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory"),
        (1, {"pids"}, "/sys/fs/cgroup/a place/d", "/sys/fs/cgroup/a place"),
        (2, set(), "/sys/fs/cgroup/unified/f:g", "/sys/fs/cgroup/unified"),
    ]
    assert places(found[0]) == [(Path("/sys/fs/cgroup/memory/a/b"), frozenset({"memory"}))]


@pytest.mark.parametrize("group", ["/docker/abcd", "/docker", "/../x", "/docker/abc/../../y", "/"])
def test_a_group_outside_what_is_mounted_is_not_taken_for_one_inside(group: str) -> None:
    assert not any(h.controllers == {"pids"} for h in hierarchies(V1_MOUNTS, f"2:pids:{group}\n"))


def test_a_hierarchy_that_is_mounted_twice_is_used_once() -> None:
    twice = (
        V1_MOUNTS
        + "50 31 0:38 / /mnt/again rw - cgroup2 cgroup2 rw\n51 31 0:32 / /mnt/m rw - cgroup c "
        "rw,memory\n"
    )
    assert hierarchies(twice, "4:memory:/\n0::/\n") == hierarchies(V1_MOUNTS, "4:memory:/\n0::/\n")


def test_no_controllers_of_use_or_no_groups_at_all_is_no_error() -> None:
    assert hierarchies("", "") == [] == hierarchies(V1_MOUNTS, "") == hierarchies("", "0::/\n")
    assert hierarchies(V1_MOUNTS, "3:cpu,cpuacct:/c\n") == []


def laid_out(top: Path, **files: str) -> list[tuple[str, set[str]]]:
    """What `places` says about a process in /slice/service where the groups have the given
    files.
    """
    (top / "slice/service").mkdir(parents=True)
    for group, folder in (
        ("top", top),
        ("slice", top / "slice"),
        ("service", top / "slice/service"),
    ):
        (folder / "cgroup.subtree_control").write_text(files.get(f"{group}_gives", "") + "\n")
        for name in ("memory.max", "memory.high", "cpu.max", "pids.max"):
            if group != "top":
                (folder / name).write_text(files.get(f"{group}_{name}", "max") + "\n")
    (hierarchy,) = hierarchies(f"41 31 0:38 / {top} rw - cgroup2 cgroup2 rw", "0::/slice/service\n")
    return [(str(place.relative_to(top)), set(given)) for place, given in places(hierarchy)]


ALL = "cpu memory pids"


def test_the_nearest_group_that_gives_both_controllers_is_best(tmp_path: Path) -> None:
    found = laid_out(tmp_path, slice_gives=ALL, top_gives=ALL, service_pids_max="500")
    assert found == [
        ("slice", {"memory", "pids"}),
        (".", {"memory", "pids"}),
        ("slice/service", set()),
    ]


def test_a_group_that_gives_both_is_better_than_a_nearer_one_that_gives_one(tmp_path: Path) -> None:
    found = laid_out(tmp_path, slice_gives="pids", top_gives=ALL)
    assert found == [(".", {"memory", "pids"}), ("slice", {"pids"}), ("slice/service", set())]


@pytest.mark.parametrize(
    ("name", "value"), [("memory.max", "99"), ("memory.high", "0"), ("cpu.max", "50000 100000")]
)
def test_no_limit_is_escaped_by_climbing(tmp_path: Path, name: str, value: str) -> None:
    everywhere = {"slice_gives": ALL, "top_gives": ALL}
    inner = laid_out(tmp_path / "a", **everywhere, **{f"service_{name}": value})
    assert inner == [("slice/service", set())]
    outer = laid_out(tmp_path / "b", **everywhere, **{f"slice_{name}": value})
    assert outer == [("slice", {"memory", "pids"}), ("slice/service", set())]


# What a group does


_HOLDER = """
import mmap, os, sys, threading, time
sys.stdin.readline()
{body}
"""


@contextmanager
def grouped(
    body: str, memory_bytes: int, num_pids: int
) -> Iterator[tuple[subprocess.Popen[str], WorkerGroup]]:
    """A process in a group of its own, which runs `body` when a line is written to it."""
    command = [sys.executable, "-S", "-c", _HOLDER.format(body=body)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        group = WorkerGroup(process.pid, memory_bytes, num_pids)
        try:
            yield process, group
        finally:
            group.kill()
            process.kill()
            process.wait()
            group.remove()
    assert groups_of(os.getpid()) == []


@needs("cgroup_pids")
def test_threads_of_a_group_are_limited() -> None:
    body = """
count = 0
try:
    while count < 500:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        count += 1
except RuntimeError:
    pass
print(count, flush=True)
"""
    with grouped(body, 512 * MIB, 20) as (process, _):
        assert int(process.communicate("go\n", timeout=60)[0]) == 19


_TWO = """
children = []
for _ in range(2):
    if (pid := os.fork()) == 0:
        open("/proc/self/oom_score_adj", "w").write("1000")
        held = bytearray(b"x" * ({size} << 20))
        time.sleep(600)
    children.append(pid)
print(sorted(os.waitpid(-1, 0)[1] for _ in children[:{waits}]), flush=True)
"""


@needs("cgroup_memory")
def test_the_memory_of_all_processes_of_a_group_is_limited_together() -> None:
    """Each of two processes holds 60 MiB: too much for both in 100, and the kernel ends a child,
    not the first.
    """
    with grouped(_TWO.format(size=60, waits=1), 100 * MIB, 20) as (process, group):
        assert group.oom_events is not None and gauges.oom_kills(group.oom_events) == 0
        assert process.stdin and process.stdout
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"[{signal.SIGKILL.value}]\n"
        assert gauges.oom_kills(group.oom_events) >= 1


@needs("cgroup_memory")
def test_memory_that_is_in_no_address_space_counts() -> None:
    body = "fd = os.memfd_create('x')\nwhile True: os.write(fd, bytes(1 << 20))"
    with grouped(body, 100 * MIB, 20) as (process, group):
        process.communicate("go\n", timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert gauges.oom_kills(group.oom_events or "") == 1


@needs("cgroup_kill")
def test_all_of_a_group_end_at_once() -> None:
    body = "for _ in range(3): os.fork()\nos.write(1, b'%d\\n' % os.getpid())\ntime.sleep(600)"
    with grouped(body, 512 * MIB, 50) as (process, group):
        assert process.stdin and process.stdout
        process.stdin.write("go\n")
        process.stdin.flush()
        pids = [int(process.stdout.readline()) for _ in range(8)]
        group.kill()
        process.wait(timeout=60)
        deadline = time.monotonic() + 60
        while any(_lives(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@needs("cgroup_memory", "cgroup_pids")
def test_a_workers_groups_have_room_for_what_the_limits_allow() -> None:
    limits = Limits(memory_bytes=100 * MIB, file_bytes=10 * MIB)
    seen: dict[str, int] = {}

    def look(_: int) -> None:
        for group in groups_of(os.getpid()):
            for name in ("memory.limit_in_bytes", "memory.max", "pids.max"):
                if (group / name).exists():
                    seen[name] = int((group / name).read_text())

    assert judge(
        [Program(program_id="p", source=HONEST, test=TEST, entry_point="f")], limits, progress=look
    )[0].passed
    assert seen.pop("pids.max") == 144
    assert list(seen.values()) == [220 * MIB + SLACK_BYTES]


# What the judge makes of it


@needs("cgroup_memory")
def test_a_program_that_its_group_has_no_memory_for_is_over_its_memory() -> None:
    """The group is made smaller than the program's own limit, so that the kernel's killer decides,
    not that limit.
    """
    hog = "def f(n):\n    held = bytearray(b'x') * (200 << 20)\n    return n\n"
    in_test = "def f(n):\n    return n\n"

    def shrink() -> None:
        for name in ("memory.limit_in_bytes", "memory.max"):
            write_to_groups(name, 80 * MIB)

    verdicts = judged_in_changed_groups(shrink, hog, HONEST, hog, in_test)
    assert [v.verdict for v in verdicts] == ["memory_limit", "pass", "memory_limit", "fail_assert"]
    assert verdicts[0].detail == "killed for its memory" and verdicts[0].max_rss_bytes < 100 * MIB


@needs("cgroup_memory")
def test_a_test_that_its_group_has_no_memory_for_is_not_the_judges_error() -> None:
    test = (
        "def check(candidate):\n    held = bytearray(b'x') * (200 << 20)\n    assert "
        "candidate(1) == 1\n"
    )
    programs = [
        Program(program_id="p", source=HONEST, test=t, entry_point="f") for t in (TEST, test, TEST)
    ]

    def shrink(_: int) -> None:
        for name in ("memory.limit_in_bytes", "memory.max"):
            write_to_groups(name, 80 * MIB)

    verdicts = judge(programs, workers=1, progress=shrink)
    assert [(v.verdict, v.detail) for v in verdicts] == [
        ("pass", ""),
        ("memory_limit", "comparing its answers ran out of memory"),
        ("pass", ""),
    ]


@needs("cgroup_pids")
def test_a_program_that_takes_every_thread_of_its_group_harms_itself_alone() -> None:
    bomb = """
import threading, time
def f(n):
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
    at_load = bomb.replace("def f(n):\n    while True:\n        ", "while True:\n    ")
    verdicts = judged_in_changed_groups(
        lambda: write_to_groups("pids.max", 10), bomb, at_load, HONEST
    )
    assert [v.verdict for v in verdicts] == ["fail_exception", "fail_load", "pass"]
    assert all("thread" in v.detail for v in verdicts[:2])


# That they go


def _judge(code: str, **replaced: str) -> subprocess.Popen[str]:
    head = f"""
import os, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from flab_deploy.sandbox import Program, judge
test = "def check(candidate):\\n    assert candidate(1) == 1\\n"
programs = [Program(program_id="p", source="def f(n): return n", test=test, entry_point="f")] * 6
"""
    return subprocess.Popen(
        [sys.executable, "-c", head + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def gone_within(seconds: float, pid: int) -> bool:
    deadline = time.monotonic() + seconds
    while groups_of(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not groups_of(pid)


@needs("cgroup_kill")
def test_groups_are_there_while_judging_and_gone_after_it() -> None:
    counts: list[int] = []
    programs = [Program(program_id="p", source=HONEST, test=TEST, entry_point="f")] * 4
    judge(programs, workers=2, progress=lambda _: counts.append(len(groups_of(os.getpid()))))
    assert min(counts) >= 1 and groups_of(os.getpid()) == []


def test_groups_are_gone_after_an_interruption() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(
            [Program(program_id="p", source=HONEST, test=TEST, entry_point="f")], progress=interrupt
        )
    assert groups_of(os.getpid()) == []


def test_groups_are_gone_where_no_worker_could_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("true"))
    with pytest.raises(SandboxError, match="no sandbox worker"):
        judge([Program(program_id="p", source=HONEST, test=TEST, entry_point="f")])
    assert groups_of(os.getpid()) == []


def test_the_workers_of_a_killed_judge_take_their_groups_away() -> None:
    with _judge(
        "judge(programs, workers=2, progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))"
    ) as process:
        assert process.wait(timeout=60) == -signal.SIGKILL
        assert gone_within(60, process.pid)


@needs("cgroup_kill")
def test_what_a_killed_judge_left_is_cleared_by_the_next_and_no_other_is_touched() -> None:
    """Judge and worker are killed together, so that none is left to clean up."""
    look = "print(os.getpid(), flush=True); time.sleep(600)"
    with _judge(f"def look(_): {look}\njudge(programs, workers=1, progress=look)") as living:
        with _judge(f"def look(_): {look}\njudge(programs, workers=1, progress=look)") as killed:
            for process in (living, killed):
                assert process.stdout and int(process.stdout.readline()) == process.pid
            members = {
                int(p)
                for group in groups_of(killed.pid)
                for p in (group / "cgroup.procs").read_text().split()
            }
            assert members
            for pid in (*members, killed.pid):
                os.kill(pid, signal.SIGKILL)
            killed.wait(timeout=60)
        deadline = time.monotonic() + 60
        while any(map(_lives, members)) and time.monotonic() < deadline:
            time.sleep(0.01)
        left, others = groups_of(killed.pid), groups_of(living.pid)
        assert left and others
        assert judge([Program(program_id="p", source=HONEST, test=TEST, entry_point="f")])[0].passed
        assert groups_of(killed.pid) == [] and groups_of(living.pid) == others
        living.kill()
    assert gone_within(60, living.pid)


def test_only_what_dead_judges_of_the_same_numbering_made_is_cleared(tmp_path: Path) -> None:
    numbering = "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))
    me, start = os.getpid(), Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    kept = [
        f"flab-judge-{numbering}-{me}-{start}-0",
        f"flab-judge-1-{me}-1-0",
        "flab-judge",
        "other",
    ]
    for name in (
        *kept,
        f"flab-judge-{numbering}-{me}-{int(start) - 1}-0",
        f"flab-judge-{numbering}-4999999-1-0",
    ):
        (tmp_path / name).mkdir()
    clear_left(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


# Without


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_who_may_make_no_group_has_the_rest() -> None:
    code = """
import json
from flab_deploy.sandbox import Program, describe_sandbox, judge
source, test = "def f(n): return n", "def check(c): assert c(1) == 1"
program = Program(program_id="p", source=source, test=test, entry_point="f")
print(json.dumps([describe_sandbox(), judge([program])[0].verdict]))
"""
    done = run_as(reachable_interpreter(), NOBODY, code)
    assert done.returncode == 0, done.stderr
    sandbox, verdict = json.loads(done.stdout)
    assert verdict == "pass" and sandbox["tier"] in ("1", "2")
    assert {"landlock", "seccomp", "rlimits"} <= set(sandbox["layers"])
    assert not any(layer.startswith("cgroup") for layer in sandbox["layers"])


def test_a_process_that_is_gone_is_moved_nowhere() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
        group = group_for(process.pid, Limits())
    assert group.layers == [] and group.oom_events is None and groups_of(os.getpid()) == []
    group.kill()
    group.remove()
