"""A worker: a small process that forks a fresh pair of children for every program.

Started by the judge as an isolated interpreter with an environment built from nothing. Sources
arrive on its standard input, tests on its standard output (a socket too), where only the test
process reads them: neither the worker nor a program's process ever holds a test.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from flab_deploy.sandbox.decide import GONE, Exit, Finding, Observed, decisive, processor_time_used
from flab_deploy.sandbox.kernel import gauges, policy
from flab_deploy.sandbox.kernel.cgroups import leave
from flab_deploy.sandbox.kernel.namespaces import enter_namespaces
from flab_deploy.sandbox.verdicts import MAX_SOURCE_BYTES, Limits
from flab_deploy.sandbox.worker.candidate import run_candidate
from flab_deploy.sandbox.worker.channel import Closed, receive_frame, send_frame
from flab_deploy.sandbox.worker.examiner import TEST_READ, Exam, printable, run_examiner

MAX_FRAME_BYTES = 8 * MAX_SOURCE_BYTES
_FIRST_LOOK_S, _LOOK_EVERY_S, _END_WITHIN_S = 0.1, 0.05, 1.0
_MAX_FILES = 1000
# Unlinked files that are kept mapped are in no directory, so what goes through `write` is limited
# too.
_MAX_WRITTEN_BYTES = 1 << 30
_MAX_WAITED = (
    29.0  # times the wall time that waiting for a processor may last, so that everything has an end
)
_PRELOADED = [
    "abc",
    "array",
    "bisect",
    "cmath",
    "collections",
    "collections.abc",
    "contextlib",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "io",
    "itertools",
    "json",
    "math",
    "numbers",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "time",
    "typing",
    "unicodedata",
]


@dataclass(frozen=True, kw_only=True)
class _Watch:
    """What was seen of a pair while it ran."""

    report: Finding | None
    """That of the test process, if it made one."""
    overrun: Finding | None
    """The limit for which the worker had to step in."""
    test_read: bool
    """Whether the test process took the test off its stream."""

    @property
    def ended_silently(self) -> bool:
        """Whether the test process went without a word."""
        return self.report is None and self.overrun is None


def _empty(workdir: str) -> None:
    """Remove what a program left; programs can make files alone, so there is nothing to descend
    into.
    """
    for name in os.listdir(workdir):
        os.unlink(os.path.join(workdir, name))


def _end_of(pid: int, *, patience_s: float = 0.0) -> Exit:
    """Wait `patience_s` for a child to end by itself, then kill it."""
    deadline = time.monotonic() + patience_s
    done, status, usage = os.wait4(pid, os.WNOHANG)
    while done == 0 and time.monotonic() < deadline:
        time.sleep(0.001)
        done, status, usage = os.wait4(pid, os.WNOHANG)
    running = done == 0
    if running:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    return Exit(
        status=os.waitstatus_to_exitcode(status),
        cpu_s=usage.ru_utime + usage.ru_stime,
        max_rss_bytes=usage.ru_maxrss * 1024,
        killed_here=running,
    )


def _over_time(
    elapsed_s: float, candidate: int, examiner: int, cpu_limit_s: float, wall_limit_s: float
) -> Finding | None:
    """That a pair has used up its time, if it has.

    Waiting for a processor is the machine's doing, so it does not count as time on the clock.
    """
    for pid, who in ((candidate, "the program"), (examiner, "the test")):
        if gauges.cpu_s(pid) > cpu_limit_s:
            return processor_time_used(who, cpu_limit_s)
    if elapsed_s > wall_limit_s:
        waited_s = min(
            gauges.waited_s(candidate) + gauges.waited_s(examiner), _MAX_WAITED * wall_limit_s
        )
        if elapsed_s - waited_s > wall_limit_s:
            return Finding(fact="clock_time_used", detail=f"not done after {wall_limit_s:g} s")
    return None


class Worker:
    """Runs programs one at a time, each in its own pair of processes."""

    def __init__(self, limits: Limits, workdir: str, oom_events: str | None = None) -> None:
        """A worker whose programs may leave files in `workdir`, which must be empty and theirs
        alone.

        `oom_events` is the file that counts what the kernel ends in the worker's control group for
        its memory.
        """
        self._oom_events = oom_events
        self._oom_kills = 0
        self._fork_child = policy.ForkFirstToGo()
        self._limits = limits
        self._workdir = workdir
        self._namespaces = enter_namespaces(workdir, limits.file_bytes)
        uid = policy.private_uid()
        library = policy.find_library()
        search = policy.needs_search(uid, os.path.dirname(os.__file__))
        if uid is not None:
            os.chown(workdir, uid, uid)
        self._candidate = policy.prepare(limits, uid, search, library, workdir, write=True)
        other = None if uid is None else uid + 1
        self._examiner = policy.prepare(limits, other, search, library, "/", write=False)

    def _fork(
        self,
        confinement: policy.Confinement,
        keep: tuple[int, ...],
        body: Callable[[], None],
        cpu_s: float = 0.0,
    ) -> int:
        pid = self._fork_child()
        if pid:
            return pid
        try:
            policy.enter(confinement, keep, cpu_s or self._limits.cpu_s)
            gc.enable()
            random.seed(0)
            body()
        finally:
            os._exit(70)

    def run(self, request: dict[str, Any], tests: socket.socket) -> dict[str, object]:
        """Judge one program; the answer is a JSON object for the judge."""
        size = self._limits.message_bytes
        source, entry_point = request["source"], request["entry_point"]
        cpu_limit_s, wall_limit_s = request["cpu_s"], request["wall_s"]
        ours, theirs = socket.socketpair()
        report_read, report_write = os.pipe()

        def examine() -> None:
            exam = Exam(**json.loads(receive_frame(policy.REPORT_FD + 1, MAX_FRAME_BYTES)))
            os.write(policy.REPORT_FD, TEST_READ)
            os.close(policy.REPORT_FD + 1)
            run_examiner(policy.CHANNEL_FD, policy.REPORT_FD, exam, size)

        keep = (ours.fileno(), report_write, tests.fileno())
        examiner = self._fork(self._examiner, keep, examine, cpu_limit_s)
        # The program comes second, for it may take all the threads that the worker's group has.
        candidate = self._fork(
            self._candidate,
            (theirs.fileno(),),
            lambda: run_candidate(policy.CHANNEL_FD, source, entry_point, size),
            cpu_limit_s,
        )
        ours.close()
        theirs.close()
        os.close(report_write)
        try:
            watch = self._watch(report_read, candidate, examiner, cpu_limit_s, wall_limit_s)
        finally:
            os.close(report_read)
        gone = watch.report is not None and watch.report.fact in GONE
        end = _end_of(candidate, patience_s=_END_WITHIN_S if gone else 0.0)
        examiner_end = _end_of(examiner, patience_s=_END_WITHIN_S if watch.ended_silently else 0.0)
        _empty(self._workdir)
        killed = any(e.status == -signal.SIGKILL and not e.killed_here for e in (end, examiner_end))
        found = decisive(
            Observed(
                report=watch.report,
                overrun=watch.overrun,
                test_read=watch.test_read,
                program=end,
                test=examiner_end,
                killed_for_memory=killed and self._group_was_full(),
                cpu_limit_s=cpu_limit_s,
                memory_limit_bytes=self._limits.memory_bytes,
            )
        )
        return {
            "fact": found.fact,
            "detail": found.detail,
            "cpu_s": end.cpu_s,
            "max_rss_bytes": end.max_rss_bytes,
        }

    def _watch(
        self, report_fd: int, candidate: int, examiner: int, cpu_limit_s: float, wall_limit_s: float
    ) -> _Watch:
        """Wait for the report, or for a limit to be passed."""
        poll = select.poll()
        poll.register(report_fd, select.POLLIN)
        data, overrun = b"", None
        started = time.monotonic()
        wait_s = _FIRST_LOOK_S
        while not data.endswith(b"\n"):
            if poll.poll(wait_s * 1000):
                part = os.read(report_fd, 1 << 16)
                if not part:
                    break
                data += part
                continue
            wait_s = _LOOK_EVERY_S
            elapsed_s = time.monotonic() - started
            overrun = _over_time(
                elapsed_s, candidate, examiner, cpu_limit_s, wall_limit_s
            ) or self._over_size(candidate)
            if overrun is not None:
                break
        test_read = data.startswith(TEST_READ)
        report = None
        if data.endswith(b"\n"):
            fact, detail = json.loads(data[len(TEST_READ) :])
            report = Finding(fact=fact, detail=detail)
        return _Watch(report=report, overrun=overrun, test_read=test_read)

    def _over_size(self, candidate: int) -> Finding | None:
        count, total = gauges.left_in(self._workdir)
        if count > _MAX_FILES or total > self._limits.file_bytes:
            return Finding(fact="folder_full", detail="it filled its working directory")
        if gauges.written_bytes(candidate) > _MAX_WRITTEN_BYTES:
            detail = f"it wrote more than {_MAX_WRITTEN_BYTES >> 20} MiB"
            return Finding(fact="much_written", detail=detail)
        return None

    def _group_was_full(self) -> bool:
        """Whether the kernel has ended a process for the memory of the worker's group since this
        was last asked.
        """
        before, self._oom_kills = (
            self._oom_kills,
            gauges.oom_kills(self._oom_events) if self._oom_events else 0,
        )
        return self._oom_kills > before

    def probe(self) -> list[str]:
        """Names of the layers in force, each found by trying what it forbids in a confined
        child.
        """
        read, write = os.pipe()
        outside = os.path.join(os.path.dirname(self._workdir), "outside")
        with open(outside, "w", encoding="ascii"):
            os.chmod(outside, 0o666)
        before = os.getuid()
        pid = self._fork(self._candidate, (write,), lambda: _try_everything(outside, before))
        os.close(write)
        layers = []
        while line := os.read(read, 4096):
            layers += line.decode().split()
        os.close(read)
        end = _end_of(pid, patience_s=10.0)
        _empty(self._workdir)
        if "syscalls" in layers:
            layers.remove("syscalls")
            layers += ["seccomp"] if end.status == -signal.SIGSYS else []
        return layers + self._namespaces


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _try_everything(outside: str, uid_before: int) -> None:
    """Say on the channel which attempts are refused, then do what must be deadly."""
    report = policy.CHANNEL_FD

    def stated(layer: str) -> None:
        os.write(report, layer.encode() + b" ")

    stated("separate_test_process")
    if _refused(lambda: os.open(outside, os.O_RDONLY)) and _refused(
        lambda: os.open(outside, os.O_WRONLY)
    ):
        with open("inside", "w", encoding="ascii"):
            stated("landlock")
    if _refused(lambda: os.chmod(".", 0o700)):
        stated("syscalls")
    try:
        for _ in range(64):
            os.dup(report)
    except OSError:
        stated("rlimits")
        os.closerange(policy.CHANNEL_FD + 1, 64)
    if os.getuid() != uid_before:
        stated("private_user")
    if os.fork() == 0:
        os._exit(0)


def _take_over_streams() -> tuple[socket.socket, socket.socket]:
    control, tests = socket.socket(fileno=os.dup(0)), socket.socket(fileno=os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return control, tests


def _serve(
    control: socket.socket, tests: socket.socket, config: dict[str, Any], group: dict[str, Any]
) -> None:
    for name in _PRELOADED:
        import_module(name)
    worker = Worker(Limits(**config["limits"]), config["workdir"], group["oom_events"])
    gc.collect()
    gc.freeze()
    gc.disable()
    send_frame(control.fileno(), json.dumps({"layers": worker.probe()}).encode())
    while True:
        request = json.loads(receive_frame(control.fileno(), MAX_FRAME_BYTES))
        answer = worker.run(request, tests)
        del request
        send_frame(control.fileno(), json.dumps(answer).encode())


def main() -> None:
    """Serve programs until the judge closes its end."""
    control, tests = _take_over_streams()
    config = json.loads(sys.argv[-1])
    os.environ.clear()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    group: dict[str, Any] = {"folders": []}
    try:
        group = json.loads(
            receive_frame(control.fileno(), MAX_FRAME_BYTES)
        )  # in its control group by now, or in none
        _serve(control, tests, config, group)
    except Closed:
        leave(group["folders"])
    except Exception:
        import traceback  # seldom needed, and a worker should start soon

        stated = printable(traceback.format_exc()[-280:])
        send_frame(control.fileno(), json.dumps({"broken": stated}).encode())
