"""What memory and operations are measured at."""

from __future__ import annotations

from dataclasses import dataclass

from flab_deploy.errors import check_positive


@dataclass(frozen=True, kw_only=True)
class FootprintConfig:
    """What memory and operations are measured at."""

    batch_size: int = 8
    """Sequences in the measured forward pass."""
    context_tokens: int = 256
    """Tokens per sequence, and the context that operations per token are counted at."""
    repeats: int = 3
    """Fresh processes per model; the median counts."""

    def __post_init__(self) -> None:
        """Refuse sizes that measure nothing."""
        check_positive(self, "batch_size", "context_tokens", "repeats")
