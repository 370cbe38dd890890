"""Published schemas: they are those of the records, and what verbs print keeps to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from flab_deploy.records.schemas import FOLDER, SCHEMAS, schema_file, schema_text
from tests.in_process import flab


def check(name: str, printed: str) -> None:
    schema = json.loads(schema_file(name).read_text(encoding="utf-8"))
    errors = [
        error.message for error in Draft202012Validator(schema).iter_errors(json.loads(printed))
    ]
    assert errors == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_shipped_schema_is_that_of_the_record(name: str) -> None:
    text = schema_file(name).read_text(encoding="utf-8")
    assert text == schema_text(name), "run `python -m flab_deploy.records.schemas`"
    Draft202012Validator.check_schema(json.loads(text))


def test_no_schema_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SCHEMAS)


def test_the_verb_lists_them_and_prints_one() -> None:
    listed = flab("schema")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(SCHEMAS)
    assert flab("schema", "score").stdout == schema_text("score")
    refused = flab("schema", "scroe")
    assert refused.returncode == 2
    assert "no schema is called 'scroe'; there are run, import, corpus" in refused.stderr


def printed(*words: str) -> str:
    done = flab(*words, "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_slimming_verbs_print_keeps_to_their_schemas(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model, scores, plan = str(tiny_checkpoint), str(tmp_path / "scores"), str(tmp_path / "plan")
    few = ("--num-calibration", "4", "--num-counted", "20")
    check("score", printed("score", model, "--out", scores, *few))
    asked = ("plan", model, "--scores", scores, "--reduction", "0.2")
    check("plan", printed(*asked, "--out", plan))
    sweep = ("--sweep", "0.1,0.2", "--out", str(tmp_path / "sweep"))
    check("plan-sweep", printed("plan", model, "--scores", scores, *sweep))


def test_what_judge_prints_keeps_to_its_schema(tmp_path: Path) -> None:
    row = {
        "task_id": "t",
        "prompt": "def f(n):\n",
        "completion": "    return n",
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1) == 1",
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    check("judge", printed("judge", str(tmp_path / "rows.jsonl")))


def test_what_engines_prints_keeps_to_its_schema() -> None:
    check("engines", printed("engines", "list"))
