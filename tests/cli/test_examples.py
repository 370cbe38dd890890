"""The example in every verb's help works as it stands.

All run in one directory and in the program's order, as somebody would paste them who reads the help
from top to bottom: what an example makes first is there by then, and kept.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flab_deploy import engines
from flab_deploy.cli.verb import all_verbs
from tests.in_process import flab
from tests.tiny_gguf import write_gguf

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ENGINE_OF = {"export": "optimum", "serve": "vllm", "bench": "vllm"}
WITH_PREFECT = ("run", "deploy")
WORKED: dict[str, tuple[int, ...]] = {"bench": (0, 3)}
"""Exit codes by verb, 0 for others: beside other work a load test may call its figures invalid."""


def examples() -> dict[str, str]:
    """The example of every verb by its name, in the program's order."""
    return {verb.name: verb.example for verb in all_verbs()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all examples run."""
    return tmp_path_factory.mktemp("examples")


def shell(command: str, folder: Path) -> subprocess.Popen[str]:
    """A command as a shell would run it that finds `flab`."""
    path = f'PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    pipe = subprocess.PIPE
    return subprocess.Popen(
        ["bash", "-c", f"{path}\n{command}"], cwd=folder, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.engine] if name in ENGINE_OF else [])
        for name in examples()
        if name != "serve"
    ],
)
def test_an_example_works(
    name: str, folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commands run in this process, for a new one would take seconds to import its
    libraries.
    """
    skip_without_engine(name)
    if name in WITH_PREFECT:
        request.getfixturevalue("prefect_server")
    monkeypatch.chdir(folder)
    if name == "import":
        write_gguf(folder / "model.gguf")
    for command in examples()[name].split(" && "):
        program, *words = shlex.split(command)
        if program == "flab":
            done = flab(*words)
            assert done.returncode in WORKED.get(name, (0,)), (command, done.stderr[-2000:])
        else:
            with shell(command, folder) as process:
                _, errors = process.communicate()
            assert process.returncode == 0, (command, errors)


@pytest.mark.engine
def test_the_example_of_a_server_serves_until_it_is_stopped(folder: Path) -> None:
    skip_without_engine("serve")
    with shell(f"exec {examples()['serve']}", folder) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert first.startswith("serving ") and " with vLLM " in first, errors
    assert process.returncode == 0, errors


def skip_without_engine(verb: str) -> None:
    engine = ENGINE_OF.get(verb)
    states = {entry.name: entry.state for entry in engines.status()}
    if engine and states[engine] not in ("installed", "external"):
        pytest.skip(f"the {engine} engine is not installed (flab engines install {engine})")
