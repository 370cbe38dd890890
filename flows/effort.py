"""How much each stage does: the settings of every stage for each size of run, and what the user
changes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from flab_deploy.errors import ConfigError
from flab_deploy.settings.bench import BenchConfig
from flab_deploy.settings.compare import CompareConfig
from flab_deploy.settings.evaluate import EvaluateConfig
from flab_deploy.settings.export import ExportConfig
from flab_deploy.settings.footprint import FootprintConfig
from flab_deploy.settings.likelihood import LikelihoodConfig
from flab_deploy.settings.plan import PlanConfig
from flab_deploy.settings.recover import RecoverConfig
from flab_deploy.settings.run import PipelineConfig, SizeName
from flab_deploy.settings.score import ScoreConfig
from flab_deploy.settings.shared.changes import Changes, changed, differences, plain
from flab_deploy.settings.shared.device import DeviceConfig
from flab_deploy.settings.shared.prompt import PromptSettings


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The settings of every stage, by the name of its verb."""

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
    likelihood: LikelihoodConfig
    """Which code both models read."""
    footprint: FootprintConfig
    """How size and memory are measured."""
    export: ExportConfig
    """Which formats are written, and how they are checked."""
    bench: BenchConfig
    """How the models are loaded."""


STAGES: Mapping[str, type] = get_type_hints(Effort)
"""Settings dataclass of every stage that has settings."""

ON_A_DEVICE = [stage for stage, config in STAGES.items() if issubclass(config, DeviceConfig)]
"""Stages that run a model in their own process."""

_SCORE: dict[SizeName, ScoreConfig] = {
    "small": ScoreConfig(num_counted=500, num_calibration=8, max_layers_searched=3),
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
_LIKELIHOOD: dict[SizeName, LikelihoodConfig] = {
    "small": LikelihoodConfig(num_problems=8),
    "demo": LikelihoodConfig(),
    "full": LikelihoodConfig(num_problems=2000, num_texts=5000),
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
_BENCH: dict[SizeName, BenchConfig] = {
    "small": BenchConfig(
        num_requests=12,
        rounds=1,
        warmup_requests=2,
        max_output_tokens=32,
        burst_requests=4,
        agreement_prompts=4,
    ),
    "demo": BenchConfig(),
    "full": BenchConfig(num_requests=1000, rounds=5, compiled=True),
}


def effort_of(config: PipelineConfig, changes: Mapping[str, Changes] | None = None) -> Effort:
    """The settings of every stage; `changes` are the user's own, by stage.

    Raises ConfigError, with the name of the stage, for a change that the stage refuses.
    """
    effort, changes = _base(config), dict(changes or {})
    if {"at_most", "paper"} & set(changes.get("plan", {})):  # another budget in place of the share
        effort = replace(effort, plan=replace(effort.plan, reduction=None))
    found = {}
    for stage, asked in changes.items():
        try:
            found[stage] = changed(getattr(effort, stage), asked)
        except ConfigError as error:
            raise ConfigError(f"{stage}: {error}") from None
    return replace(effort, **found)


def _base(config: PipelineConfig) -> Effort:
    """The settings of every stage where nothing but the run's own is asked for."""
    effort = Effort(
        score=replace(_SCORE[config.size], corpus=config.corpus),
        # Vocabulary alone often meets the budget at the least divergence, but only layers make
        # decoding faster.
        plan=PlanConfig(reduction=config.reduction, min_layers_dropped=1, min_channels_dropped=1),
        recover=replace(
            _RECOVER[config.size], corpus=config.instructions or config.corpus, seed=config.seed
        ),
        evaluate=replace(_EVALUATE[config.size], suite=config.suite, seed=config.seed),
        compare=CompareConfig(margin=config.margin),
        likelihood=replace(_LIKELIHOOD[config.size], suite=config.suite, seed=config.seed),
        footprint=_FOOTPRINT[config.size],
        export=_EXPORT[config.size],
        bench=replace(_BENCH[config.size], seed=config.seed),
    )
    return replace(effort, **{stage: _shared(getattr(effort, stage), config) for stage in STAGES})


def _shared(settings: Any, config: PipelineConfig) -> Any:
    """A stage's settings with what the run sets for all stages that have it."""
    if isinstance(settings, DeviceConfig):
        settings = replace(settings, device=config.device, dtype=config.dtype)
    if isinstance(settings, PromptSettings):
        settings = replace(settings, prompt_style=config.prompt_style)
    return settings


def changes_in(config: PipelineConfig, effort: Effort) -> dict[str, Changes]:
    """How the settings of the stages differ from those that the run's own settings lead to."""
    base = _base(config)
    found = {stage: differences(getattr(effort, stage), getattr(base, stage)) for stage in STAGES}
    return {stage: changes for stage, changes in found.items() if changes}


def split(parameters: Mapping[str, Any]) -> tuple[PipelineConfig, dict[str, Changes]]:
    """What the pipeline's parameters ask of the run, and of its stages.

    Raises ConfigError for values of the run outside their range or that do not go together.
    """
    own = {f.name: parameters[f.name] for f in fields(PipelineConfig) if f.name in parameters}
    changes = {stage: dict(parameters[stage]) for stage in STAGES if parameters.get(stage)}
    return PipelineConfig(**own), changes


def settings_of(config: PipelineConfig, effort: Effort) -> dict[str, Any]:
    """All settings of a run, those of a stage under its name, as plain JSON values."""
    return {**plain(config), **{stage: plain(getattr(effort, stage)) for stage in STAGES}}


def changed_settings(config: PipelineConfig, effort: Effort) -> dict[str, Any]:
    """The settings of a run that differ from the defaults, by their dotted name.

    The default of a stage's setting is what the run's own settings lead to.
    """
    found = differences(config, PipelineConfig())
    for stage, changes in changes_in(config, effort).items():
        found |= {f"{stage}.{name}": value for name, value in changes.items()}
    return found
