"""How a pruned model is post-trained."""

from __future__ import annotations

from dataclasses import dataclass

from flab_deploy.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RecoverConfig:
    """How a pruned model is post-trained."""

    corpus: str = "reference"
    """JSON-lines file of {"prompt", "completion"}, or `reference` for generated training tasks."""
    num_examples: int = 8_000
    """Examples, each seen once."""
    batch_size: int = 32
    """Examples per optimizer step."""
    learning_rate: float = 5e-4
    """Peak; linear warm-up over 5 % of the steps, then a cosine to a tenth."""
    weight_decay: float = 0.01
    """Of matrices."""
    distillation_weight: float = 0.5
    """Share of the divergence from the original in the loss, in [0, 1]; the rest is cross-entropy
    on answers.
    """
    max_tokens: int = 512
    """Longer examples are left out."""
    seed: int = 0
    """Order of the examples."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        if self.num_examples < 1 or self.batch_size < 1 or self.max_tokens < 2:
            raise ConfigError(
                f"num_examples={self.num_examples}, batch_size={self.batch_size}: give "
                "positive numbers"
            )
        if not 0 <= self.distillation_weight <= 1:
            raise ConfigError(
                f"distillation_weight is {self.distillation_weight}; give a share between 0 and 1"
            )
