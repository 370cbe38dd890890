"""Judging programs: a pool of workers, repeats of what may be the machine's fault, verdicts in
input order.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from flab_deploy.errors import ConfigError, SandboxError
from flab_deploy.sandbox.decide import Finding
from flab_deploy.sandbox.kernel.cgroups import group_for
from flab_deploy.sandbox.verdicts import MAX_SOURCE_BYTES, Limits, Program, Verdict

logger = logging.getLogger(__name__)

_START_WITHIN_S, _ANSWER_LATE_S = 60.0, 30.0
_PATIENCE = 31.0  # times the wall time, for a program may have to wait for a processor
_NUM_INFRA_REPEATS = 2
_REQUIRED_LAYERS = ("landlock", "seccomp")
_NAMESPACE_LAYERS = ("private_network", "limited_disk")
_GROUP_LAYERS = ("cgroup_memory", "cgroup_pids")
# The package's modules without its `__init__` files, whose imports a worker has no use for.
_BOOT = """
import sys, types
for name, path in zip(("flab_deploy", "flab_deploy.sandbox"), sys.argv[1:3]):
    package = types.ModuleType(name)
    package.__path__ = [path]
    sys.modules[name] = package
from flab_deploy.sandbox.worker import zygote
zygote.main()
"""
# Sets of text must come in the same order in every run, and times in one zone. An arena per thread
# would use up the address space. Nothing else is passed on.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "TZ": "UTC", "MALLOC_ARENA_MAX": "1"}


class _Broken(Exception):
    """A worker cannot be relied on any more."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What is known of one program in the end."""

    found: Finding
    cpu_s: float = 0.0
    max_rss_bytes: int = 0

    def verdict_on(self, program: Program) -> Verdict:
        """The verdict that follows."""
        return Verdict(
            program_id=program.program_id,
            verdict=self.found.verdict,
            detail=self.found.detail,
            cpu_s=self.cpu_s,
            max_rss_bytes=self.max_rss_bytes,
        )


def _answer_of(message: dict[str, Any]) -> _Answer:
    """What a worker says of a program; one that says anything else is broken."""
    if "fact" not in message:
        return _broken(message)
    return _Answer(
        found=Finding(fact=message["fact"], detail=message["detail"]),
        cpu_s=message["cpu_s"],
        max_rss_bytes=message["max_rss_bytes"],
    )


def _broken(reason: object) -> _Answer:
    line = " ".join(str(reason).split())[:300]
    return _Answer(found=Finding(fact="worker_broken", detail=line))


