"""What is exported, and how close it must be to its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flab_deploy.errors import ConfigError

Format = Literal["vllm", "onnx"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export, and how close it must be to its source."""

    formats: tuple[Format, ...] = ("vllm", "onnx")
    """`vllm`: a checkpoint directory that vLLM, transformers 4 and 5 open; `onnx`: a float32 model
    for ONNX Runtime.
    """
    num_prompts: int = 50
    """Prompts to compare logits and greedy tokens on; four long inputs come on top."""
    num_new_tokens: int = 32
    """Greedy tokens per prompt."""
    max_abs_logit_difference: float = 1e-3
    """How far a logit of the ONNX model may be from PyTorch's, both in float32; in the checkpoint
    none may differ.
    """

    def __post_init__(self) -> None:
        """Raise ConfigError for values that make no sense."""
        unknown = sorted(set(self.formats) - {"vllm", "onnx"})
        if unknown or not self.formats:
            raise ConfigError(
                f"formats must be vllm and onnx or one of them, got {list(self.formats)}"
            )
        counts = (self.num_prompts, self.num_new_tokens)
        if min(counts) < 1:
            raise ConfigError(
                f"num_prompts and num_new_tokens must be at least 1, got {counts[0]} and "
                f"{counts[1]}"
            )
        if not 0 < self.max_abs_logit_difference < float("inf"):
            raise ConfigError(
                f"max_abs_logit_difference must be positive, got {self.max_abs_logit_difference}"
            )
