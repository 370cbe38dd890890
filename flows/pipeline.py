"""The pipeline: from a checkpoint to a smaller one that is proven, exported, measured and
reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flab_deploy.artifacts import Artifact
from flows import stages
from flows.parameters import (
    REFERENCE,
    Force,
    Margin,
    Model,
    Out,
    Reduction,
    Seed,
    Size,
    Suite,
    WithBench,
    WithExport,
)
from flows.prepare import accept, check, fetch, install_engine, on_hub, record
from flows.present import present

if TYPE_CHECKING:
    from flab_deploy.settings.bench import BenchConfig
    from flows.effort import Effort


def _run_name() -> str:
    asked = flow_run.parameters
    cut = f"{100 * float(asked['reduction']):g}"
    return f"{Path(str(asked['model'])).name}-minus-{cut}-percent-{asked['size']}"


@flow(name="pipeline", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def pipeline(
    out: Out,
    model: Model = REFERENCE,
    reduction: Reduction = 0.22,
    size: Size = "demo",
    suite: Suite = REFERENCE,
    margin: Margin = 0.97,
    with_export: WithExport = True,
    with_bench: WithBench = True,
    seed: Seed = 0,
    force: Force = False,
) -> dict[str, Artifact]:
    """Slim a code model, prove what was kept, export it, measure it and write the report.

    Returns the finished artifacts by the name of their directory.
    """
    run, config = check(
        out,
        force=force,
        reduction=reduction,
        size=size,
        suite=suite,
        margin=margin,
        with_export=with_export,
        with_bench=with_bench,
        seed=seed,
    )
    source: str | Path = fetch(model) if on_hub(model) else model
    accept(source, run, suite)
    for engine in [*(["optimum"] if with_export else []), *(["vllm"] if with_bench else [])]:
        install_engine(engine)
    record(model, run, config)

    from flows.effort import (  # the library's configurations need its heavy imports
        effort_of,
        load_of,
    )

    line = StageLine(source=source, run=run, effort=effort_of(config), force=force)
    line.slim()
    line.prove()
    if with_export:
        line.ship()
    if with_bench:
        line.measure(load_of(config))
    report = line.report()
    present(run, report.path / "report.html")
    get_run_logger().info("Report: %s", report.path / "report.html")
    return line.artifacts


@dataclass(kw_only=True)
class StageLine:
    """The stages of one run in their order, over one run directory."""

    source: str | Path
    """The original model."""
    run: Path
    """The run directory."""
    effort: Effort
    """Configuration of every stage before the load test."""
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
        self._keep(stages.prune(self.source, plan, pruned, force=self.force))
        self._keep(
            stages.recover(pruned, self.source, recovered, self.effort.recover, force=self.force)
        )

    def prove(self) -> None:
        """Evaluate the original, the pruned and the recovered model; compare; measure their
        footprint.
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

    def measure(self, load: BenchConfig) -> None:
        """Serve the original and the exported model under the same load."""
        exported, pruned = self._out("export") / "vllm", self._out("pruned")
        self._keep(
            stages.bench(
                self.source, exported, self._out("bench"), load, pruned=pruned, force=self.force
            )
        )

    def report(self) -> Artifact:
        """Write the report."""
        return self._keep(stages.report(self.run, self._out("report"), force=self.force))