class _Worker:
    """A worker process and the two streams to it."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self._limits = limits
        self._answer = bytearray()
        self._deadline = time.monotonic() + _START_WITHIN_S
        workdir = folder / "work"
        folder.mkdir(
            mode=0o711
        )  # programs may run as another user, who must reach the directory by its name
        workdir.mkdir(mode=0o700)
        self._log = folder / "log"
        here = Path(__file__).resolve().parent
        config = json.dumps({"limits": asdict(limits), "workdir": str(workdir)})
        self.control, control = socket.socketpair()
        self._tests, tests = socket.socketpair()
        command = [sys.executable, "-P", "-s", "-S", "-X", "utf8", "-c", _BOOT]
        command += [str(here.parent), str(here), config]
        with control, tests, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=control.fileno(),
                stdout=tests.fileno(),
                stderr=log,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        self._group = group_for(self._process.pid, limits)
        self.index: int | None = None
        self.layers: list[str] | None = None

    def begin(self) -> None:
        """Let the worker start, which has waited until it was in its group. Raises _Broken."""
        group = {
            "folders": [str(folder) for folder in self._group.folders],
            "oom_events": self._group.oom_events,
        }
        self._send(self.control, json.dumps(group).encode())

    def start(self, index: int, program: Program) -> None:
        """Hand over a program; `index` is what its answer will be for. Raises _Broken."""
        self.index = index
        cpu_s = program.cpu_s or self._limits.cpu_s
        wall_s = self._limits.wall_s * max(1.0, cpu_s / self._limits.cpu_s)
        self._deadline = time.monotonic() + _PATIENCE * wall_s + _ANSWER_LATE_S
        request = {
            "source": program.source,
            "entry_point": program.entry_point,
            "cpu_s": cpu_s,
            "wall_s": wall_s,
        }
        exam = {
            "test": program.test,
            "prelude": program.prelude,
            "entry_point": program.entry_point,
        }
        self._send(self.control, json.dumps(request).encode())
        self._send(self._tests, json.dumps(exam).encode())

    def _send(self, stream: socket.socket, data: bytes) -> None:
        stream.settimeout(_ANSWER_LATE_S)
        try:
            stream.sendall(struct.pack(">I", len(data)) + data)
        except OSError as error:
            raise _Broken(f"a worker does not listen ({error})") from None

    def receive(self) -> dict[str, Any] | None:
        """What a readable worker has to say, None if it is not finished saying it. Raises
        _Broken.
        """
        part = self.control.recv(1 << 16)
        if not part:
            raise _Broken(self._log.read_text(errors="replace")[-200:] or "a worker ended")
        self._answer += part
        if (
            len(self._answer) < 4
            or len(self._answer) < 4 + struct.unpack_from(">I", self._answer)[0]
        ):
            return None
        message = json.loads(self._answer[4:])
        self._answer.clear()
        if "broken" in message:
            raise _Broken(message["broken"])
        if "layers" in message:
            self.layers = [*message["layers"], *self._group.layers]
        return cast("dict[str, Any]", message)

    def late(self) -> bool:
        """Whether it should have answered by now."""
        return time.monotonic() > self._deadline

    def close(self) -> None:
        """End it; its children die with it, and its control groups go."""
        self.control.close()
        self._tests.close()
        self._group.kill()
        self._process.kill()
        self._process.wait()
        self._group.remove()


class _Pool:
    """Workers, started when needed and replaced when broken."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self._limits = limits
        self._folder = folder
        self._num_started = 0
        self._workers: list[_Worker] = []

    def start(self, count: int) -> list[_Worker]:
        """As many more workers, which start side by side. Raises SandboxError if one cannot be
        started.
        """
        first = len(self._workers)
        try:
            for _ in range(count):
                self._num_started += 1
                self._workers.append(_Worker(self._limits, self._folder / str(self._num_started)))
                self._workers[-1].begin()
            for worker in self._workers[first:]:
                worker.control.settimeout(_START_WITHIN_S)
                while worker.receive() is None:
                    pass
        except (_Broken, OSError) as error:
            raise SandboxError(f"no sandbox worker could be started: {error}") from None
        return self._workers[first:]

    def layers(self) -> list[str]:
        """Layers in force in all workers there are, and there must be one."""
        known = [worker.layers or [] for worker in self._workers]
        return [layer for layer in known[0] if all(layer in others for others in known)]

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def run(
        self, programs: Sequence[Program], indices: Sequence[int], width: int
    ) -> Iterator[tuple[int, Verdict, bool]]:
        """Verdicts of the programs at `indices` as they come, at most `width` at a time, and
        whether they are sure.
        """
        waiting = deque(indices)
        with selectors.DefaultSelector() as selector:
            idle = self._workers[:width]
            busy: list[_Worker] = []
            while waiting or busy:
                while waiting and len(busy) < width:
                    worker = idle.pop() if idle else self.start(1)[0]
                    index = waiting.popleft()
                    busy.append(worker)
                    selector.register(worker.control, selectors.EVENT_READ, worker)
                    try:
                        worker.start(index, programs[index])
                    except _Broken as error:
                        self._drop(selector, busy, worker)
                        yield index, _broken(error).verdict_on(programs[index]), False
                for worker, answer in self._answers(selector, busy):
                    index, found = cast("int", worker.index), answer.found
                    if found.verdict == "infra_error" and not found.sure:
                        self._drop(selector, busy, worker)
                    else:
                        selector.unregister(worker.control)
                        busy.remove(worker)
                        idle.append(worker)
                    yield index, answer.verdict_on(programs[index]), found.sure

    def _answers(
        self, selector: selectors.BaseSelector, busy: list[_Worker]
    ) -> list[tuple[_Worker, _Answer]]:
        """Answers that are in, waiting for some; of a worker that is broken or late, that it is."""
        answers: list[tuple[_Worker, _Answer]] = []
        for key, _ in selector.select(timeout=1.0):
            worker = cast("_Worker", key.data)
            try:
                message = worker.receive()
            except (_Broken, OSError, ValueError) as error:
                answers.append((worker, _broken(error)))
                continue
            if message is not None:
                answers.append((worker, _answer_of(message)))
        answered = [worker for worker, _ in answers]
        late = [w for w in busy if w not in answered and w.late()]
        return answers + [(w, _broken("a worker did not answer in time")) for w in late]

    def _drop(self, selector: selectors.BaseSelector, busy: list[_Worker], worker: _Worker) -> None:
        selector.unregister(worker.control)
        busy.remove(worker)
        self._workers.remove(worker)
        worker.close()


