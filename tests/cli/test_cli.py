"""The program as a user meets it: help, examples, one-line errors, exit codes, nothing
half-written.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from flab_deploy.cli.program import make_app
from flab_deploy.cli.verb import GROUPS, Verb, all_verbs
from flab_deploy.records.schemas import SCHEMAS
from tests.in_process import flab

ROOT = Path(__file__).parents[2]
PACKAGES = ("flab_deploy", "serving", "flows")
VERBS = all_verbs()


def flab_process(*words: str) -> subprocess.CompletedProcess[str]:
    """The program as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "flab_deploy.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def refused(done: subprocess.CompletedProcess[str], *parts: str, code: int = 2) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in lines[0]


def panels(text: str) -> dict[str, list[str]]:
    """First words of the lines in every panel of a help page, by the panel's heading."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := re.match("╭─ (.+?) ─+╮", line):
            found[heading[1]] = []
        elif found and (word := re.match(r"│ ([a-z-]\S*)", line)):
            found[[*found][-1]].append(word[1])
    return found


def test_help_lists_every_verb() -> None:
    done = flab_process("--help")
    assert done.returncode == 0
    found = panels(done.stdout)
    assert found.pop("Program") == ["--help", "--version"]
    wanted: dict[str, list[str]] = {group: [] for group in GROUPS}
    for verb in sorted(VERBS, key=lambda verb: verb.position):
        wanted[verb.group].append(verb.name)
    assert list(found) == list(GROUPS)
    assert found == wanted


def test_every_verb_has_a_place_of_its_own_and_lives_where_it_says() -> None:
    assert len({verb.name for verb in VERBS}) == len({verb.position for verb in VERBS})
    assert {verb.name for verb in VERBS} == {
        *(
            "run",
            "corpus",
            "score",
            "plan",
            "prune",
            "recover",
            "evaluate",
            "judge",
            "compare",
            "power",
        ),
        *("audit", "footprint", "export", "serve", "bench", "report", "deploy", "engines"),
        *("likelihood", "schema", "import"),
    }
    for verb in VERBS:
        assert verb.example.split("&& ")[-1].startswith("flab " + verb.name) or (
            f" flab {verb.name} " in f" {verb.example} "
        )
        assert verb.target.split(".")[0] in PACKAGES


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_a_verb_says_what_it_does_with_an_example(verb: Verb) -> None:
    done = flab(verb.name, "--help")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert verb.summary in text
    assert f"Example: {' '.join(verb.example.split())}" in text


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_that_prints_json_names_its_schema(verb: Verb) -> None:
    module, _, name = verb.target.partition(":")
    function = getattr(import_module(module), name)
    assert bool(verb.schemas) == ("as_json" in inspect.signature(function).parameters)
    assert set(verb.schemas) <= set(SCHEMAS)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["deploy", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom flab_deploy.cli.program import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'prefect', 'pydantic', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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
    refused(done, "num_calibration is 0; give 1 or more, such as 64")


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


def test_the_sections_of_stages_hold_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flab.toml").write_text(
        "[run]\nsize = 'small'\n[run.score]\nseed = 5\n"
        "[recover]\nlearning_rate = 1e-4\nout = 'trained'\n"
        "[score]\nseed = 4\nnum-counted = 9\n"
    )
    monkeypatch.chdir(tmp_path)
    _, bound, _ = make_app(VERBS).parse_args(["run", "--score.num-counted", "8"])
    assert bound.arguments["config"].size == "small"
    assert bound.arguments["stages"] == {
        "score": {"seed": 5, "num_counted": 8},
        "recover": {"learning_rate": 1e-4},
    }


def test_a_misspelt_setting_in_the_section_of_a_stage_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flab.toml").write_text("[recover]\nlearing_rate = 1e-4\n")
    monkeypatch.chdir(tmp_path)
    done = flab("run", "--out", "run")
    assert done.returncode == 2
    assert "learing_rate" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_bound_of_a_stages_setting_is_named_by_a_run(tmp_path: Path) -> None:
    done = flab("run", "--out", str(tmp_path / "run"), "--recover.learning-rate", "0")
    refused(done, "recover.learning_rate is 0", "give a number above 0")
    assert not (tmp_path / "run").exists()
