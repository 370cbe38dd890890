"""The private server: only for its owner, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from flab_deploy.errors import ServingError
from flows.run import answers, find_server
from flows.server import PrivateServer

ROOT = Path(__file__).parents[2]


def test_others_on_this_machine_cannot_use_it(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers(prefect_server)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    assert not answers(prefect_server)


def test_a_server_in_the_environment_is_found(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    assert find_server() == prefect_server


def test_a_server_of_the_active_profile_is_found(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    (tmp_path / "profiles.toml").write_text(
        f'active = "lab"\n[profiles.lab]\nPREFECT_API_URL = "{prefect_server}"\n'
    )
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    assert find_server() == prefect_server


def test_a_server_that_does_not_answer_is_passed_over(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{closed_port}/api")
    assert find_server() is None
    assert f"no Prefect server answers at http://127.0.0.1:{closed_port}/api" in caplog.text


def test_it_ends_when_its_owner_is_killed(
    with_database: Callable[[Path], None], tmp_path: Path
) -> None:
    with_database(tmp_path)
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from flows.server import PrivateServer;"
            "server = PrivateServer(Path(sys.argv[1])); server.wait(); print(server.url, "
            "flush=True); time.sleep(600)",
            str(tmp_path),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert httpx.get(f"{url}/health", timeout=60, trust_env=False).status_code == 200
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health", timeout=10, trust_env=False)
        except httpx.TimeoutException:
            continue
        except httpx.TransportError:
            return
        time.sleep(0.1)
    pytest.fail(f"{url} still answers long after its owner was killed")


def test_a_server_that_cannot_start_names_its_log(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_text("this is no database")
    server = PrivateServer(tmp_path)
    try:
        with pytest.raises(ServingError, match=r"server\.log"):
            server.wait()
    finally:
        server.stop()
