"""Putting the pipeline on a Prefect server: `prefect.yaml`, applied, with the work pool it
needs.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from flab_deploy.errors import ConfigError, ServingError
from flab_deploy.records.printed.outputs import Deployment
from flab_deploy.settings.run import DeployConfig
from flows.compatibility import prefect_problems
from flows.effort import effort_of, split
from flows.run import find_server, own_console

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from flab_deploy.artifacts import Json

logger = logging.getLogger(__name__)

_DEPLOY_LIMIT_S = 300


def definition_file() -> Path:
    """`prefect.yaml` of this package, or of the checkout it is in."""
    packaged = Path(__file__).with_name("prefect.yaml")
    return packaged if packaged.is_file() else Path(__file__).parents[1] / "prefect.yaml"


def definition(
    config: DeployConfig | None = None, parameters: Mapping[str, Json] | None = None
) -> dict[str, Any]:
    """The content of `prefect.yaml` with the changes in `config`, and those parameters of the
    pipeline.

    Raises ConfigError for values that Prefect or the pipeline would refuse.
    """
    config = config or DeployConfig()
    content = cast("dict[str, Any]", yaml.safe_load(definition_file().read_text(encoding="utf-8")))
    content.pop("definitions")
    deployment = content["deployments"][0]
    schedule = deployment["schedules"][0]
    schedule |= {
        name: value for name in ("cron", "timezone") if (value := getattr(config, name)) is not None
    }
    deployment["work_pool"]["name"] = config.work_pool or deployment["work_pool"]["name"]
    deployment["parameters"] |= dict(parameters or {})
    _check_schedule(schedule["cron"], schedule["timezone"])
    _check_parameters(deployment["parameters"])
    return content


def _check_schedule(cron: str, timezone: str) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    try:
        ZoneInfo(timezone)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        raise ConfigError(
            f"no time zone called {timezone!r}; give a name such as Europe/Berlin"
        ) from None
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValueError:
        raise ConfigError(
            f"cron is {cron!r}; give five fields such as '0 2 * * *', two o'clock every night"
        ) from None


def _check_parameters(parameters: Mapping[str, Json]) -> None:
    from prefect.exceptions import ParameterTypeError

    from flows.pipeline import pipeline

    if unknown := sorted(set(parameters) - set(pipeline.parameters.properties)):
        raise ConfigError(
            f"the pipeline has no parameter {unknown[0]!r}; it has "
            f"{', '.join(pipeline.parameters.properties)}"
        )
    try:
        with own_console():
            values = pipeline.validate_parameters(dict(parameters))
    except ParameterTypeError as error:
        reason = "; ".join(line.strip(" -") for line in str(error).splitlines()[1:])
        raise ConfigError(f"the pipeline does not take these parameters: {reason}") from None
    effort_of(*split(values))


def deploy(
    config: DeployConfig | None = None, parameters: Mapping[str, Json] | None = None
) -> Deployment:
    """Create or update the deployment on the Prefect server that `flab run` would use; what the
    server then has. `parameters` are those of the pipeline to change in `prefect.yaml`.

    Raises ConfigError for a wrong schedule or parameter, ServingError if no server answers or it
    refuses.
    """
    content = definition(config, parameters)
    if problems := prefect_problems():
        raise ServingError(problems[0])
    url = find_server()
    if url is None:
        raise ServingError(
            "no Prefect server answers; start one with `prefect server start`, or set "
            "PREFECT_API_URL"
        )
    wanted = content["deployments"][0]
    _make_work_pool(url, wanted["work_pool"]["name"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        _apply(url, file)
    return _read(url, f"pipeline/{wanted['name']}")


def _apply(url: str, file: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "prefect",
            "--no-prompt",
            "deploy",
            "--all",
            "--prefect-file",
            str(file),
        ],
        env=os.environ | {"PREFECT_API_URL": url},
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEPLOY_LIMIT_S,
        check=False,
    )
    logger.debug("prefect deploy: %s", done.stdout)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ServingError(f"the Prefect server at {url} did not take the deployment: {last}")


def _make_work_pool(url: str, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=name, type="process", base_job_template=ProcessWorker.get_default_base_job_template()
    )
    with _client(url) as client:
        try:
            client.create_work_pool(pool)
            logger.info("deploy: made the work pool %s for local processes", name)
        except ObjectAlreadyExists:
            logger.debug("work pool %s is there", name)


def _read(url: str, name: str) -> Deployment:
    from prefect.client.schemas.schedules import CronSchedule

    with _client(url) as client:
        found = client.read_deployment_by_name(name)
    plan = found.schedules[0]
    if not isinstance(plan.schedule, CronSchedule):
        raise ServingError(
            f"{name} has no cron schedule any more; delete the deployment and deploy again"
        )
    return Deployment(
        name=name,
        id=str(found.id),
        page=f"{url.removesuffix('/api')}/deployments/deployment/{found.id}",
        cron=plan.schedule.cron,
        timezone=plan.schedule.timezone or "UTC",
        active=plan.active,
        work_pool=found.work_pool_name or "",
    )


@contextmanager
def _client(url: str) -> Iterator[SyncPrefectClient]:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        yield client
