"""The library's stages as Prefect tasks of the same name.

Caching is the library's own: a stage whose inputs, configuration and code are unchanged keeps its
artifact. Prefect keeps no copy of that knowledge, which could outlive the artifact; a stage that
kept what it found ends in the state `Cached`. No stage is retried: a measurement that needs a
second try is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run
from prefect.states import Completed

from flab_deploy.artifacts import MANIFEST, Artifact
from flows.observe import shown_in_prefect

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.tasks import Task

    from flab_deploy.settings.bench import BenchConfig
    from flab_deploy.settings.compare import CompareConfig
    from flab_deploy.settings.evaluate import EvaluateConfig
    from flab_deploy.settings.export import ExportConfig
    from flab_deploy.settings.footprint import FootprintConfig
    from flab_deploy.settings.likelihood import LikelihoodConfig
    from flab_deploy.settings.plan import PlanConfig
    from flab_deploy.settings.recover import RecoverConfig
    from flab_deploy.settings.score import ScoreConfig
    from flab_deploy.settings.shared.device import DeviceConfig

P = ParamSpec("P")

HOUR_S = 3600.0


def stage(
    *, limit_s: float, long: bool = False
) -> Callable[[Callable[P, Artifact]], Callable[P, Artifact]]:
    """Make a task of a function that takes `out` and returns an artifact; `long` shows a progress
    bar.

    The run is named after the output directory and fails when it takes more than `limit_s` seconds.
    """

    def decorate(function: Callable[P, Artifact]) -> Callable[P, Artifact]:
        @wraps(function)
        def work(*args: P.args, **kwargs: P.kwargs) -> State[Artifact]:
            out = _out()
            before = _identity(out)
            with shown_in_prefect(out.name, long=long):
                artifact = function(*args, **kwargs)
            if before is not None and _identity(out) == before:
                message = f"Unchanged: kept {artifact.digest[:12]} in {out}"
                return Completed(data=artifact, name="Cached", message=message)
            return Completed(data=artifact, message=f"Wrote {artifact.digest[:12]} to {out}")

        prefect_task: Task[P, State[Artifact]] = task(
            name=function.__name__,
            task_run_name=_run_name,
            timeout_seconds=limit_s,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(work)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Artifact:
            return prefect_task(*args, **kwargs).result()

        return call

    return decorate


def _out() -> Path:
    return Path(task_run.parameters["out"])


def _run_name() -> str:
    return _out().name


def _identity(out: Path) -> tuple[int, int] | None:
    """Which manifest is at `out`: a stage that does its work always leaves a new file."""
    try:
        found = (out / MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@stage(limit_s=2 * HOUR_S)
def score(model: str | Path, out: Path, config: ScoreConfig, *, force: bool = False) -> Artifact:
    """Measure how much each token, layer and channel matters."""
    from flab_deploy.importance.score import score as work

    return work(model, out, config, force=force)


@stage(limit_s=HOUR_S)
def plan(
    model: str | Path, scores: Path, out: Path, config: PlanConfig, *, force: bool = False
) -> Artifact:
    """Decide what to remove."""
    from flab_deploy.pruning.planning.plan import plan as work

    return work(model, scores, out, config, force=force)


@stage(limit_s=HOUR_S)
def prune(
    model: str | Path, plan: Path, out: Path, where: DeviceConfig, *, force: bool = False
) -> Artifact:
    """Remove it."""
    from flab_deploy.pruning.cutting.prune import prune as work

    return work(model, plan, out, where=where, force=force)


@stage(limit_s=24 * HOUR_S, long=True)
def recover(
    model: Path, original: str | Path, out: Path, config: RecoverConfig, *, force: bool = False
) -> Artifact:
    """Train the pruned model to answer as the original does."""
    from flab_deploy.recovery.train import recover as work

    return work(model, original, out, config, force=force)


@stage(limit_s=12 * HOUR_S, long=True)
def evaluate(
    model: str | Path, out: Path, config: EvaluateConfig, *, force: bool = False
) -> Artifact:
    """Let the model solve the problems and run what it wrote."""
    from flab_deploy.evaluation.evaluate import evaluate as work

    return work(model, out, config, force=force)


@stage(limit_s=HOUR_S)
def compare(
    original: Path, candidate: Path, out: Path, config: CompareConfig, *, force: bool = False
) -> Artifact:
    """Compare two evaluations problem by problem."""
    from flab_deploy.evaluation.claims.compare import compare as work

    return work(original, candidate, out, config, force=force)


@stage(limit_s=6 * HOUR_S, long=True)
def likelihood(
    original: str | Path,
    candidate: str | Path,
    out: Path,
    config: LikelihoodConfig,
    *,
    force: bool = False,
) -> Artifact:
    """Read the same code with both models, and count the bits."""
    from flab_deploy.evaluation.likelihood.stage import likelihood as work

    return work(original, candidate, out, config, force=force)


@stage(limit_s=HOUR_S)
def footprint(
    original: str | Path,
    slimmed: str | Path,
    out: Path,
    config: FootprintConfig,
    *,
    force: bool = False,
) -> Artifact:
    """Measure parameters, bytes, memory and arithmetic of both models."""
    from flab_deploy.footprint import footprint as work

    return work(original, slimmed, out, config, force=force)


@stage(limit_s=2 * HOUR_S)
def export(model: str | Path, out: Path, config: ExportConfig, *, force: bool = False) -> Artifact:
    """Write the model as servers load it, and compare it with the original weights."""
    from flab_deploy.export.stage import export as work

    return work(model, out, config, force=force)


@stage(limit_s=6 * HOUR_S)
def bench(
    original: str | Path,
    slimmed: str | Path,
    out: Path,
    config: BenchConfig,
    *,
    pruned: Path,
    force: bool = False,
) -> Artifact:
    """Serve both models and measure them under the same load."""
    from serving.bench import bench as work

    return work(original, slimmed, out, config, pruned=pruned, force=force)


@stage(limit_s=HOUR_S)
def report(run: Path, out: Path, *, force: bool = False) -> Artifact:
    """Write the page that says what was done and found."""
    from flab_deploy.report.report import report as work

    return work(run, out, force=force)
