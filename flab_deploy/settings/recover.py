"""How a pruned model is post-trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from flab_deploy.settings.shared.bounds import Seed, check_bounds
from flab_deploy.settings.shared.device import DeviceConfig
from flab_deploy.settings.shared.prompt import PromptSettings


@dataclass(frozen=True, kw_only=True)
class RecoverConfig(PromptSettings, DeviceConfig):
    """How a pruned model is post-trained."""

    corpus: str = "auto"
    """Names with commas between them: files of instructions ({"prompt", "completion"}, chat
    messages, Alpaca or ShareGPT), `installed` for the Python code that is installed here,
    `reference` for generated tasks. `auto` is the generated tasks for the reference model and the
    installed code for any other.
    """
    num_examples: Annotated[int, Ge(1)] = 8_000
    """Examples, each seen once."""
    batch_size: Annotated[int, Ge(1)] = 32
    """Examples per optimizer step."""
    learning_rate: Annotated[float, Gt(0)] = 5e-4
    """Peak; linear warm-up over 5 % of the steps, then a cosine to a tenth."""
    weight_decay: Annotated[float, Ge(0)] = 0.01
    """Of matrices."""
    distillation_weight: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of the divergence from the original in the loss; the rest is cross-entropy
    on answers.
    """
    max_tokens: Annotated[int, Ge(2)] = 512
    """Longer examples are left out."""
    seed: Seed = 0
    """Order of the examples."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        check_bounds(self)
