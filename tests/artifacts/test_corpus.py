from __future__ import annotations

from pathlib import Path

import pytest

from flab_deploy.corpus import Instruction, Task, load_records, save_records
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.reference.tasks import make_tasks


def test_records_survive_a_round_trip(tmp_path: Path) -> None:
    tasks = make_tasks("test", "function_synthesis", 20)
    save_records(tmp_path / "tasks.jsonl", tasks)
    assert load_records(tmp_path / "tasks.jsonl", Task) == tasks


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "a", "completion": ', r"corpus.jsonl:2: not valid JSON"),
        ('["a"]', r"corpus.jsonl:2: expected a JSON object, found list"),
        ('{"prompt": "a"}', r"corpus.jsonl:2: field 'completion' is missing or not text"),
        (
            '{"prompt": "a", "completion": 3}',
            r"corpus.jsonl:2: field 'completion' is missing or not text",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n' + line + "\n")
    with pytest.raises(ConfigError, match=message):
        load_records(file, Instruction)


def test_a_missing_or_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no corpus at"):
        load_records(tmp_path / "none.jsonl", Instruction)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match="holds no records"):
        load_records(tmp_path / "empty.jsonl", Instruction)
