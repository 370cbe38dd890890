"""Many programs through one judge, with a look at what it holds on to every so often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from flab_deploy.sandbox import Program, judge
from tests.sandbox.hostile import HONEST, TEST
from tests.sandbox.suite import temporary_folder

_KINDS = {
    HONEST: "pass",
    "import os\nopen('left', 'w').write('x' * 1000)\ndef f(n):\n    "
    "os._exit(3)\n": "fail_exception",
    "def f(n": "fail_load",
    "def f(n):\n    return object()\n": "unsupported_value",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    + HONEST: "pass",
    "def f(n):\n    return list(range(n))\n": "fail_assert",
    "import os\ndef f(n):\n    os.fork()\n": "policy_violation",
    "def f(n):\n    return bytearray(3 << 30)\n": "memory_limit",
}


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What the judge and its workers have at one moment."""

    own_descriptors: int
    worker_descriptors: int
    processes: int
    temporary_files: int
    worker_rss_bytes: int
    """Resident memory of the workers together."""


def _look(strangers: set[psutil.Process], width: int, folder: Path) -> Holding:
    me = psutil.Process()
    workers = [c for c in me.children() if c not in strangers][:width]
    # a worker may have mounted a file system of its own there, which only its own view of the files
    # shows
    seen_from = [Path("/"), *(Path(f"/proc/{w.pid}/root") for w in workers)]
    folders = [root / folder.relative_to("/") for root in seen_from]
    return Holding(
        own_descriptors=me.num_fds(),
        worker_descriptors=sum(w.num_fds() for w in workers),
        processes=len(set(me.children(recursive=True)) - strangers),
        temporary_files=len({path.as_posix() for folder in folders for path in folder.rglob("*")}),
        worker_rss_bytes=sum(w.memory_info().rss for w in workers),
    )


def endure(
    num_programs: int, *, every: int, width: int = 2
) -> tuple[list[Holding], Counter[str], list[str]]:
    """Judge `num_programs` of all kinds: what was held every so many programs, verdicts, and
    unexpected verdicts.
    """
    strangers = set(psutil.Process().children(recursive=True))
    kinds = list(_KINDS.items())
    programs = [
        Program(
            program_id=kinds[i % len(kinds)][1],
            source=kinds[i % len(kinds)][0],
            test=TEST,
            entry_point="f",
        )
        for i in range(num_programs)
    ]
    seen: list[Holding] = []
    num_done = 0

    def look(_: int) -> None:
        nonlocal num_done
        num_done += 1
        if num_done % every == 0:
            seen.append(_look(strangers, width, folder))

    with temporary_folder() as folder:
        verdicts = judge(programs, workers=width, progress=look)
        assert list(folder.iterdir()) == []
    odd = [
        f"{v.program_id}: {v.verdict} ({v.detail})" for v in verdicts if v.verdict != v.program_id
    ]
    return seen, Counter(v.verdict for v in verdicts), odd


def spread(seen: list[Holding], name: str) -> tuple[int, int]:
    """Smallest and largest of one figure, without the start and the end, when workers come and
    go.
    """
    figures = [getattr(holding, name) for holding in seen[2:-1]]
    return min(figures), max(figures)
