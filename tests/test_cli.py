"""The program as a user meets it: help, examples, one-line errors, exit codes, nothing
half-written.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flab_deploy.cli import VERBS
from tests.in_process import flab


def flab_process(*words: str) -> subprocess.CompletedProcess[str]:
    """The program as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "flab_deploy.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def refused(done: subprocess.CompletedProcess[str], *parts: str, code: int = 2) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in lines[0]


def test_help_lists_every_verb() -> None:
    done = flab_process("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", ["score", "serve", "run"])
def test_the_help_of_a_verb_has_its_example(verb: str) -> None:
    done = flab(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert "Example: " in done.stdout


def test_wrong_usage_ends_with_two() -> None:
    assert flab("score", "reference").returncode == 2
    assert flab("no-such-verb").returncode == 2


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    command = ("score", str(tmp_path / "none"), "--out", str(tmp_path / "out"))
    for done in (flab_process(*command), flab(*command)):
        refused(done, "no model directory at")
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_checkpoint_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(flab("score", str(broken), "--out", str(tmp_path / "out")), "truncated")
    assert not (tmp_path / "out").exists()


def test_an_encoder_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    encoder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    refused(
        flab("score", str(encoder), "--out", str(tmp_path / "out")), "'bert'", "supported decoders"
    )
    assert not (tmp_path / "out").exists()


def test_a_broken_corpus_line_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": oops}\n')
    done = flab(
        "score", str(tiny_checkpoint), "--out", str(tmp_path / "out"), "--corpus", str(corpus)
    )
    refused(done, "corpus.jsonl:2: not valid JSON")
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_not_ours_is_kept(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    done = flab(
        "score", str(tiny_checkpoint), "--out", str(tmp_path / "out"), "--num-calibration", "4"
    )
    refused(done, "already exists", "--force")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"


def test_a_value_out_of_range_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = flab(
        "score", str(tiny_checkpoint), "--out", str(tmp_path / "out"), "--num-calibration", "0"
    )
    refused(done, "num_calibration is 0")


def test_results_are_one_json_document_on_stdout(tiny_checkpoint: Path, tmp_path: Path) -> None:
    words = [
        "--out",
        str(tmp_path / "s"),
        "--num-calibration",
        "4",
        "--num-counted",
        "20",
        "--json",
    ]
    done = flab("score", str(tiny_checkpoint), *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "scores"
    impossible = flab(
        "plan",
        str(tiny_checkpoint),
        "--scores",
        str(tmp_path / "s"),
        "--out",
        str(tmp_path / "p"),
        "--reduction",
        "0.99",
    )
    refused(impossible, "no cut removes 99%", "lower the reduction")
    assert not (tmp_path / "p").exists()


def test_an_interrupted_stage_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    # A shell's background jobs ignore the signal, and pass that on.
    command = [
        "env",
        "--default-signal=INT",
        sys.executable,
        "-m",
        "flab_deploy.cli",
        "score",
        "--out",
        "scores",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "started" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().splitlines()[-1]
    assert last.startswith("error: interrupted")
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_options_can_stand_in_a_file(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flab.toml").write_text("[score]\nnum_calibration = 3\nnum_counted = 20\n")
    monkeypatch.chdir(tmp_path)
    done = flab("score", str(tiny_checkpoint), "--out", "scores", "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "scores" / "manifest.json").read_text())
    assert manifest["config"]["num_calibration"] == 3
