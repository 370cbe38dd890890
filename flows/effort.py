"""How much each stage does: the configuration of every stage for each size of run."""

from __future__ import annotations

from dataclasses import dataclass

from flab_deploy.evaluation.compare import CompareConfig
from flab_deploy.evaluation.evaluate import EvaluateConfig
from flab_deploy.evaluation.footprint import FootprintConfig
from flab_deploy.export.stage import ExportConfig
from flab_deploy.importance.score import ScoreConfig
from flab_deploy.pruning.plan import PlanConfig
from flab_deploy.recovery.train import RecoverConfig
from flows.parameters import PipelineConfig, SizeName
from serving.bench import BenchConfig


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The configuration of every stage of one run."""

    score: ScoreConfig
    """What importance is measured on."""
    plan: PlanConfig
    """The budget."""
    recover: RecoverConfig
    """How the pruned model is trained."""
    evaluate: EvaluateConfig
    """Which problems the models solve."""
    compare: CompareConfig
    """How two evaluations are compared."""
    footprint: FootprintConfig
    """How size and memory are measured."""
    export: ExportConfig
    """Which formats are written, and how they are checked."""
    bench: BenchConfig
    """The load."""
