"""A control group for a worker and all it forks, where this process may make one: bounds on them
together.

The limits of a process (`policy`) come first; a group adds what they cannot see: memory that
belongs to no process (files in memory, the kernel's own tables), the total of both children, and an
end for all at once. Groups are only ever made beneath existing ones, whose settings stay as they
are, and nothing but the worker is moved. Both interfaces are used side by side, as hosts mount
them: one hierarchy per controller (v1) and the unified one (v2); see the kernel's
Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.sandbox.kernel.policy import NUM_THREADS
from flab_deploy.sandbox.verdicts import Limits

SLACK_BYTES = 64 << 20
"""Memory of a group beyond what its programs may take: the interpreters' own, and the kernel's for
them.
"""
_SLACK_PIDS = 16
_CONTROLLERS = frozenset({"memory", "pids"})
_LIMIT_FILES = {
    1: {"memory": "memory.limit_in_bytes", "pids": "pids.max"},
    2: {"memory": "memory.max", "pids": "pids.max"},
}
# Swap counts as memory where the kernel keeps account of it, and the kernel ends one process, not
# all.
_MEMORY_FILES = {
    1: (("memory.memsw.limit_in_bytes", ""), ("memory.oom_control", "0")),
    2: (("memory.swap.max", "0"), ("memory.oom.group", "0")),
}
_OOM_EVENTS = {1: "memory.oom_control", 2: "memory.events"}
# What a group must not limit if a worker is to be moved out of it. The number of processes is not
# among it: systemd limits it everywhere, and the new group sets a lower limit.
_BOUNDS = (
    "memory.max",
    "memory.high",
    "memory.swap.max",
    "cpu.max",
    "cpuset.cpus",
    "cpuset.mems",
    "io.max",
)
_NAME = re.compile(r"flab-judge-(\d+)-(\d+)-(\d+)-\d+")
_REMOVED_WITHIN_S = 5.0
_serial = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """One tree of groups, with this process in it."""

    version: int
    """1 or 2."""
    controllers: frozenset[str]
    """Which of `memory` and `pids` every group of a v1 hierarchy has; empty for v2, where each
    group says.
    """
    top: Path
    """Where it is mounted: the highest group that can be seen."""
    own: Path
    """Folder of the group that this process is in."""


def hierarchies(mountinfo: str, membership: str) -> list[Hierarchy]:
    """The hierarchies of use here, given /proc/self/mountinfo and /proc/self/cgroup, whose formats
    proc(5) defines.
    """
    groups = [line.split(":", 2)[1:] for line in membership.splitlines() if line.count(":") >= 2]
    found: dict[frozenset[str], Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        version = {"cgroup": 1, "cgroup2": 2}.get(after.split(" ")[0])
        if version is None:
            continue
        controllers = (
            _CONTROLLERS & set(after.split(" ")[-1].split(","))
            if version == 1
            else frozenset[str]()
        )
        root, top = map(_unescaped, before.split(" ")[3:5])
        for names, group in groups:
            own = _folder(root, top, group)
            if own and (controllers & set(names.split(",")) if version == 1 else not names):
                hierarchy = Hierarchy(
                    version=version, controllers=controllers, top=Path(top), own=own
                )
                found.setdefault(controllers, hierarchy)
    return list(found.values())


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def _folder(root: str, top: str, group: str) -> Path | None:
    """Where a group's files are, if `root` and what is beneath it is mounted at `top`; None if it
    lies outside.
    """
    beneath = os.path.relpath(group, root)
    return None if ".." in (*group.split("/"), *beneath.split("/")) else Path(top) / beneath


def places(hierarchy: Hierarchy) -> list[tuple[Path, frozenset[str]]]:
    """Groups to make a child in, best first, each with the controllers that the child will have.

    In v2 a group that holds processes has no controllers to give, unless it is the topmost. So
    those above it are tried too, as long as none that would be left limits anything. systemd would
    have others stay within what it delegates; a group that ends with its worker does it no harm.
    """
    if hierarchy.version == 1:
        return [(hierarchy.own, hierarchy.controllers)]
    found = [(hierarchy.own, _given_to_children(hierarchy.own))]
    while found[-1][0] != hierarchy.top and not _limits_anything(found[-1][0]):
        folder = found[-1][0].parent
        found.append((folder, _given_to_children(folder)))
    return sorted(found, key=lambda place: -len(place[1]))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _given_to_children(folder: Path) -> frozenset[str]:
    return _CONTROLLERS & set(_text(folder / "cgroup.subtree_control").split())


def _limits_anything(folder: Path) -> bool:
    return any(
        text and not text.startswith("max") for text in (_text(folder / name) for name in _BOUNDS)
    )


def _started_at(pid: int | str) -> str | None:
    """When a process started, in clock ticks since the machine did; None if there is none of this
    id.
    """
    text = _text(Path(f"/proc/{pid}/stat"))
    return text.rpartition(")")[2].split()[19] if text else None


def _numbering() -> str:
    """Which numbering of processes this process's id belongs to: containers may share a tree of
    groups.
    """
    try:
        return re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:
        return "0"


def clear_left(folder: Path) -> None:
    """Remove the empty groups in `folder` that judges of this user left there when they were
    killed.
    """
    for name in os.listdir(folder):
        made_by = _NAME.fullmatch(name)
        if made_by is None or made_by[1] != _numbering() or _started_at(made_by[2]) == made_by[3]:
            continue
        with suppress(OSError):
            if (folder / name).stat().st_uid == os.geteuid():
                (folder / name).rmdir()


class WorkerGroup:
    """The groups of one worker: a folder in each hierarchy that lets this process make one."""

    def __init__(self, pid: int, memory_bytes: int, num_pids: int) -> None:
        """Move process `pid`, which has no children yet, where at most so much memory and so many
        threads are had.

        A refusal is no error: the worker stays where it is, and `layers` lacks what could not be
        had.
        """
        self.layers: list[str] = []
        """Of `cgroup_memory`, `cgroup_pids` and `cgroup_kill` those in force."""
        self.oom_events: str | None = None
        """The file that counts the group's processes which the kernel killed for memory; None
        without that limit.
        """
        self.folders: list[Path] = []
        """Where the groups are."""
        self._wanted = {"memory": str(memory_bytes), "pids": str(num_pids)}
        name = f"flab-judge-{_numbering()}-{os.getpid()}-{_started_at(os.getpid())}-{next(_serial)}"
        for hierarchy in hierarchies(
            _text(Path("/proc/self/mountinfo")), _text(Path("/proc/self/cgroup"))
        ):
            for place, controllers in places(hierarchy):
                if self._made(hierarchy.version, place / name, controllers, pid):
                    break

    def _made(self, version: int, folder: Path, controllers: frozenset[str], pid: int) -> bool:
        """Whether a group with limits could be made and the worker moved there."""
        try:
            clear_left(folder.parent)
            folder.mkdir()
        except OSError:
            return False
        layers = [f"cgroup_{name}" for name in sorted(controllers)]
        layers += ["cgroup_kill"] if (folder / "cgroup.kill").exists() else []
        try:
            for name in controllers:
                (folder / _LIMIT_FILES[version][name]).write_text(self._wanted[name])
            for name, value in _MEMORY_FILES[version] if "memory" in controllers else ():
                with suppress(OSError):
                    (folder / name).write_text(value or self._wanted["memory"])
            if layers:
                (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            layers = []
        if not layers:
            with suppress(OSError):
                folder.rmdir()
            return False
        self.layers += layers
        self.folders.append(folder)
        if "memory" in controllers:
            self.oom_events = str(folder / _OOM_EVENTS[version])
        return True

    def kill(self) -> None:
        """End every process of the worker at once, where the kernel has that."""
        for folder in self.folders:
            with suppress(OSError):
                (folder / "cgroup.kill").write_text("1")

    def remove(self) -> None:
        """Remove the groups, after the end of the worker; what it forked is given a moment to end
        too.
        """
        deadline = time.monotonic() + _REMOVED_WITHIN_S
        while self.folders:
            try:
                self.folders[-1].rmdir()
                self.folders.pop()
            except FileNotFoundError:
                self.folders.pop()
            except OSError:
                if time.monotonic() > deadline:
                    return  # the next judge clears it away
                self._end_members(self.folders[-1])

    def _end_members(self, folder: Path) -> None:
        for pid in map(int, _text(folder / "cgroup.procs").split()):
            if pid > 0:  # 0 stands for one that this process cannot see
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def leave(folders: Sequence[str]) -> None:
    """Move this process, the last of its groups, to the groups they were made in, and remove them.

    For a worker whose judge is gone. Where that is refused, the next judge clears them away.
    """
    for folder in map(Path, folders):
        with suppress(OSError):
            (folder.parent / "cgroup.procs").write_text("0")
            folder.rmdir()


def group_for(pid: int, limits: Limits) -> WorkerGroup:
    """A group for the worker `pid`: memory and threads for a program and its test, and
    SLACK_BYTES.
    """
    memory_bytes = 2 * limits.memory_bytes + 2 * limits.file_bytes + SLACK_BYTES
    return WorkerGroup(pid, memory_bytes, 2 * NUM_THREADS + _SLACK_PIDS)
