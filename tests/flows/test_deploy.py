"""`prefect.yaml` without a server: it loads, and names a flow that exists and takes its
parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flab_deploy.errors import ConfigError, ServingError
from flab_deploy.settings.run import DeployConfig, PipelineConfig
from flows.deploy import definition, definition_file, deploy
from flows.effort import effort_of, split


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(definition_file().read_text(encoding="utf-8"))
    return loaded


def test_the_entrypoint_is_a_flow_that_takes_the_parameters(content: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    (deployment,) = content["deployments"]
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    assert flow.name == "pipeline"
    values = flow.validate_parameters(deployment["parameters"])
    assert set(deployment["parameters"]) <= set(values)
    assert split(values) == (PipelineConfig(), {}), "the file repeats a default"
    assert deployment["enforce_parameter_schema"] is True


def test_every_schedule_has_a_slug_a_time_zone_and_a_valid_cron(content: dict[str, Any]) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    schedules = content["deployments"][0]["schedules"]
    assert schedules
    for schedule in schedules:
        assert schedule["slug"]
        assert "active" not in schedule, "the file would switch on again what somebody paused"
        assert (
            CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"]).timezone
            == schedule["timezone"]
        )


def test_nothing_in_the_file_is_an_absolute_path(content: dict[str, Any]) -> None:
    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in texts(item)]
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        return [value] if isinstance(value, str) else []

    assert content["pull"], (
        "without a pull step Prefect records the path of the directory it deployed from"
    )
    assert not [text for text in texts(content) if Path(text).is_absolute() or "/home/" in text]


def test_the_work_pool_runs_local_processes(content: dict[str, Any]) -> None:
    from prefect.workers.process import ProcessWorker

    assert content["deployments"][0]["work_pool"]["name"] == "flab"
    known = ProcessWorker.get_default_base_job_template()["variables"]["properties"]
    assert set(content["deployments"][0]["work_pool"]["job_variables"]) <= set(known)


def test_changes_reach_the_definition() -> None:
    config = DeployConfig(cron="*/5 * * * *", timezone="Europe/Berlin", work_pool="gpu")
    changes: dict[str, Any] = {"size": "full", "recover": {"learning_rate": 1e-4}}
    (deployment,) = definition(config, changes)["deployments"]
    assert deployment["schedules"][0] == {
        "slug": "nightly",
        "cron": "*/5 * * * *",
        "timezone": "Europe/Berlin",
    }
    assert deployment["work_pool"]["name"] == "gpu"
    config_of_run, stages = split(deployment["parameters"])
    assert config_of_run.size == "full"
    assert effort_of(config_of_run, stages).recover.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DeployConfig(cron="every night"), "cron is 'every night'"),
        (DeployConfig(cron="61 * * * *"), "cron is '61"),
        (DeployConfig(timezone="Mars/Olympus"), "no time zone called 'Mars/Olympus'"),
    ],
)
def test_a_schedule_that_never_fires_is_refused_first(config: DeployConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        definition(config)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"reduction": 3}, "reduction"),
        ({"quality": "good"}, "quality"),
        ({"with_export": False}, "the load test is on and the export is off"),
        ({"recover": {"learning_rate": -1}}, "recover.learning_rate"),
        ({"recover": {"learing_rate": 1}}, "recover.learing_rate"),
        ({"bench": {"rounds": 300}}, "bench: rounds is 300"),
    ],
)
def test_what_the_pipeline_would_refuse_is_refused_first(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        definition(None, parameters)
    assert len(str(caught.value).splitlines()) <= 2


def test_without_a_server_the_error_says_how_to_start_one(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{closed_port}/api")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with pytest.raises(ServingError, match="prefect server start"):
        deploy()
