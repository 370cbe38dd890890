"""What a run of the whole pipeline is asked for, and when it runs by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, Le

from flab_deploy.errors import ConfigError
from flab_deploy.settings.compare import CompareConfig
from flab_deploy.settings.evaluate import EvaluateConfig
from flab_deploy.settings.plan import DEFAULT_REDUCTION
from flab_deploy.settings.score import ScoreConfig
from flab_deploy.settings.shared.bounds import Seed, Title, check_bounds
from flab_deploy.settings.shared.device import Device, DeviceConfig, Dtype
from flab_deploy.settings.shared.prompt import PromptSettings, PromptStyle

SizeName: TypeAlias = Literal["small", "demo", "full"]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """How far to cut, how much effort to spend, and which parts to run."""

    reduction: Annotated[float, Ge(0.01), Le(0.6)] = DEFAULT_REDUCTION
    """Share of the parameters to remove at least: 0.3 removes 30 %."""
    size: Annotated[SizeName, Title("Effort")] = "demo"
    """How much is trained and measured: 'small' takes about a minute and proves only that all
    works, 'demo' takes minutes, 'full' judges enough problems for a claim about quality and takes
    hours without a GPU.
    """
    corpus: Annotated[str, Title("Code")] = ScoreConfig.corpus
    """What the vocabulary is counted on and importance measured on: the path of a file of
    instructions, such as `flab corpus` writes, 'installed' for the Python code that is installed
    here, 'reference' for generated tasks. 'auto' is the generated tasks for the reference model and
    the installed code for any other.
    """
    instructions: Annotated[str, Title("Instructions")] = ""
    """What the smaller model is post-trained on, as for the code; the same code if empty."""
    prompt_style: Annotated[PromptStyle, Title("Prompts")] = PromptSettings.prompt_style
    """'chat' asks the model through its chat template, 'plain' gives it the code alone; 'auto' is
    chat for a model that has a template.
    """
    suite: Annotated[str, Title("Problems")] = EvaluateConfig.suite
    """What the models are judged on: 'reference' (comes with the program), the path of a file of
    tasks on the machine that runs this, such as HumanEval.jsonl, or
    'hub:ORG/NAME@REVISION#CONFIG/SPLIT'.
    """
    margin: Annotated[float, Ge(0.5), Le(1.5), Title("Share to keep")] = CompareConfig.margin
    """Share of the original's pass rate that the slimmed model is claimed to keep: the claim that
    is tested.
    """
    with_export: Annotated[bool, Title("Export")] = True
    """Write the vLLM directory and the ONNX model, and compare both with the weights they come
    from.
    """
    with_bench: Annotated[bool, Title("Load test")] = True
    """Serve both models with vLLM and measure latency, throughput and energy. Needs the export."""
    device: Device = DeviceConfig.device
    """Where every stage runs its model, unless the stage's own setting says otherwise: cpu, cuda,
    one GPU as cuda:0, or mps; 'auto' takes a GPU if there is one.
    """
    dtype: Annotated[Dtype, Title("Precision")] = DeviceConfig.dtype
    """Precision of the model in every stage, unless the stage's own setting says otherwise; what
    'auto' is, each stage says.
    """
    seed: Seed = 0
    """Start of every random choice. The same seed gives the same results."""

    def __post_init__(self) -> None:
        """Raise ConfigError for values outside their range or that do not go together."""
        check_bounds(self)
        if self.with_bench and not self.with_export:
            raise ConfigError(
                "the load test is on and the export is off, but it serves the exported model; "
                "turn the export on or the load test off"
            )


@dataclass(frozen=True, kw_only=True)
class DeployConfig:
    """When and where the scheduled pipeline runs: what to change in `prefect.yaml`."""

    cron: str | None = None
    """When to run, in cron's five fields."""
    timezone: str | None = None
    """Name of the time zone that `cron` is meant in, such as Europe/Berlin."""
    work_pool: str | None = None
    """Work pool whose workers run it; made, for local processes, if it is not there."""
