"""How much each stage does: the configuration of every stage for each size of run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flab_deploy.settings.compare import CompareConfig
from flab_deploy.settings.evaluate import EvaluateConfig
from flab_deploy.settings.export import ExportConfig
from flab_deploy.settings.footprint import FootprintConfig
from flab_deploy.settings.plan import PlanConfig
from flab_deploy.settings.recover import RecoverConfig
from flab_deploy.settings.score import ScoreConfig

if TYPE_CHECKING:
    from flab_deploy.settings.bench import BenchConfig
    from flows.parameters import PipelineConfig, SizeName


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The configuration of every stage before the load test."""

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


_SCORE: dict[SizeName, ScoreConfig] = {
    "small": ScoreConfig(num_counted=500, num_calibration=8),
    "demo": ScoreConfig(num_counted=20_000, num_calibration=64),
    "full": ScoreConfig(num_counted=100_000, num_calibration=256),
}
_RECOVER: dict[SizeName, RecoverConfig] = {
    "small": RecoverConfig(num_examples=64),
    "demo": RecoverConfig(num_examples=8_000),
    "full": RecoverConfig(num_examples=40_000),
}
_EVALUATE: dict[SizeName, EvaluateConfig] = {
    "small": EvaluateConfig(
        num_function_synthesis=8,
        num_output_prediction=4,
        num_chain_of_thought=4,
        num_robustness=2,
        num_thought=2,
        max_new_tokens=64,
    ),
    "demo": EvaluateConfig(num_thought=100),
    "full": EvaluateConfig(),
}
_FOOTPRINT: dict[SizeName, FootprintConfig] = {
    "small": FootprintConfig(batch_size=1, context_tokens=64, repeats=1),
    "demo": FootprintConfig(),
    "full": FootprintConfig(repeats=5),
}
_EXPORT: dict[SizeName, ExportConfig] = {
    "small": ExportConfig(num_prompts=4, num_new_tokens=8),
    "demo": ExportConfig(),
    "full": ExportConfig(),
}


def effort_of(config: PipelineConfig) -> Effort:
    """The configuration of every stage before the load test."""
    return Effort(
        score=_SCORE[config.size],
        # Vocabulary alone often meets the budget at the least divergence, but only layers make
        # decoding faster.
        plan=PlanConfig(reduction=config.reduction, min_layers_dropped=1, min_channels_dropped=1),
        recover=replace(_RECOVER[config.size], seed=config.seed),
        evaluate=replace(_EVALUATE[config.size], suite=config.suite, seed=config.seed),
        compare=CompareConfig(margin=config.margin),
        footprint=_FOOTPRINT[config.size],
        export=_EXPORT[config.size],
    )


def load_of(config: PipelineConfig) -> BenchConfig:
    """The configuration of the load test."""
    from flab_deploy.settings.bench import BenchConfig

    if config.size == "small":
        return BenchConfig(
            num_requests=12,
            rounds=1,
            warmup_requests=2,
            max_output_tokens=32,
            burst_requests=4,
            agreement_prompts=4,
            seed=config.seed,
        )
    if config.size == "full":
        return BenchConfig(num_requests=1000, rounds=5, compiled=True, seed=config.seed)
    return BenchConfig(seed=config.seed)
