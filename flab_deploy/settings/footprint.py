"""What memory and operations are measured at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from flab_deploy.settings.shared.bounds import check_bounds
from flab_deploy.settings.shared.device import DeviceConfig


@dataclass(frozen=True, kw_only=True)
class FootprintConfig(DeviceConfig):
    """What memory and operations are measured at."""

    batch_size: Annotated[int, Ge(1)] = 8
    """Sequences in the measured forward pass."""
    context_tokens: Annotated[int, Ge(1)] = 256
    """Tokens per sequence, and the context that operations per token are counted at."""
    repeats: Annotated[int, Ge(1)] = 3
    """Fresh processes per model; the median counts."""

    def __post_init__(self) -> None:
        """Refuse sizes that measure nothing."""
        check_bounds(self)
