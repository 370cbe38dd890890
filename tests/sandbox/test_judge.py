"""Right programs pass, wrong ones are told apart, and the judge itself stays whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import VERDICT_NAMES, Limits, Program, Verdict, judge
from tests.benchmarks.sandbox.endurance import endure, spread
from tests.sandbox.hostile import HONEST, TEST

ROOT = Path(__file__).resolve().parents[2]


def program(source: str = HONEST, test: str = TEST, name: str = "p") -> Program:
    return Program(program_id=name, source=source, test=test, entry_point="f")


@pytest.fixture
def strangers() -> set[psutil.Process]:
    """Children of this process that are not the judge's, such as those other tests left to be
    reaped.
    """
    return set(psutil.Process().children(recursive=True))


def verdict_of(source: str, *checks: str) -> Verdict:
    test = "def check(candidate):\n" + "".join(f"    {line}\n" for line in checks)
    (verdict,) = judge([program(source, test)], workers=1)
    return verdict


@pytest.mark.parametrize("kind", ["function_synthesis", "chain_of_thought"])
def test_solutions_of_the_generated_tasks_pass(kind: str) -> None:
    tasks = make_tasks("test", kind, 250)  # type: ignore[arg-type]
    programs = [
        Program(
            program_id=t.task_id,
            source=t.prompt + t.canonical_solution,
            test=t.test,
            entry_point=t.entry_point,
        )
        for t in tasks
    ]
    verdicts = judge(programs)
    assert [v for v in verdicts if not v.passed] == []
    assert [v.program_id for v in verdicts] == [t.task_id for t in tasks]
    assert all(0 < v.cpu_s < 1 and v.max_rss_bytes < 100 << 20 for v in verdicts)


def test_verdicts_come_in_input_order_and_again_the_same() -> None:
    sources = [
        HONEST,
        "def f(n): return n",
        "def f(n): return object()",
        "def f(n",
        "def f(n): return lambda: 0",
        "x = 1",
    ]
    sources += [
        "def f(n): raise ValueError(object())",
        "def f(n): return list({'a', 'b', 'c'})[n]",
        "def f(n): return g",
    ]
    programs = [program(source, name=str(i)) for i, source in enumerate(sources * 4)]
    done: list[int] = []
    first = judge(programs, workers=3, progress=done.append)
    again = judge(programs, workers=1)
    assert sum(done) == len(programs)
    assert [v.program_id for v in first] == [p.program_id for p in programs]
    assert [(v.verdict, v.detail) for v in first] == [(v.verdict, v.detail) for v in again]
    assert {v.verdict for v in first} == {
        "pass",
        "fail_assert",
        "unsupported_value",
        "fail_load",
        "fail_exception",
    }
    assert all(
        v.verdict in VERDICT_NAMES and v.detail.isprintable() and len(v.detail) <= 300
        for v in first
    )


def test_nothing_to_judge() -> None:
    assert judge([]) == []


def test_arguments_changed_in_place_are_seen() -> None:
    source = (
        "def f(x, *, y=None):\n    x.sort()\n    x[0].append(9)\n    if y is not None: y['k'] = 1\n"
    )
    checks = ["inner = [1]", "x = [[2], inner]", "y = {}", "assert candidate(x, y=y) is None"]
    assert verdict_of(source, *checks, "assert x == [[1, 9], [2]] and y == {'k': 1}").passed
    assert not verdict_of(source, *checks, "assert x == [[2], [1]]").passed


def test_exceptions_reach_the_test_by_their_class() -> None:
    source = (
        "class Odd(KeyError): pass\ndef f(n):\n    raise Odd('no') if n else "
        "ZeroDivisionError('zero')\n"
    )
    expected = [
        "try:",
        "    candidate(1)",
        "except LookupError as e:",
        "    assert 'no' in str(e)",
        "else:",
        "    assert 0",
    ]
    assert verdict_of(source, *expected).passed
    assert verdict_of(source, "candidate(0)").detail == "ZeroDivisionError: zero"


def test_a_test_cannot_hide_a_verdict() -> None:
    hidden = ["try:", "    candidate(1)", "except BaseException:", "    pass"]
    assert verdict_of("def f(n): return object()", *hidden).verdict == "unsupported_value"
    assert verdict_of("import os\ndef f(n): os._exit(0)", *hidden).verdict == "fail_exception"


PROMPT = (
    "import math\nfrom math import sqrt as root\n\ndef double(n):\n    return 2 * n\n\ndef f(n):\n"
)


def with_prompt(completion: str, *checks: str) -> Verdict:
    test = "def check(candidate):\n" + "".join(f"    {line}\n" for line in checks)
    (verdict,) = judge(
        [
            Program(
                program_id="p",
                source=PROMPT + completion,
                test=test,
                entry_point="f",
                prelude=PROMPT,
            )
        ]
    )
    return verdict


def test_helpers_and_imports_of_the_prompt_can_be_used_by_the_test() -> None:
    checks = [
        "for n in range(9): assert candidate(double(n)) == n",
        "assert root(4) == 2 == math.floor(f(4))",
    ]
    assert with_prompt("    return n // 2\n", *checks).passed


def test_a_program_cannot_redefine_a_helper_of_the_test() -> None:
    lie = "    return 7\n\ndef double(n):\n    return 14\n\nimport math\nmath.floor = lambda x: 2\n"
    checks = ["for n in range(9): assert candidate(double(n)) == n"]
    assert with_prompt(lie, *checks).verdict == "fail_assert"


def test_a_name_that_only_the_program_defines_is_the_tests_fault() -> None:
    verdict = with_prompt(
        "    return n\n\ndef near(a, b):\n    return True\n", "assert near(candidate(1), 5)"
    )
    assert verdict.verdict == "infra_error" and "near" in verdict.detail


def test_an_import_that_fails_in_the_test_is_the_tests_fault() -> None:
    verdict = with_prompt("    return n\n", "import numpy.no_such_module", "assert candidate(1)")
    assert verdict.verdict == "infra_error" and "numpy" in verdict.detail
    own = with_prompt("    import numpy.no_such_module\n", "assert candidate(1)")
    assert own.verdict == "fail_exception" and "numpy" in own.detail


def test_a_name_error_of_the_program_is_not() -> None:
    assert with_prompt("    return m\n", "assert candidate(1)").verdict == "fail_exception"


def test_a_stop_iteration_does_not_end_a_loop_of_the_test() -> None:
    source = "def f(n):\n    raise StopIteration"
    assert (
        verdict_of(source, "for x in map(candidate, [1, 2]): assert x == 0").verdict
        == "fail_exception"
    )
    assert verdict_of(source, "try: candidate(1)", "except StopIteration: pass").passed


def test_functions_of_the_test_can_be_passed_and_called() -> None:
    source = "def f(g, xs, key=None):\n    xs.sort(key=key)\n    return [g(x) for x in xs], g\n"
    checks = ["seen = []", "def g(x):", "    seen.append(x)", "    return -x", "xs = [1, 2, 3]"]
    checks += [
        "assert candidate(g, xs, key=lambda x: -x) == ([-3, -2, -1], g)",
        "assert seen == xs == [3, 2, 1]",
    ]
    assert verdict_of(source, *checks).passed
    assert verdict_of(
        "def f(g, x): return g(x)",
        "assert candidate(int, '12') == 12 and candidate(len, 'ab') == 2",
    ).passed
    raises = "def f(g):\n    try: g()\n    except ZeroDivisionError as e: return str(e)\n"
    assert verdict_of(raises, "assert candidate(lambda: 1 / 0) == 'division by zero'").passed


def test_a_function_of_the_test_that_gives_no_plain_data_is_unsupported() -> None:
    verdict = verdict_of("def f(g): return g()", "assert candidate(lambda: object()) == 1")
    assert (verdict.verdict, verdict.detail) == (
        "unsupported_value",
        "a function of the test gives a value of type 'object'",
    )
    verdict = verdict_of("def f(g): return g(1)", "assert candidate(lambda n: candidate(n)) == 1")
    assert verdict.verdict == "unsupported_value"


def test_a_program_keeps_no_function_of_an_earlier_call() -> None:
    source = "held = []\ndef f(g):\n    held.append(g)\n    return held[0]()\n"
    checks = ["assert candidate(lambda: 1) == 1", "assert candidate(lambda: 2) == 1"]
    assert verdict_of(source, *checks).verdict == "protocol_violation"


def test_a_failing_program_cannot_make_the_test_process_end_without_a_word() -> None:
    """Else a wrong program could have itself taken for the judge's own error, which no score
    counts.
    """
    assert (
        verdict_of("def f(n): return 10 ** 9999", "assert {1: 2}[candidate(1)]").verdict
        == "fail_exception"
    )
    big = "def f(n): return range(10 ** 12)"
    assert verdict_of(big, "assert sorted(candidate(1)) == [1]").verdict in (
        "memory_limit",
        "timeout_cpu",
    )


def test_generators_keep_being_generators() -> None:
    source = "def f(n):\n    yield from range(n)\n"
    assert verdict_of(source, "assert list(candidate(3)) == [0, 1, 2]").passed
    assert verdict_of(source, "assert candidate(3) == [0, 1, 2]").verdict == "fail_assert"


@pytest.mark.parametrize(
    ("test", "detail"),
    [
        ("def check(candidate)", "does not compile"),
        ("x = 1", "no function check"),
        ("def check(candidate): pass", "never calls"),
    ],
)
def test_a_bad_test_is_nobodys_failure(test: str, detail: str) -> None:
    bad, good = judge([program(test=test), program()], workers=1)
    assert bad.verdict == "infra_error" and detail in bad.detail
    assert good.passed


def test_nothing_grows_over_five_hundred_programs() -> None:
    me = psutil.Process()
    before = me.num_fds(), len(me.children(recursive=True))
    seen, counts, odd = endure(500, every=20)
    assert odd == [] and counts["infra_error"] == 0
    assert spread(seen, "own_descriptors")[0] == spread(seen, "own_descriptors")[1]
    # a worker between two programs has seven descriptors, two processes and four files; one that is
    # busy a few more
    assert spread(seen, "worker_descriptors")[1] <= 2 * 16
    assert spread(seen, "processes")[1] <= 2 * 3
    assert spread(seen, "temporary_files")[1] <= 2 * 16
    low, high = spread(seen, "worker_rss_bytes")
    assert high - low < 4 << 20
    assert (me.num_fds(), len(me.children(recursive=True))) == before


def test_a_killed_worker_costs_no_program(strangers: set[psutil.Process]) -> None:
    countdown = [3]

    def kill(_: int) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            next(child for child in psutil.Process().children() if child not in strangers).kill()

    verdicts = judge([program(name=str(i)) for i in range(12)], workers=2, progress=kill)
    assert all(v.passed for v in verdicts)


def test_workers_end_with_an_interrupted_judge(strangers: set[psutil.Process]) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge([program()] * 5, workers=2, progress=interrupt)
    assert set(psutil.Process().children()) <= strangers


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="workers is -1"):
        judge([program()], workers=-1)
    with pytest.raises(ConfigError, match="cpu_s is -1"):
        Program(program_id="p", source="", test="", entry_point="f", cpu_s=-1)


@pytest.mark.parametrize(
    "limits", [{"cpu_s": 0}, {"cpu_s": 5, "wall_s": 1}, {"memory_bytes": 1}, {"message_bytes": 0}]
)
def test_impossible_limits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        Limits(**limits)  # type: ignore[arg-type]


_WITHOUT = """
import ctypes, os, struct, sys
sys.path.insert(0, sys.argv[1])
from flab_deploy.errors import SandboxError
from flab_deploy.sandbox import Program, describe_sandbox, judge
from flab_deploy.sandbox.kernel import policy
number = int(sys.argv[2])
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7fff0000)]
policy._prctl(policy._PR_SET_NO_NEW_PRIVS, 1)
policy._filter_syscalls(b"".join(struct.pack("=HBBI", *line) for line in lines))
test = "def check(c): assert c(1) == 1"
programs = [Program(program_id="p", source="def f(n): return n", test=test, entry_point="f")]
try:
    judge(programs)
except SandboxError as error:
    print(error)
print(describe_sandbox()["tier"], judge(programs, allow_weak=True)[0].verdict)
"""


def test_a_machine_without_landlock_is_refused_unless_allowed() -> None:
    """A kernel without Landlock is had by filtering the call that sets it up."""
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT, str(ROOT), "444"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert result.stderr == ""
    refused, weak = result.stdout.splitlines()
    assert "landlock not in force" in refused
    assert weak == "0 pass"
