"""What happens before the first stage: checks across parameters, getting the model, installing
engines, the record.

Getting the model and installing an engine talk to other machines; these two tasks are retried, and
only they.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.records.document import write_record
from flab_deploy.records.run import RUN_FILE, RunMachine, RunRecord
from flab_deploy.settings.run import PipelineConfig
from flab_deploy.settings.shared.device import DeviceConfig
from flows.effort import ON_A_DEVICE, Effort, changed_settings, effort_of, settings_of, split
from flows.observe import ProgressBar, shown_in_prefect
from flows.parameters import REFERENCE, command_of, run_directory

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun

_RETRIES = 3


def _could_be_the_network(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether another try could help: a value the user must fix does not get better by itself."""
    failure = state.result(raise_on_failure=False)
    return not isinstance(failure, ConfigError)


@task(
    name="check",
    task_run_name="check",
    timeout_seconds=60,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def check(parameters: Mapping[str, Any]) -> tuple[Path, PipelineConfig, Effort]:
    """The run directory and the settings that these parameters of the pipeline ask for.

    Raises a one-line error for values that do not go together, or a device that is not there.
    """
    config, changes = split(parameters)
    effort = effort_of(config, changes)
    for device in {config.device, *(getattr(effort, stage).device for stage in ON_A_DEVICE)}:
        if device != DeviceConfig.device:  # only then is PyTorch worth its loading here
            from flab_deploy.decoder import choose_device

            choose_device(device)
    out, force = str(parameters["out"]), bool(parameters["force"])
    run = run_directory(out)
    if not out.strip():
        raise ConfigError("the output directory is empty; give a name or a path")
    if run.exists() and not run.is_dir():
        raise ArtifactError(f"{run} is a file; give a directory for the results")
    if run.is_dir() and not force and not (run / RUN_FILE).is_file() and any(run.iterdir()):
        raise ArtifactError(
            f"{run} already exists and holds no run; choose another --out or add --force"
        )
    return run, config, effort


def on_hub(model: str) -> bool:
    """Whether `model` names a model on the hub rather than something on this machine."""
    return (
        model.count("/") == 1 and not model.startswith(("/", ".", "~")) and not Path(model).exists()
    )


@task(
    name="fetch",
    task_run_name="fetch",
    timeout_seconds=6 * 3600,
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=_RETRIES,
    retry_delay_seconds=exponential_backoff(backoff_factor=5),
    retry_jitter_factor=0.5,
    retry_condition_fn=_could_be_the_network,
)
def fetch(model: str) -> Path:
    """Download a model from the hub, or take it from the local cache; its directory."""
    from flab_deploy.checkpoint import resolve

    with shown_in_prefect("fetch", long=False):
        return resolve(model).path


@task(
    name="accept",
    task_run_name="accept",
    timeout_seconds=600,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def accept(model: str | Path, run: Path, suites: Collection[str], texts: str) -> None:
    """Raise a one-line error unless a whole model of a supported family lies outside the run
    directory, and the problems and the held-out texts, if there are any, can be read.
    """
    from flab_deploy.checkpoint import read_config, resolve
    from flab_deploy.decoder import check_supported

    path = resolve(model).path
    check_supported(read_config(path), path)
    if path.resolve().is_relative_to(run.resolve()):
        raise ConfigError(
            f"the model {path} lies inside the output directory {run}; choose another --out"
        )
    for suite in {*suites} - {REFERENCE}:
        from flab_deploy.evaluation.tasks.load import read_tasks

        read_tasks(suite)
    from flab_deploy.evaluation.likelihood.texts import held_out_texts, texts_for

    if found := texts_for(texts, path):
        held_out_texts(found)


@task(
    name="install-engine",
    task_run_name="install-engine-{name}",
    timeout_seconds=3600,
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=_RETRIES,
    retry_delay_seconds=exponential_backoff(backoff_factor=10),
    retry_jitter_factor=0.5,
    retry_condition_fn=_could_be_the_network,
)
def install_engine(name: str) -> Path:
    """Install an engine unless it is there; its interpreter."""
    from flab_deploy.engines import python_of

    bar = ProgressBar(
        f"engine-{name}-progress", f"Installing the engine **{name}**, once per machine"
    )
    with shown_in_prefect(f"engine-{name}", long=False):
        python = python_of(name, lambda _what, share: bar.move(share))
    bar.move(1.0)
    return python


@task(
    name="record",
    task_run_name="record",
    timeout_seconds=60,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def record(model: str, run: Path, config: PipelineConfig, effort: Effort) -> None:
    """Write down, as `run.json`, what was asked for and on which machine."""
    run.mkdir(parents=True, exist_ok=True)
    temporary = run / f".{RUN_FILE}.{os.getpid()}"
    found = RunRecord(
        schema_version=1,
        command=tuple(command_of(model, run, config, effort)),
        config={"model": model, **settings_of(config, effort)},
        changed=changed_settings(config, effort),
        machine=machine(),
    )
    write_record(temporary, found)
    temporary.replace(run / RUN_FILE)


def machine() -> RunMachine:
    """What this machine is: facts that do not change between two runs on it."""
    return RunMachine(
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        num_cpus=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
    )
