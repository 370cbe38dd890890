"""The pipeline: from a checkpoint to a smaller one that is proven, exported, measured and
reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flab_deploy.artifacts import Artifact
from flab_deploy.errors import ConfigError
from flab_deploy.settings.run import PipelineConfig, SizeName
from flab_deploy.settings.shared.changes import Changes
from flab_deploy.settings.shared.device import DeviceConfig, Dtype
from flab_deploy.settings.shared.prompt import PromptStyle
from flows import stages
from flows.effort import Effort
from flows.parameters import REFERENCE, UNCHANGED, Force, Model, OfStage, Out, about
from flows.prepare import accept, check, fetch, install_engine, on_hub, record
from flows.present import present

DEFAULTS = PipelineConfig()


def _run_name() -> str:
    asked = {"reduction": DEFAULTS.reduction, "size": DEFAULTS.size, **flow_run.parameters}
    cut = f"{100 * float(asked['reduction']):g}"
    return f"{Path(str(asked.get('model', REFERENCE))).name}-minus-{cut}-percent-{asked['size']}"


@flow(name="pipeline", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def pipeline(
    out: Out,
    model: Model = REFERENCE,
    reduction: Annotated[float, about("reduction")] = DEFAULTS.reduction,
    size: Annotated[SizeName, about("size")] = DEFAULTS.size,
    corpus: Annotated[str, about("corpus")] = DEFAULTS.corpus,
    instructions: Annotated[str, about("instructions")] = DEFAULTS.instructions,
    prompt_style: Annotated[PromptStyle, about("prompt_style")] = DEFAULTS.prompt_style,
    suite: Annotated[str, about("suite")] = DEFAULTS.suite,
    margin: Annotated[float, about("margin")] = DEFAULTS.margin,
    with_export: Annotated[bool, about("with_export")] = DEFAULTS.with_export,
    with_bench: Annotated[bool, about("with_bench")] = DEFAULTS.with_bench,
    device: Annotated[str, about("device")] = DEFAULTS.device,
    dtype: Annotated[Dtype, about("dtype")] = DEFAULTS.dtype,
    seed: Annotated[int, about("seed")] = DEFAULTS.seed,
    force: Force = False,
    score: Annotated[Changes, OfStage("score"), about("score")] = UNCHANGED,
    plan: Annotated[Changes, OfStage("plan"), about("plan")] = UNCHANGED,
    recover: Annotated[Changes, OfStage("recover"), about("recover")] = UNCHANGED,
    evaluate: Annotated[Changes, OfStage("evaluate"), about("evaluate")] = UNCHANGED,
    compare: Annotated[Changes, OfStage("compare"), about("compare")] = UNCHANGED,
    likelihood: Annotated[Changes, OfStage("likelihood"), about("likelihood")] = UNCHANGED,
    footprint: Annotated[Changes, OfStage("footprint"), about("footprint")] = UNCHANGED,
    export: Annotated[Changes, OfStage("export"), about("export")] = UNCHANGED,
    bench: Annotated[Changes, OfStage("bench"), about("bench")] = UNCHANGED,
) -> dict[str, Artifact]:
    """Slim a code model, prove what was kept, export it, measure it and write the report.

    Returns the finished artifacts by the name of their directory.
    """
    run, config, effort = check(locals())
    source: str | Path = fetch(model) if on_hub(model) else model
    accept(source, run, (effort.evaluate.suite, effort.likelihood.suite), effort.likelihood.texts)
    for engine in engines_of(effort, with_export=with_export, with_bench=with_bench):
        install_engine(engine)
    record(model, run, config, effort)
    place = DeviceConfig(device=config.device, dtype=config.dtype)
    line = StageLine(source=source, run=run, place=place, effort=effort, force=force)
    line.slim()
    line.prove()
    if with_export:
        line.ship()
    if with_bench:
        line.measure()
    report = line.report()
    present(run, report.path / "report.html")
    get_run_logger().info("Report: %s", report.path / "report.html")
    return line.artifacts


def engines_of(effort: Effort, *, with_export: bool, with_bench: bool) -> tuple[str, ...]:
    """Names of the engines that a run takes. Raises ConfigError if it exports nothing to serve."""
    from flab_deploy.export.formats import engines_needed  # the formats need heavy imports

    formats = effort.export.formats
    if with_bench and "vllm" not in formats:
        raise ConfigError(
            f"the load test is on, but the export's formats are {', '.join(formats)}; add vllm or "
            "turn the load test off"
        )
    needed = engines_needed(formats) if with_export else ()
    return (*needed, *(["vllm"] if with_bench else []))


@dataclass(kw_only=True)
class StageLine:
    """The stages of one run in their order, over one run directory."""

    source: str | Path
    """The original model."""
    run: Path
    """The run directory."""
    place: DeviceConfig
    """Where models run in stages without settings."""
    effort: Effort
    """Settings of every stage."""
    force: bool
    """Whether to repeat what is finished."""
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    """What is finished so far, by directory name."""

    def _out(self, name: str) -> Path:
        return self.run / name

    def _keep(self, artifact: Artifact) -> Artifact:
        self.artifacts[artifact.path.name] = artifact
        return artifact

    def slim(self) -> None:
        """Score, plan, prune, recover."""
        scores, plan, pruned, recovered = (
            self._out(name) for name in ("scores", "plan", "pruned", "recovered")
        )
        self._keep(stages.score(self.source, scores, self.effort.score, force=self.force))
        self._keep(stages.plan(self.source, scores, plan, self.effort.plan, force=self.force))
        self._keep(stages.prune(self.source, plan, pruned, self.place, force=self.force))
        self._keep(
            stages.recover(pruned, self.source, recovered, self.effort.recover, force=self.force)
        )

    def prove(self) -> None:
        """Evaluate the original, the pruned and the recovered model; compare them, answer by answer
        and on the same code; measure their footprint.
        """
        models = {
            "original": self.source,
            "pruned": self._out("pruned"),
            "recovered": self._out("recovered"),
        }
        for name, model in models.items():
            self._keep(
                stages.evaluate(
                    model, self._out(f"evaluate-{name}"), self.effort.evaluate, force=self.force
                )
            )
        original = self._out("evaluate-original")
        for name in ("pruned", "recovered"):
            candidate, out = self._out(f"evaluate-{name}"), self._out(f"compare-{name}")
            self._keep(
                stages.compare(original, candidate, out, self.effort.compare, force=self.force)
            )
        for name in ("pruned", "recovered"):
            slimmed, out = self._out(name), self._out(f"likelihood-{name}")
            self._keep(
                stages.likelihood(
                    self.source, slimmed, out, self.effort.likelihood, force=self.force
                )
            )
        slimmed, out = self._out("recovered"), self._out("footprint")
        self._keep(
            stages.footprint(self.source, slimmed, out, self.effort.footprint, force=self.force)
        )

    def ship(self) -> None:
        """Export the recovered model."""
        self._keep(
            stages.export(
                self._out("recovered"), self._out("export"), self.effort.export, force=self.force
            )
        )

    def measure(self) -> None:
        """Serve the original and the exported model under the same load."""
        exported, pruned = self._out("export") / "vllm", self._out("pruned")
        self._keep(
            stages.bench(
                self.source,
                exported,
                self._out("bench"),
                self.effort.bench,
                pruned=pruned,
                force=self.force,
            )
        )

    def report(self) -> Artifact:
        """Write the report."""
        return self._keep(stages.report(self.run, self._out("report"), force=self.force))
