"""A real Prefect server with a worker: the schedule fires by itself, and a run from the UI's form
works too.

This catches versions of Prefect's dependencies with which all looks healthy and no schedule ever
fires. It takes minutes, because a server, a worker and two runs of the pipeline do; its limits are
those of a machine with other work.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from flab_deploy.records.printed.outputs import Deployment
from flab_deploy.settings.run import DeployConfig
from flows.deploy import deploy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {
    "size": "small",
    "corpus": "reference",
    "likelihood": {"texts": ""},
    "with_export": False,
    "with_bench": False,
    "out": "scheduled",
}
_DONE = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
    pytest.fail("no free port from 20000 to 32000")


@contextmanager
def program(
    log: Path, environment: Mapping[str, str], *words: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`prefect WORDS` in a process group of its own, gone at the end together with what it
    started.
    """
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *words],
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Server:
    """What a browser would send to a Prefect server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, method: str, path: str, **body: Any) -> Any:
        for _ in range(10):
            answer = httpx.request(
                method, f"{self.url}{path}", json=body or None, timeout=30, trust_env=False
            )
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)  # the database was busy; Prefect's own client tries again too
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def runs(self) -> list[dict[str, Any]]:
        """Runs that have begun, oldest first."""
        found = self.send("POST", "/flow_runs/filter", sort="START_TIME_ASC", limit=50)
        return [item for item in found if item["start_time"] is not None]

    def logs(self, run: str) -> str:
        wanted = {"flow_run_id": {"any_": [run]}}
        return "\n".join(
            item["message"] for item in self.send("POST", "/logs/filter", logs=wanted, limit=200)
        )


def until(what: str, limit_s: float, ask: Callable[[], Any]) -> Any:
    """The first answer that is not empty."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(1)
    pytest.fail(f"{what}: not within {limit_s:.0f} s")


@pytest.fixture
def server(
    with_database: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A freshly started server; `flows` of this checkout use it too."""
    with_database(tmp_path / "prefect")
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    port = free_port()
    settings = {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "DO_NOT_TRACK": "1",
        "FLAB_HOME": str(tmp_path / "flab"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    start = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
    with program(tmp_path / "server.log", os.environ.copy(), *start):
        found = Server(settings["PREFECT_API_URL"])
        until("the server answers", 300, lambda: _healthy(found))
        yield found


def _healthy(server: Server) -> bool:
    try:
        return bool(server.send("GET", "/health"))
    except httpx.HTTPError:
        return False


def finished(server: Server, run: str) -> dict[str, Any]:
    """The run, once it has ended; fails with its log unless it completed."""

    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = server.send("GET", f"/flow_runs/{run}")
        return found if found["state_type"] in _DONE else None

    found: dict[str, Any] = until(f"run {run} ends", 500, over)
    assert found["state_type"] == "COMPLETED", server.logs(run)
    return found


def pause(server: Server, deployment: Deployment) -> None:
    """Switch the schedule off, as somebody would in the UI."""
    (schedule,) = server.send("GET", f"/deployments/{deployment.id}/schedules")
    server.send("PATCH", f"/deployments/{deployment.id}/schedules/{schedule['id']}", active=False)


def test_the_schedule_fires_and_the_form_starts_runs(
    server: Server, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    config = DeployConfig(cron="* * * * *")
    parameters = {**SMALL, "model": str(tiny_checkpoint), "recover": {"num_examples": 32}}
    deployment = deploy(config, parameters)
    assert (deployment.name, deployment.timezone, deployment.active) == (
        "pipeline/nightly",
        "Etc/UTC",
        True,
    )
    with program(
        tmp_path / "worker.log",
        os.environ.copy(),
        "worker",
        "start",
        "--pool",
        deployment.work_pool,
    ):
        with pytest.raises(httpx.HTTPStatusError, match="409|422"):
            start(server, deployment, reduction=3)
        # Its work fills the time until the schedule fires, if that does not come first.
        asked = start(server, deployment, reduction=0.3)
        scheduled = until("a run begins that nobody started", 400, lambda: auto_scheduled(server))
        pause(server, deployment)
        assert deploy(config, parameters).active is False, (
            "deploying again switched a paused schedule on"
        )
        runs = [finished(server, run["id"]) for run in (asked, scheduled[0])]
    assert [run["parameters"].get("reduction") for run in runs] == [0.3, None]
    first, second = sorted(runs, key=began)
    assert ended(first) <= began(second), "two runs measured each other"
    names = ("scores", "evaluate-original", "plan")
    assert [states(server, first)[name] for name in names] == ["Completed"] * 3
    assert [states(server, second)[name] for name in names] == ["Cached", "Cached", "Completed"]
    assert (tmp_path / "flab" / "runs" / "scheduled" / "report" / "report.html").is_file()


def began(run: dict[str, Any]) -> datetime:
    """When a run began to work."""
    return datetime.fromisoformat(run["start_time"])


def ended(run: dict[str, Any]) -> datetime:
    """When a run's work was over."""
    return datetime.fromisoformat(run["end_time"])


def states(server: Server, run: dict[str, Any]) -> dict[str, str]:
    """The state of every stage of a finished run; states arrive as events, a moment later."""

    def read() -> dict[str, str]:
        wanted = {"id": {"any_": [run["id"]]}}
        tasks = server.send("POST", "/task_runs/filter", flow_runs=wanted)
        over = tasks and all(task["state_type"] in _DONE for task in tasks)
        return {task["name"]: task["state"]["name"] for task in tasks} if over else {}

    found: dict[str, str] = until("the states of all stages are known", 120, read)
    return found


def auto_scheduled(server: Server) -> list[dict[str, Any]]:
    """Runs of the schedule that have begun, oldest first."""
    return [run for run in server.runs() if run["auto_scheduled"]]


def start(server: Server, deployment: Deployment, **changed: Any) -> Any:
    """Start a run with changed parameters, as the UI's form does."""
    shown = server.send("GET", f"/deployments/{deployment.id}")
    return server.send(
        "POST",
        f"/deployments/{deployment.id}/create_flow_run",
        parameters=shown["parameters"] | changed,
        state={"type": "SCHEDULED"},
        enforce_parameter_schema=True,
    )
