"""Each format becomes the one record, what is wrong is named by file, line and field, and nothing
is executed.
"""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from flab_deploy.corpus import Task
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.tasks.formats import detect
from flab_deploy.evaluation.tasks.load import read_tasks
from flab_deploy.evaluation.tasks.suite import canonical_verdicts
from flab_deploy.sandbox import Limits
from tests.field_data import HUMANEVAL_FILES, field_file

HUMANEVAL = {
    "task_id": "H/0",
    "prompt": 'def inc(x):\n    """Add one."""\n',
    "entry_point": "inc",
    "canonical_solution": "    return x + 1\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(1) == 2\n",
}
MBPP = {
    "task_id": 7,
    "text": "Write a function to add one.",
    "test_setup_code": "",
    "code": "def helper(x):\r\n  return x + 1\r\ndef inc(x):\r\n  return helper(x)\r\n",
    "test_list": ["assert inc(1) == 2", "assert inc(2)==3"],
    "challenge_test_list": [],
}
SANITIZED = {
    "source_file": "x",
    "task_id": 8,
    "prompt": "Write a function to halve.",
    "code": "def half(x):\n    return x / 2",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(half(3), 1.5)"],
}
MBPP_PLUS = {
    **SANITIZED,
    "task_id": 9,
    "test": "import numpy as np\nfrom math import inf\n\ndef assertion(out, exp, atol):\n"
    "    if isinstance(exp, np.ndarray):\n        raise TypeError\n"
    "    np.testing.assert_allclose(out, exp, atol=atol)\n\n"
    "inputs = [[3], [4]]\nresults = [1.5, 2.0]\nfor i, (inp, exp) in enumerate(zip(inputs, "
    "results)):\n"
    "    assertion(half(*inp), exp, 1e-06)\n",
}
EVALPLUS = {
    **{k: v for k, v in HUMANEVAL.items() if k != "test"},
    "base_input": [[1], [2]],
    "plus_input": [[-3.5]],
    "atol": 0,
    "contract": "",
}
CODEHARMONY = {
    **HUMANEVAL,
    "task_id": "train/1",
    "cot": "How to solve:\nStep 1. Take x.\nStep 2. Add one.",
}
CRUXEVAL = {
    "code": "def f(a, b):\n    return [a, {b: a}]",
    "input": "1, 'x)'",
    "output": "[1, {'x)': 1}]",
    "id": "s_0",
}
FLAB = {**HUMANEVAL, "kind": "function_synthesis"}
ALL = {
    "humaneval": HUMANEVAL,
    "mbpp": MBPP,
    "evalplus": EVALPLUS,
    "codeharmony": CODEHARMONY,
    "cruxeval": CRUXEVAL,
    "flab": FLAB,
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes rows as JSON lines and returns the file."""

    def make(*rows: object, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text(
            "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        )
        return path

    return make


@pytest.mark.parametrize("name", ALL)
def test_formats_are_told_apart(name: str) -> None:
    assert detect(ALL[name]) == name


def _verdicts(tasks: list[Task]) -> list[str]:
    return [verdict.verdict for verdict in canonical_verdicts(tasks, Limits(), 1, "test")]


def test_canonical_solutions_of_every_format_pass(write: Write) -> None:
    rows = {**ALL, "sanitized": SANITIZED, "plus": MBPP_PLUS}
    tasks = [
        task
        for name, row in rows.items()
        for task in read_tasks(str(write(row, name=f"{name}.jsonl")))
    ]
    assert _verdicts(tasks) == ["pass"] * 10
    wrong = [t for t in tasks if t.kind == "function_synthesis"]
    broken = [
        Task(
            **{
                **vars(t),
                "canonical_solution": t.canonical_solution.replace("1", "7").replace("/ 2", "/ 7"),
            }
        )
        for t in wrong
    ]
    assert "pass" not in _verdicts(broken)
    for task in tasks:
        assert task.prompt == task.prompt.rstrip()


def test_prompt_and_solution_meet_where_tokens_end(write: Write) -> None:
    (task,) = read_tasks(str(write(HUMANEVAL)))
    assert (
        task.prompt + task.canonical_solution
        == HUMANEVAL["prompt"] + HUMANEVAL["canonical_solution"]
    )
    function, thought = read_tasks(str(write(CODEHARMONY)))
    assert function.prompt == task.prompt and thought.composition == function.task_id
    assert thought.prompt.endswith('"""\n    # How to solve:')
    assert (
        thought.canonical_solution
        == "\n    # Step 1. Take x.\n    # Step 2. Add one.\n    return x + 1\n"
    )


def test_an_output_row_is_asked_in_both_directions(write: Write) -> None:
    value, given = read_tasks(str(write(CRUXEVAL)))
    assert (
        value.prompt.endswith("\n\nassert f(1, 'x)') ==")
        and value.canonical_solution == " [1, {'x)': 1}]\n"
    )
    assert (
        given.prompt.endswith("\n\nassert [1, {'x)': 1}] == f(")
        and given.canonical_solution == "1, 'x)')\n"
    )
    assert value.composition == given.composition


def test_the_same_rows_in_every_container(write: Write, tmp_path: Path) -> None:
    lines = write(HUMANEVAL, {**HUMANEVAL, "task_id": "H/1"})
    packed, listed, table = tmp_path / "r.jsonl.gz", tmp_path / "r.json", tmp_path / "r.parquet"
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    listed.write_text(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    expected = read_tasks(str(lines))
    assert len(expected) == 2
    for path in (packed, listed, table):
        assert read_tasks(str(path)) == expected


def _without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != field}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (_without(HUMANEVAL, "test"), r"rows.jsonl:2: field 'test' is missing"),
        (
            _without(HUMANEVAL, "canonical_solution"),
            r"rows.jsonl:2: field 'canonical_solution' is missing",
        ),
        ({**HUMANEVAL, "prompt": 3}, r"rows.jsonl:2: field 'prompt' is missing or not text"),
        ({**HUMANEVAL, "task_id": None}, r"rows.jsonl:2: field 'task_id' is missing"),
        (
            {**HUMANEVAL, "entry_point": "dec"},
            r"rows.jsonl:2: field 'entry_point' is 'dec'.*defines \['inc'\]",
        ),
        (
            {**HUMANEVAL, "test": "assert inc(1) == 2"},
            r"rows.jsonl:2: field 'test' defines no check",
        ),
        (
            {**HUMANEVAL, "task_id": "first"},
            r"rows.jsonl:2: field 'task_id' is 'first', as it is at .*rows.jsonl:1",
        ),
        ("{", r"rows.jsonl:2: not valid JSON"),
        ("[1]", r"rows.jsonl:2: expected a JSON object, found list"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(write: Write, row: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_tasks(str(write({**HUMANEVAL, "task_id": "first"}, row)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": 1}, r"rows.jsonl:1: fields a fit none of the formats.*--format"),
        (
            {**MBPP, "test_list": ["assert other(1) == 2"]},
            r"field 'test_list' calls none of the functions",
        ),
        ({**MBPP, "test_list": []}, r"field 'test_list' must be a list"),
        ({**MBPP, "code": "def ("}, r"field 'code' is not Python"),
        ({**EVALPLUS, "base_input": [1]}, r"field 'base_input' must be a list of lists"),
        ({**EVALPLUS, "task_id": "Mbpp/2"}, r"has lost its tuples"),
        ({**CRUXEVAL, "entry_point": "g"}, r"field 'entry_point' is 'g'"),
        ({**FLAB, "kind": "poetry"}, r"field 'kind' is 'poetry'"),
    ],
)
def test_a_bad_row_of_other_formats(write: Write, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_tasks(str(write(row)))


def test_a_bad_source_is_named(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no tasks"):
        read_tasks(str(write()))
    with pytest.raises(ConfigError, match="unknown ending"):
        read_tasks(str(write(HUMANEVAL, name="rows.txt")))
    with pytest.raises(ConfigError, match="field 'code' is missing"):
        read_tasks(str(write(HUMANEVAL)), "cruxeval")
    with pytest.raises(ConfigError, match="names no data set"):
        read_tasks("hub:nowhere")
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(write(HUMANEVAL).read_bytes())[:-9])
    with pytest.raises((ArtifactError, ConfigError), match="broken.jsonl.gz"):
        read_tasks(str(broken))


def test_the_hub_without_a_network_is_one_line() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(
        ArtifactError, match=r"cannot reach hub:org/name#main/test .*give a local file"
    ):
        read_tasks("hub:org/name#main/test")


def test_loading_executes_nothing(write: Write, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    evil = f"open({str(mark)!r}, 'w').close()\n"
    rows = [
        {**HUMANEVAL, "prompt": evil + HUMANEVAL["prompt"], "test": evil + HUMANEVAL["test"]},
        {**MBPP, "code": evil + MBPP["code"], "test_list": [f"assert inc({evil.strip()})"]},
        {
            **CRUXEVAL,
            "code": evil + CRUXEVAL["code"],
            "input": evil.strip(),
            "output": evil.strip(),
        },
        {**EVALPLUS, "prompt": evil + EVALPLUS["prompt"]},
    ]
    for row in rows:
        assert read_tasks(str(write(row)))
    assert not mark.exists()


def test_all_humaneval_solutions_pass() -> None:
    tasks = read_tasks(str(field_file(*HUMANEVAL_FILES)))
    assert len(tasks) == 164
    verdicts = canonical_verdicts(tasks, Limits(cpu_s=5, wall_s=30), 0, "HumanEval")
    assert [
        (t.task_id, v.verdict, v.detail)
        for t, v in zip(tasks, verdicts, strict=True)
        if not v.passed
    ] == []
