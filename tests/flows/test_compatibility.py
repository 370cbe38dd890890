"""The installed versions work with Prefect, by rule and by trying."""

from __future__ import annotations

import pytest

from flows.compatibility import prefect_problems


def test_the_installed_versions_are_known_to_work() -> None:
    assert prefect_problems() == []


def test_a_version_that_breaks_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "flows.compatibility.version", {"fastapi": "0.154.0", "sqlalchemy": "2.1.9"}.__getitem__
    )
    fastapi, sqlalchemy = prefect_problems()
    assert fastapi.startswith("fastapi 0.154.0") and 'install "fastapi<0.151"' in fastapi
    assert "schedules never fire" in sqlalchemy


@pytest.mark.usefixtures("prefect_server")
def test_the_server_takes_what_its_own_client_sends() -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        assert isinstance(client.read_task_runs(), list)  # sends null for what it does not limit
