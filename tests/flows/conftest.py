"""One Prefect server for all tests of flows, with its database in a temporary directory."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.run import private_settings
from flows.server import private_server


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server that flows of this process talk to has its files."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="package")
def prefect_server(prefect_home: Path) -> Iterator[str]:
    """URL of the API of a server that flows of this process talk to, gone before other tests."""
    home = prefect_home
    with pytest.MonkeyPatch.context() as patch, private_server(home) as server:
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            patch.delenv(name)
        for name, value in private_settings(server, home).items():
            patch.setenv(name, value)
        patch.setenv("DO_NOT_TRACK", "1")
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
        logging.getLogger("prefect").propagate = False
        server.wait()
        _copy_database(home, home / "unused")
        yield server.url
        from flows.run import deliver

        deliver()
    refresh_global_settings_context()


@pytest.fixture
def with_database(prefect_server: str, prefect_home: Path) -> Callable[[Path], None]:
    """A function that puts an unused database into a home for another server, which would take
    seconds to make it.
    """
    return lambda home: _copy_database(prefect_home / "unused", home)


def _copy_database(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    name = "prefect.db"
    with (
        closing(sqlite3.connect(source / name)) as found,
        closing(sqlite3.connect(target / name)) as copy,
    ):
        found.backup(copy)


@pytest.fixture
def api(prefect_server: str) -> Callable[..., Any]:
    """A function that sends JSON to a path of the server's API and returns the answer."""
    user, _, password = os.environ["PREFECT_API_AUTH_STRING"].partition(":")

    def send(path: str, **body: Any) -> Any:
        answer = httpx.post(
            f"{prefect_server}{path}", json=body, auth=(user, password), timeout=60, trust_env=False
        )
        answer.raise_for_status()
        return answer.json()

    return send
