"""What a run of the pipeline can be asked for, once for the command line, the form in Prefect's UI
and the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field

from flab_deploy.errors import ConfigError
from flab_deploy.home import flab_home

REFERENCE = "reference"
SizeName: TypeAlias = Literal["small", "demo", "full"]
SMALLEST_REDUCTION, LARGEST_REDUCTION = 0.01, 0.6
SMALLEST_MARGIN, LARGEST_MARGIN = 0.5, 1.5
LARGEST_SEED = 2**31 - 1


def _about(
    title: str, description: str, *, ge: float | None = None, le: float | None = None
) -> Any:
    """How the form shows a parameter. Prefect keeps its own title and description of a field, but
    not over these.
    """
    return Field(ge=ge, le=le, json_schema_extra={"title": title, "description": description})


Model: TypeAlias = Annotated[
    str,
    _about(
        "Model",
        "The model to slim: 'reference' (comes with the program), a hub id such as "
        "org/name@revision, or the path of a checkpoint directory on the machine that runs this.",
    ),
]
Out: TypeAlias = Annotated[
    str,
    _about(
        "Output directory",
        "Where the results go. A relative path lies under 'runs' in the program's home. "
        "Stages that are finished there and unchanged are kept, not repeated.",
    ),
]
Reduction: TypeAlias = Annotated[
    float,
    _about(
        "Reduction",
        "Share of the parameters to remove at least: 0.22 removes 22 %.",
        ge=SMALLEST_REDUCTION,
        le=LARGEST_REDUCTION,
    ),
]
Size: TypeAlias = Annotated[
    SizeName,
    _about(
        "Effort",
        "How much is trained and measured: 'small' takes about a minute and proves only that all "
        "works, 'demo' takes minutes, 'full' judges enough problems for a claim about quality and "
        "takes hours without a GPU.",
    ),
]
Suite: TypeAlias = Annotated[
    str,
    _about(
        "Problems",
        "What the models are judged on: 'reference' (comes with the program), the path of a file "
        "of tasks on the machine that runs this, such as HumanEval.jsonl, or "
        "'hub:ORG/NAME@REVISION#CONFIG/SPLIT'.",
    ),
]
Margin: TypeAlias = Annotated[
    float,
    _about(
        "Share to keep",
        "Share of the original's pass rate that the slimmed model is claimed to keep: the "
        "claim that is tested.",
        ge=SMALLEST_MARGIN,
        le=LARGEST_MARGIN,
    ),
]
WithExport: TypeAlias = Annotated[
    bool,
    _about(
        "Export",
        "Write the vLLM directory and the ONNX model, and compare both with the weights they "
        "come from.",
    ),
]
WithBench: TypeAlias = Annotated[
    bool,
    _about(
        "Load test",
        "Serve both models with vLLM and measure latency, throughput and energy. Needs the export.",
    ),
]
Seed: TypeAlias = Annotated[
    int,
    _about(
        "Seed",
        "Start of every random choice. The same seed gives the same results.",
        ge=0,
        le=LARGEST_SEED,
    ),
]
Force: TypeAlias = Annotated[
    bool, _about("Start over", "Repeat every stage, even those that are finished and unchanged.")
]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """How far to cut, how much effort to spend, and which parts to run."""

    reduction: float = 0.22
    """Share of the parameters to remove at least."""
    size: SizeName = "demo"
    """How much is trained and measured: small (about a minute), demo (minutes) or full (enough for
    a claim).
    """
    suite: str = REFERENCE
    """What the models are judged on: `reference`, a file of tasks, or
    `hub:ORG/NAME@REVISION#CONFIG/SPLIT`.
    """
    margin: float = 0.97
    """Share of the original's pass rate that the slimmed model is claimed to keep."""
    with_export: bool = True
    """Write the vLLM directory and the ONNX model, and compare both with the weights they come
    from.
    """
    with_bench: bool = True
    """Serve both models with vLLM and measure latency, throughput and energy; needs the export."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        """Raise ConfigError for values outside their range or that do not go together."""
        if not SMALLEST_REDUCTION <= self.reduction <= LARGEST_REDUCTION:
            raise ConfigError(
                f"reduction is {self.reduction}; give a share from {SMALLEST_REDUCTION} to "
                f"{LARGEST_REDUCTION}, such as 0.22"
            )
        if self.size not in get_args(SizeName):
            raise ConfigError(f"size is {self.size!r}; give one of {', '.join(get_args(SizeName))}")
        if not SMALLEST_MARGIN <= self.margin <= LARGEST_MARGIN:
            raise ConfigError(
                f"margin is {self.margin}; give a share from {SMALLEST_MARGIN} to "
                f"{LARGEST_MARGIN}, such as 0.97"
            )
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ConfigError(f"seed is {self.seed}; give a whole number from 0 to {LARGEST_SEED}")
        if self.with_bench and not self.with_export:
            raise ConfigError(
                "the load test is on and the export is off, but it serves the exported model; "
                "turn the export on or the load test off"
            )


def run_directory(out: str | Path) -> Path:
    """The directory that `out` names: itself if absolute, else under `runs` in the program's
    home.
    """
    path = Path(out).expanduser()
    return path if path.is_absolute() else flab_home() / "runs" / path


def command_of(model: str, out: Path, config: PipelineConfig) -> list[str]:
    """The command line that makes the same run."""
    words = ["flab", "run", model, "--out", str(out)]
    words += ["--reduction", str(config.reduction), "--size", config.size]
    words += ["--suite", config.suite, "--margin", str(config.margin)]
    words += [] if config.with_export else ["--no-with-export"]
    words += [] if config.with_bench else ["--no-with-bench"]
    return [*words, "--seed", str(config.seed)]