def _refused(program: Program) -> Verdict | None:
    """The verdict on a source that is too long to be worth a process."""
    size = len(program.source.encode("utf-8", "surrogatepass"))
    if size <= MAX_SOURCE_BYTES:
        return None
    detail = f"a source of {size} bytes, and {MAX_SOURCE_BYTES} are allowed"
    return _Answer(found=Finding(fact="source_too_long", detail=detail)).verdict_on(program)


@contextmanager
def _pool(limits: Limits, allow_weak: bool, width: int = 1) -> Iterator[_Pool]:
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"generated code cannot be isolated on {sys.platform}; run this in a Linux container"
        )
    folder = Path(tempfile.mkdtemp(prefix="flab-sandbox-"))
    folder.chmod(0o711)
    pool = _Pool(limits, folder)
    try:
        pool.start(width)
        missing = [layer for layer in _REQUIRED_LAYERS if layer not in pool.layers()]
        if missing and not allow_weak:
            raise SandboxError(
                f"generated code cannot be isolated here: {' and '.join(missing)} not in force; "
                "use a Linux kernel with both (5.13 or newer), or allow a weak sandbox"
            )
        yield pool
    finally:
        pool.close()
        shutil.rmtree(folder, ignore_errors=True)


def judge(
    programs: Sequence[Program],
    limits: Limits = Limits(),
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
    *,
    allow_weak: bool = False,
) -> list[Verdict]:
    """Verdicts of the programs, in their order.

    `workers` run at a time, by default one per usable processor. `progress` is called with 1 for
    each program that is done, as `tqdm.update` wants it. A timeout counts only if it happens
    again with no other program running; an `infra_error` that is not the test's own fault is
    repeated up to two times.
    Raises SandboxError if this machine cannot isolate programs, unless `allow_weak`; ConfigError
    for less than 0 workers.
    """
    if workers < 0:
        raise ConfigError(f"workers is {workers}; give 0 for one per processor, or more")
    verdicts: list[Verdict | None] = [_refused(program) for program in programs]
    indices = [i for i, verdict in enumerate(verdicts) if verdict is None]
    tell = progress or (lambda _: None)
    for _ in range(len(programs) - len(indices)):
        tell(1)
    if not indices:
        return cast("list[Verdict]", verdicts)
    width = min(workers or len(os.sched_getaffinity(0)), len(indices))
    with _pool(limits, allow_weak, width) as pool:
        again: list[int] = []
        for index, verdict, sure in pool.run(programs, indices, width):
            verdicts[index] = verdict
            if sure:
                tell(1)
            else:
                again.append(index)
        for index in sorted(again):
            verdicts[index] = _repeated(pool, programs, index, cast("Verdict", verdicts[index]))
            tell(1)
    return cast("list[Verdict]", verdicts)


def _repeated(pool: _Pool, programs: Sequence[Program], index: int, verdict: Verdict) -> Verdict:
    """The verdict on a program judged again, alone: once, or as long as the machine is at fault."""
    for _ in range(_NUM_INFRA_REPEATS):
        logger.info(
            "judging %s again, alone: %s (%s)", verdict.program_id, verdict.verdict, verdict.detail
        )
        ((_index, verdict, sure),) = pool.run(programs, [index], 1)
        if sure or verdict.verdict != "infra_error":
            return verdict
    return verdict


def tier_of(layers: Sequence[str]) -> str:
    """Name of the tier that some layers make.

    `0` is less than is required, `1` what is required, `2` with a network and a disk of the
    worker's own; an `r` follows where programs run as a private user, a `c` where the memory and
    the threads of a worker's processes are limited together.
    """
    if any(layer not in layers for layer in _REQUIRED_LAYERS):
        return "0"
    tier = "2" if set(_NAMESPACE_LAYERS) <= set(layers) else "1"
    return (
        tier
        + ("r" if "private_user" in layers else "")
        + ("c" if set(_GROUP_LAYERS) <= set(layers) else "")
    )


@lru_cache(maxsize=1)
def _layers_here() -> tuple[str, ...]:
    with _pool(Limits(), allow_weak=True) as pool:
        return tuple(pool.layers())


def describe_sandbox() -> dict[str, str | list[str]]:
    """The isolation in force here, found by trying: `tier` (see `tier_of`) and the names of the
    `layers`.
    """
    layers = list(_layers_here())
    return {"tier": tier_of(layers), "layers": layers}
