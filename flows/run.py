"""Running the pipeline from the command line: with the Prefect server that is there, or with one of
its own.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from flab_deploy.artifacts import Artifact
from flab_deploy.home import flab_home
from flab_deploy.settings.run import PipelineConfig
from flab_deploy.settings.shared.changes import Changes
from flows.parameters import REFERENCE, run_directory
from flows.server import PrivateServer, private_server

logger = logging.getLogger(__name__)

USUAL_URL = "http://127.0.0.1:4200/api"
_ANSWER_LIMIT_S = 10.0
_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


@dataclass(frozen=True, kw_only=True)
class PipelineResult:
    """A finished run."""

    run: Path
    """The run directory."""
    page: Path
    """The report's HTML page."""
    artifacts: dict[str, Artifact]
    """Finished artifacts by the name of their directory under `run`, in the order they were made.
    """


def run_pipeline(
    model: str | Path,
    out: Path,
    config: PipelineConfig | None = None,
    *,
    stages: Mapping[str, Changes] | None = None,
    force: bool = False,
) -> PipelineResult:
    """Run the whole pipeline on `model` into the run directory `out`.

    `stages` names settings of stages to change, by stage: {"recover": {"learning_rate": 1e-4}}.

    The run shows in the Prefect server at `PREFECT_API_URL`, of the active Prefect profile, or on
    127.0.0.1:4200, where one answers; otherwise a server of its own lives as long as the run and
    keeps its history under the program's home. Raises the FlabError of the stage that failed, as
    that stage raised it.
    """
    config = config or PipelineConfig()
    run, name = run_directory(out.absolute()), _absolute(model)
    config = replace(config, suite=_absolute(config.suite))
    parameters = {**asdict(config), **(stages or {}), "force": force}
    found = find_server()
    with _patched(_QUIET | ({} if found is None else {"PREFECT_API_URL": found})):
        if found is not None:
            logger.info("run: shown in the Prefect server at %s", found)
            return _run(name, run, parameters)
        home = flab_home() / "prefect"
        with private_server(home) as server, _patched(private_settings(server, home)):
            return _run(name, run, parameters, server)


def _absolute(model: str | Path) -> str:
    """The name of a model or of problems, or the path where there is something at that path."""
    path = Path(model).expanduser()
    return (
        str(path.absolute())
        if isinstance(model, Path) or (path.exists() and model != REFERENCE)
        else model
    )


def find_server() -> str | None:
    """URL of the API of the Prefect server to use, or None if none answers."""
    wanted = _setting("PREFECT_API_URL")
    if wanted and not answers(wanted):
        logger.warning("run: no Prefect server answers at %s; using a private one", wanted)
        return None
    return wanted or (USUAL_URL if answers(USUAL_URL) else None)


def answers(url: str) -> bool:
    """Whether a Prefect API answers at `url` and accepts this user."""
    key, auth = _setting("PREFECT_API_KEY"), _setting("PREFECT_API_AUTH_STRING")
    user, _, password = (auth or "").partition(":")
    try:
        response = httpx.post(
            f"{url.rstrip('/')}/flows/count",
            json={},
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=(user, password) if auth else None,
            timeout=_ANSWER_LIMIT_S,
            trust_env=False,
        )
        return response.status_code == httpx.codes.OK and isinstance(response.json(), int)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False


def _setting(name: str) -> str | None:
    """A setting of Prefect as the user chose it: in the environment, or in the active profile."""
    if name in os.environ:
        return os.environ[name] or None
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    file = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8"))
        active = os.environ.get("PREFECT_PROFILE") or profiles.get("active", "")
        value = profiles.get("profiles", {}).get(active, {}).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, str) and value else None


def private_settings(server: PrivateServer, home: Path) -> dict[str, str]:
    """Settings that make flows of this process talk to `server`, whose files are in `home`."""
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_API_URL": server.url,
        "PREFECT_API_AUTH_STRING": server.secret,
        "PREFECT_API_KEY": "",
    }


@contextmanager
def _patched(settings: Mapping[str, str]) -> Iterator[None]:
    """The environment with `settings` in it: Prefect reads it when it is imported."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _run(
    model: str, run: Path, parameters: Mapping[str, Any], server: PrivateServer | None = None
) -> PipelineResult:
    with own_console():
        from prefect.context import refresh_global_settings_context

        from flows.pipeline import pipeline

        refresh_global_settings_context()  # Prefect may have been imported before
        if server is not None:
            server.wait()
        try:
            artifacts = pipeline(str(run), model, **parameters)
        finally:
            deliver()
    return PipelineResult(
        run=run, page=artifacts["report"].path / "report.html", artifacts=artifacts
    )


def deliver() -> None:
    """Send what Prefect still holds back, while its server is there."""
    from prefect.events.worker import EventsWorker

    for name in ("prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.flush()
    EventsWorker.drain_all(timeout=_ANSWER_LIMIT_S)


@contextmanager
def own_console() -> Iterator[None]:
    """Keep our own log handlers, and keep Prefect's lines (and tracebacks of expected errors) out
    of them.

    Prefect stores its lines with the run. Importing it installs handlers of its own on the root
    logger.
    """
    root, prefect = logging.getLogger(), logging.getLogger("prefect")
    handlers, level, propagate = root.handlers[:], root.level, prefect.propagate
    from prefect import main as _  # noqa: F401

    root.handlers[:] = handlers
    root.setLevel(level)
    prefect.propagate = False
    try:
        yield
    finally:
        prefect.propagate = propagate
