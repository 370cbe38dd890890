"""What is exported, and how close it must be to its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import check_bounds
from flab_deploy.settings.shared.device import DeviceConfig

Format = Literal["vllm", "onnx"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig(DeviceConfig):
    """What to export, and how close it must be to its source."""

    formats: tuple[Format, ...] = ("vllm", "onnx")
    """`vllm`: a checkpoint directory that vLLM, transformers 4 and 5 open; `onnx`: a float32 model
    for ONNX Runtime.
    """
    num_prompts: Annotated[int, Ge(1)] = 50
    """Prompts to compare logits and greedy tokens on; four long inputs come on top."""
    num_new_tokens: Annotated[int, Ge(1)] = 32
    """Greedy tokens per prompt."""
    max_abs_logit_difference: Annotated[float, Gt(0)] = 1e-3
    """How far a logit of the ONNX model may be from PyTorch's, both in float32; in the checkpoint
    none may differ.
    """

    def __post_init__(self) -> None:
        """Raise ConfigError for values that make no sense."""
        check_bounds(self)
        if not self.formats:
            raise ConfigError("formats is empty; give vllm and onnx, or one of them")
