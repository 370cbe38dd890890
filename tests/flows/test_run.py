"""`flab run` as a whole: with the server that is there, with one of its own, and with input that
cannot work.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.errors import ArtifactError, ConfigError, FlabError, UnsupportedModel
from flab_deploy.report.run import read_run
from flab_deploy.settings.run import PipelineConfig
from flows.run import run_pipeline
from tests.report.test_contract import FEEDS, not_run

ROOT = Path(__file__).parents[2]
# Real code would be mined once for every home, which takes a minute.
SMALL = PipelineConfig(size="small", corpus="reference", with_export=False, with_bench=False)
NO_TEXTS = {"likelihood": {"texts": ""}}


def check_refused(model: str | Path, out: Path, error: type[FlabError], message: str) -> None:
    """The run ends with this error, in one line, and leaves the output directory as it was."""
    before = sorted(out.rglob("*")) if out.exists() else None
    with pytest.raises(error, match=message) as caught:
        run_pipeline(model, out, SMALL)
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) == 1
    assert (sorted(out.rglob("*")) if out.exists() else None) == before


@pytest.mark.usefixtures("prefect_server")
class TestWithAServer:
    def test_a_missing_model_is_refused(self, tmp_path: Path) -> None:
        check_refused(
            tmp_path / "nowhere", tmp_path / "out", ArtifactError, "no model directory at"
        )

    def test_an_encoder_is_refused(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        model = tmp_path / "encoder"
        model.mkdir()
        (model / "model.safetensors").write_bytes(
            (tiny_checkpoint / "model.safetensors").read_bytes()
        )
        (model / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
        check_refused(model, tmp_path / "out", UnsupportedModel, "bert")

    def test_a_directory_with_something_else_in_it_is_refused(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").write_text("years of work", encoding="utf-8")
        check_refused(tiny_checkpoint, tmp_path / "out", ArtifactError, "holds no run")

    def test_a_file_in_place_of_the_output_directory_is_refused(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "out").write_text("", encoding="utf-8")
        check_refused(tiny_checkpoint, tmp_path / "out", ArtifactError, "is a file")

    def test_a_model_inside_the_output_directory_is_refused(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        shutil.copytree(tiny_checkpoint, out / "model")
        (out / "run.json").write_text("{}", encoding="utf-8")
        check_refused(out / "model", out, ConfigError, "lies inside the output directory")

    def test_a_refused_run_shows_as_failed_with_the_reason(
        self, api: Callable[..., Any], tmp_path: Path
    ) -> None:
        check_refused(
            tmp_path / "nowhere", tmp_path / "out", ArtifactError, "no model directory at"
        )
        newest = api("/flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]
        assert newest["state"]["name"] == "Failed"
        assert "no model directory at" in newest["state"]["message"]
        assert newest["name"] == "nowhere-minus-22-percent-small"

    def test_our_own_log_handlers_stay_and_prefect_adds_none(self, tmp_path: Path) -> None:
        before = logging.getLogger().handlers[:]
        check_refused(
            tmp_path / "nowhere", tmp_path / "out", ArtifactError, "no model directory at"
        )
        assert logging.getLogger().handlers == before


@pytest.fixture
def home(with_database: Callable[[Path], None], tmp_path: Path) -> Path:
    """A home in which a private server finds a database."""
    with_database(tmp_path / "home" / "prefect")
    return tmp_path / "home"


def start(home: Path, model: str | Path, out: Path, closed_port: int) -> subprocess.Popen[str]:
    """`flab run` in a process of its own that finds no server and starts a private one."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
    }
    environment |= {
        "FLAB_HOME": str(home),
        "PREFECT_HOME": str(home / "nobody"),
        "PREFECT_API_URL": f"http://127.0.0.1:{closed_port}/api",
        "PYTHONPATH": _python_path(),
    }
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "flab_deploy.cli",
            "run",
            str(model),
            "--out",
            str(out),
            "--size",
            "small",
            "--corpus",
            "reference",
            "--likelihood.texts",
            "",
            "--no-with-export",
            "--no-with-bench",
            "--json",
        ],
        env=environment,
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _python_path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.slow
def test_a_bad_model_is_one_line_and_exit_code_two(
    home: Path, closed_port: int, tmp_path: Path
) -> None:
    with start(home, tmp_path / "nowhere", tmp_path / "out", closed_port) as process:
        out, errors = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert errors.splitlines()[-1].startswith("error: no model directory at")
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped_and_an_unchanged_one_does_nothing(
    home: Path,
    closed_port: int,
    tiny_checkpoint: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "out"
    with start(home, tiny_checkpoint, out, closed_port) as process:
        while not (out / "evaluate-original").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    scores = (out / "scores" / "manifest.json").stat().st_mtime_ns
    with start(home, tiny_checkpoint, out, closed_port) as process:
        printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert (out / "scores" / "manifest.json").stat().st_mtime_ns == scores
    off = {f"provenance.stages.{stage}" for stage in ("export", "bench")}
    unasked = {"losses.noise.note"}  # what a second evaluation of the original would say
    # A random model solves nothing, and of nothing no share is kept that could be drawn.
    said = not_run(read_run(out)) - {"charts.retention"}
    assert said == FEEDS["export"] | FEEDS["bench"] | off | unasked
    caplog.set_level(logging.INFO, "flab_deploy")
    again = run_pipeline(tiny_checkpoint, out, SMALL, stages=NO_TEXTS)
    digests = {name: artifact.digest for name, artifact in again.artifacts.items()}
    assert digests == json.loads(printed)["digests"]
    lines = [r.getMessage() for r in caplog.records if r.name == "flab_deploy.artifacts"]
    assert sum("unchanged, kept" in line for line in lines) == len(digests) == 13
    assert "started, writing" not in caplog.text
    assert not list(out.glob(".*.tmp-*"))
