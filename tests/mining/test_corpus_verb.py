"""The verb `flab corpus`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from jsonschema import Draft202012Validator

from flab_deploy.corpora import load_instructions
from flab_deploy.records.schemas import schema_file
from tests.in_process import flab
from tests.mining.trees import squares, tree


def refused(words: tuple[str, ...], message: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    done = flab("corpus", *words)
    assert (done.returncode, done.stdout) == (2, "")
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert sorted(folder.rglob("*")) == before


def test_the_file_is_an_instruction_file_and_the_record_describes_it(tmp_path: Path) -> None:
    source = tree(tmp_path / "tree", {"a.py": squares(), "b.py": "def f(:\n", "LICENSE": "MIT"})
    out = tmp_path / "made" / "corpus.jsonl"
    done = flab("corpus", str(source), "--installed", "json", "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    schema = json.loads(schema_file("corpus").read_text(encoding="utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(found)) == []
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert all(list(row) == ["prompt", "completion", "source"] for row in rows)
    assert "a.py:2" in [row["source"] for row in rows]
    assert any(row["source"].startswith("json/decoder.py:") for row in rows)
    assert found["num_records"] == len(rows) == sum(found["kinds"].values())
    assert found["num_characters"] == sum(len(row["prompt"] + row["completion"]) for row in rows)
    assert found["digest"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert found["files_left_out"] == {"syntax_error": 1}
    assert found["files_read"] == found["languages"]["python"]
    own, library = found["trees"]
    assert (own["num_files"], own["licence_files"]) == (2, ["LICENSE"])
    assert library["package_licences"] == {"Python": "PSF-2.0"}
    assert [e.prompt for e in load_instructions(str(out), 3, "any")] == [
        row["prompt"] for row in rows[:3]
    ]


def test_what_is_printed_says_what_was_left_out(tmp_path: Path) -> None:
    source = tree(tmp_path / "tree", {"a.py": squares() + squares("g"), "vendor/b.py": ""})
    done = flab("corpus", str(source), "--out", str(tmp_path / "corpus.jsonl"))
    assert done.returncode == 0, done.stderr
    assert "  1 record: 1 function\n  1 file read in " in done.stdout
    assert "  left out: 1 file (1 vendored)\n" in done.stdout
    assert "  left out: 1 function (1 near duplicate)\n" in done.stdout
    assert f"  licences in {source}: no file states one\n" in done.stdout


def test_a_corpus_is_replaced_and_anything_else_kept(tmp_path: Path) -> None:
    source = tree(tmp_path / "tree", {"a.py": squares()})
    out = tmp_path / "corpus.jsonl"
    words = (str(source), "--out", str(out))
    assert flab("corpus", *words).returncode == 0
    first = out.read_bytes()
    assert flab("corpus", *words).returncode == 0
    assert out.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "tree"]
    out.write_text("precious")
    refused(words, "already exists and is no mined corpus", tmp_path)
    assert out.read_text() == "precious"
    assert flab("corpus", *words, "--force").returncode == 0
    assert out.read_bytes() == first
    refused((str(source), "--out", str(source), "--force"), "is a directory", tmp_path)


def test_bad_input_is_refused_and_nothing_written(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "corpus.jsonl"))
    (tmp_path / "notes.md").write_text("words")
    refused(out, "no sources; give directories, or --installed", tmp_path)
    refused((str(tmp_path / "none"), *out), "no directory at", tmp_path)
    refused((str(tmp_path), *out), "holds no Python or Go or Java or JavaScript file", tmp_path)
    refused((str(tmp_path), "--languages", "python", *out), "holds no Python file", tmp_path)
    tree(tmp_path, {"a.py": "def f():\n    'Say.'\n    return 1\n"})
    refused((str(tmp_path), *out), "no function to learn from in these sources", tmp_path)
    (tmp_path / "file").write_text("")
    blocked = ("--out", str(tmp_path / "file" / "corpus.jsonl"))
    tree(tmp_path, {"a.py": squares()})
    refused((str(tmp_path), *blocked), "cannot write", tmp_path)
