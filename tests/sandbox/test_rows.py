"""`flab judge`: every shape of test, bad files refused by file and line, exit codes; HumanEval
itself where it is.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.sandbox import Limits, Program, ProgramRow, Verdict, calibrate, judge, load_rows
from flab_deploy.sandbox.calibration import limit_of
from tests.field_data import HUMANEVAL_FILES, field_file
from tests.sandbox.shapes import SHAPES, Shape

ROOT = Path(__file__).resolve().parents[2]
ADD = {
    "task_id": "T/0",
    "prompt": "def add(a, b):\n",
    "completion": "    return a + b\n",
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
}


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    )
    return path


def flab_judge(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flab_deploy.cli", "judge", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def judged(shape: Shape, completion: str) -> Program:
    return Program(
        program_id=shape.name,
        source=shape.prompt + completion,
        test=shape.test,
        entry_point=shape.entry_point,
        prelude=shape.prompt,
    )


def plainly_passes(shape: Shape, completion: str) -> bool:
    """What running program and test in one namespace says, as HumanEval's own harness does."""
    namespace: dict[str, Any] = {}
    try:
        exec(shape.prompt + completion + "\n" + shape.test, namespace)
        namespace["check"](namespace[shape.entry_point])
    except Exception:
        return False
    return True


def test_there_are_many_shapes() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 40


def test_right_completions_pass_and_wrong_ones_fail_in_every_shape() -> None:
    programs = [judged(s, code) for s in SHAPES for code in (s.right, s.wrong)]
    verdicts = judge(programs)
    found = [(v.program_id, v.verdict, v.detail) for v in verdicts]
    expected = [(s.name, name) for s in SHAPES for name in ("pass", s.verdict)]
    assert [f for f, e in zip(found, expected, strict=True) if f[:2] != e] == []


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_shapes_mean_in_one_process_what_they_mean_in_two(shape: Shape) -> None:
    assert plainly_passes(shape, shape.right)
    cheats = {"a polynomial's root, by a helper of the prompt", "an object of the program's own"}
    assert plainly_passes(shape, shape.wrong) == (shape.name in cheats)


def test_the_verb_prints_one_document(tmp_path: Path) -> None:
    wrong = {**ADD, "completion": "    return a - b\n"}
    undefined = {**ADD, "task_id": "T/1", "prompt": "", "completion": "def sub(a, b): return a - b"}
    hanging = {**ADD, "task_id": "T/2", "completion": "    while True: pass\n"}
    path = write(tmp_path / "rows.jsonl", ADD, wrong, ADD, "", undefined, hanging)
    done = flab_judge(path, "--json", "--cpu-s", "0.3")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    found = [(r["task_id"], r["verdict"]) for r in document["results"]]
    assert found == [
        ("T/0", "pass"),
        ("T/0", "fail_assert"),
        ("T/0", "pass"),
        ("T/1", "fail_load"),
        ("T/2", "timeout_cpu"),
    ]
    assert all(
        set(r) == {"task_id", "verdict", "detail", "cpu_s", "max_rss_bytes"}
        for r in document["results"]
    )
    assert document["summary"]["pass_at_1"] == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert document["undefined_entry_points"] == ["T/1"]
    assert document["sandbox"]["tier"] not in ("", "0")
    assert "judged: 5 programs" in done.stderr


def test_the_verb_prints_readable_lines(tmp_path: Path) -> None:
    done = flab_judge(
        write(tmp_path / "rows.jsonl", ADD, {**ADD, "completion": "    return 1 // 0\n"})
    )
    assert done.returncode == 0, done.stderr
    assert "T/0: fail_exception ZeroDivisionError" in done.stdout
    assert "passed 1 of 2 programs of 1 tasks; pass@1 0.5000" in done.stdout
    assert "sandbox tier" in done.stdout


