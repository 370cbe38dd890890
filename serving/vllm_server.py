"""The real vLLM OpenAI server, run from its engine on loopback.

`running` is a context manager for other stages; `serve` blocks until SIGTERM or SIGINT.
The server has its own process group and an API key that is never on a command line or in a log.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from flab_deploy import WAIT_POLICY
from flab_deploy.checkpoint import resolve
from flab_deploy.engines import python_of
from flab_deploy.errors import ConfigError, ServingError
from flab_deploy.home import flab_home
from flab_deploy.settings.bench import ServeConfig

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
# The server ends with its starter even if that is killed outright: the kernel then sends it
# SIGTERM. Where the kernel schedules by session (autogroup), the niceness of a process counts only
# within its own, so the session gets it too.
_GUARD = """
import contextlib, ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the starter is gone")
if int(sys.argv[2]):
    os.nice(int(sys.argv[2]))
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as session:
        session.write(sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""
_NOISE = ("Route:", "warnings.warn", "resource_tracker", "[shutdown]")


class PortBusyError(ServingError):
    """The chosen port is taken: a value the user can fix."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server that answers."""

    url: str
    """Root, such as `http://127.0.0.1:23456`; the OpenAI API is under `/v1`."""
    model: str
    """The model's name in requests."""
    api_key: str = field(repr=False)
    """Bearer token that `/v1` asks for."""
    version: str
    """vLLM's version, as the server tells it."""
    startup_s: float
    """From start to the first completion."""
    pid: int
    """Process id and process group of the server."""
    log: Path
    """The server's output."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers a request needs."""
        return {"Authorization": f"Bearer {self.api_key}"}


@contextmanager
def running(
    model: str | Path, config: ServeConfig | None = None, *, stop: threading.Event | None = None
) -> Iterator[RunningServer]:
    """Start vLLM on a model, yield its endpoint once it completes a request, and stop it
    afterwards.

    Raises PortBusyError if the port is taken and ServingError if the engine dies, does not answer
    in time, or `stop` is set before it answers.
    """
    config = config or ServeConfig()
    checkpoint = resolve(model)
    port = _claim_port(config.port)
    key = os.environ.get(config.api_key_env) or secrets.token_urlsafe(24)
    python = python_of("vllm")
    log = flab_home() / "logs" / f"vllm-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    process = _start(python, checkpoint.path, port, key, config, log)
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(
            base_url=f"http://{HOST}:{port}", headers=headers, trust_env=False
        ) as client:
            version = _wait(process, client, config, log, stop or threading.Event())
        elapsed = time.monotonic() - started
        logger.info("vLLM %s answers on port %d after %.1f s", version, port, elapsed)
        yield RunningServer(
            url=f"http://{HOST}:{port}",
            model=config.served_name,
            api_key=key,
            version=version,
            startup_s=round(elapsed, 2),
            pid=process.pid,
            log=log,
        )
    finally:
        _end(process, config.drain_s)


def serve(
    model: str | Path,
    config: ServeConfig | None = None,
    *,
    ready: Callable[[RunningServer], None] | None = None,
) -> None:
    """Serve a model until SIGTERM or SIGINT, then let requests in flight finish and return.

    `ready` is called once with the endpoint, whose `api_key` is the only copy of a generated key.
    Call it from the main thread. Raises ServingError if the server cannot start or ends by itself.
    """
    stop = threading.Event()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in previous:
        signal.signal(number, lambda *_: stop.set())
    try:
        with running(model, config, stop=stop) as endpoint:
            if ready is not None:
                ready(endpoint)
            while not stop.wait(0.5):
                if not alive(endpoint):
                    raise ServingError(
                        f"vLLM ended by itself: {_last_lines(endpoint.log)}; see {endpoint.log}"
                    )
            logger.info("stopping vLLM, requests in flight may finish")
    except ServingError:
        if not stop.is_set():
            raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def alive(endpoint: RunningServer) -> bool:
    """Whether the server's process still runs."""
    try:
        return os.waitid(os.P_PID, endpoint.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _claim_port(port: int) -> int:
    """`port` if it is free, or a free one for 0."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"port {port} is not between 0 and 65535; 0 takes a free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = (
                f"cannot use port {port} on {HOST} ({error.strerror}); choose another, "
                "or 0 for a free one"
            )
            raise PortBusyError(reason) from None
        return int(probe.getsockname()[1])


def _start(
    python: Path, model: Path, port: int, key: str, config: ServeConfig, log: Path
) -> subprocess.Popen[bytes]:
    command = [
        str(python),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model),
        "--host",
        HOST,
    ]
    command += [
        "--port",
        str(port),
        "--served-model-name",
        config.served_name,
        "--disable-uvicorn-access-log",
    ]
    command += ["--shutdown-timeout", str(config.drain_s)]
    if config.max_model_len:
        command += ["--max-model-len", str(config.max_model_len)]
    if not config.compiled:
        command.append("--enforce-eager")
    guarded = [sys.executable, "-I", "-c", _GUARD, str(os.getpid()), str(config.niceness), *command]
    logger.info(
        "starting vLLM on %s (%s), log in %s",
        model,
        "compiled" if config.compiled else "eager",
        log,
    )
    with log.open("wb") as output:
        return subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=_environment(key, config),
            start_new_session=True,
        )


def _environment(key: str, config: ServeConfig) -> dict[str, str]:
    """The server's variables: VLLM_PORT and the like, which a cluster may inject, are dropped, and
    what only this process is to do while it waits.
    """
    dropped = ("PYTHONPATH", "PYTHONHOME", "VLLM_PORT", "VLLM_HOST_IP", config.api_key_env)
    cache = flab_home() / "cache"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and (name, value) != WAIT_POLICY
    }
    environment.update(
        {
            "VLLM_API_KEY": key,
            "VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_CACHE_ROOT": str(cache / "vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
            # vLLM 0.32 cannot load its own ahead-of-time cache on CPU and compiles again;
            # inductor's cache works.
            "VLLM_USE_AOT_COMPILE": "0",
        }
    )
    environment.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    return environment


def _wait(
    process: subprocess.Popen[bytes],
    client: httpx.Client,
    config: ServeConfig,
    log: Path,
    stop: threading.Event,
) -> str:
    """vLLM's version, once it has completed one token."""
    deadline = time.monotonic() + config.startup_timeout_s
    request = {"model": config.served_name, "prompt": "def", "max_tokens": 1}
    while not stop.wait(0.2):
        if process.poll() is not None:
            raise ServingError(
                f"vLLM ended with code {process.returncode} at start: {_last_lines(log)}; see {log}"
            )
        if time.monotonic() > deadline:
            waited = f"vLLM did not answer within {config.startup_timeout_s:g} s"
            raise ServingError(f"{waited}: {_last_lines(log)}; see {log}")
        try:
            if client.get("/health", timeout=5).status_code != 200:
                continue
            answer = client.post(
                "/v1/completions", json=request, timeout=max(1.0, deadline - time.monotonic())
            )
        except httpx.TransportError:
            continue
        if answer.status_code == 200:
            return str(client.get("/version", timeout=10).json()["version"])
        refusal = answer.text[:200] if answer.status_code < 500 else _last_lines(log)
        raise ServingError(
            f"vLLM fails at a one-token completion ({answer.status_code}: {refusal}); see {log}"
        )
    raise ServingError("stopped before vLLM answered")


def _last_lines(log: Path) -> str:
    """The log's last error, or its last line, on one line."""
    lines = [
        line.strip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    lines = [line for line in lines if not any(noise in line for noise in _NOISE)]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines or ["no output"])[-1][-300:]


def _end(process: subprocess.Popen[bytes], drain_s: int) -> None:
    """SIGTERM to the server, which drains and stops its children; SIGKILL to the group if that
    takes too long.
    """
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(drain_s + 15)
        except subprocess.TimeoutExpired:
            logger.warning("vLLM did not stop within %d s, killing it", drain_s + 15)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