def test_no_score_where_a_program_could_not_be_judged(tmp_path: Path) -> None:
    broken = {
        **ADD,
        "task_id": "T/1",
        "test": "def check(candidate):\n    assert candidate(1, 2) == three\n",
    }
    done = flab_judge(write(tmp_path / "rows.jsonl", ADD, broken), "--json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert [r["verdict"] for r in document["results"]] == ["pass", "infra_error"]
    assert "three" in document["results"][1]["detail"] and document["summary"]["pass_at_1"] is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"task_id": oops}', "not valid JSON"),
        ("[1]", "expected a JSON object, found list"),
        ({**ADD, "task_id": 7}, "'task_id' must be text, found int"),
        (
            {name: text for name, text in ADD.items() if name != "test"},
            "'test' must be text, found nothing",
        ),
        ({**ADD, "entry_point": "add; import os"}, "is not the name of a function"),
        ({**ADD, "entry_point": "lambda"}, "is not the name of a function"),
        ({**ADD, "test": "def check(candidate): pass"}, "another test than on line 1"),
        ({**ADD, "entry_point": "sub"}, "another entry_point than on line 1"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any] | str, told: str) -> None:
    path = write(tmp_path / "rows.jsonl", ADD, "", line)
    with pytest.raises(ConfigError, match="rows.jsonl:3: ") as raised:
        load_rows(path)
    assert told in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b"\xff\xfe{", "cannot be read"),
        (b"\x1f\x8bx", "cannot be read"),
    ],
)
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        load_rows(tmp_path / "rows.jsonl")


def test_bad_input_ends_with_two_and_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path, write(tmp_path / "bad.jsonl", ADD, "{")):
        done = flab_judge(path, "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("--cpu-s", "0"), ("--cpu-s", "-1"), ("--workers", "-2"), ("--memory-bytes", "1")]
)
def test_impossible_options_end_with_two(tmp_path: Path, words: tuple[str, str]) -> None:
    done = flab_judge(write(tmp_path / "rows.jsonl", ADD), *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert (
        words[0].strip("-").replace("-", "_") in done.stderr.replace("-", "_")
        and "Traceback" not in done.stderr
    )


def test_rows_may_be_gzipped_and_hold_any_character(tmp_path: Path) -> None:
    row = {**ADD, "prompt": ADD["prompt"] + '    """a\u2028b \ud800"""\n'}
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(row).encode() + b"\r\n"))
    plain = tmp_path / "rows.jsonl"
    plain.write_text(
        json.dumps(
            {**ADD, "extra": [1], "prompt": "# a\u2028b\n" + ADD["prompt"]}, ensure_ascii=False
        )
    )
    assert [r.task_id for path in (packed, plain) for r in load_rows(path)] == ["T/0", "T/0"]
    assert [v["verdict"] for v in json.loads(flab_judge(plain, "--json").stdout)["results"]] == [
        "pass"
    ]


def program(row: ProgramRow, completion: str, cpu_s: float = 0.0) -> Program:
    return Program(
        program_id=row.task_id,
        source=row.prompt + completion,
        test=row.test,
        entry_point=row.entry_point,
        prelude=row.prompt,
        cpu_s=cpu_s,
    )


def test_the_time_limit_is_ten_times_what_was_used_and_never_below_the_given() -> None:
    limits = Limits(cpu_s=0.3, wall_s=6)
    assert limit_of(0.001, limits) == limit_of(0.03, limits) == 0.3
    assert limit_of(0.4, limits) == pytest.approx(4.0)
    assert limit_of(1_000.0, limits) == 3_600.0


def test_the_time_limit_follows_the_canonical_solution() -> None:
    busy = (
        "def f(n):\n    import time\n    while time.process_time() < n / 100: pass\n    return n\n"
    )
    test = "def check(candidate):\n    assert candidate(%d) == %d\n"
    solutions = [
        Program(program_id=str(n), source=busy, test=test % (n, n), entry_point="f")
        for n in (0, 40)
    ]
    limits = Limits(cpu_s=0.3, wall_s=6)
    broken = Program(program_id="broken", source=busy, test=test % (1, 2), entry_point="f")
    found = calibrate([*solutions, broken], limits)
    used_s = {v.program_id: v.cpu_s for v in found.verdicts}
    assert used_s["0"] < 0.4 <= used_s["40"]
    assert found.cpu_s == {name: limit_of(used_s[name], limits) for name in ("0", "40")}
    assert [v.program_id for v in found.failed] == ["broken"]
    verdicts = judge(
        [Program(**{**vars(p), "cpu_s": found.cpu_s[p.program_id]}) for p in solutions], limits
    )
    assert [v.verdict for v in verdicts] == ["pass", "pass"]
    assert [v.verdict for v in judge(solutions, limits)] == ["pass", "timeout_cpu"]


def test_all_canonical_solutions_of_humaneval_pass(tmp_path: Path) -> None:
    path = field_file(*HUMANEVAL_FILES)
    text = (
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    ).decode()
    rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    filled = write(
        tmp_path / "rows.jsonl", *({**row, "completion": row["canonical_solution"]} for row in rows)
    )
    loaded = load_rows(filled)
    failed: list[Verdict] = [
        v for v in judge([program(r, r.completion) for r in loaded]) if not v.passed
    ]
    assert failed == [] and len(loaded) == 164
