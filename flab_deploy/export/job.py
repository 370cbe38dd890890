"""What is exported, and what a format has to offer for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from flab_deploy.records.export import ExportRecord
from flab_deploy.reopen import ReopenAnswers, ReopenInputs
from flab_deploy.settings.export import ExportConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Opened: TypeAlias = "tuple[ReopenAnswers, NDArray[np.float32]]"
"""What a fresh process that opened the checkpoint answered, and its last logits (N, V)."""


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """One checkpoint on its way to every format."""

    source: Path
    """The checkpoint as it came."""
    portable: Path
    """The same as `write_checkpoint` writes it; what every format is made from."""
    inputs: ReopenInputs
    """What parity is measured on."""
    config: ExportConfig


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format: how it is written, and how it is compared with the source."""

    engine: str | None
    """The engine that writes it; None where the main environment does."""
    write: Callable[[ExportJob, Path], Opened]
    """Write the format to a folder, and open the portable checkpoint where it was written."""
    prove: Callable[[ExportJob, Path, Opened, ExportRecord], ExportRecord]
    """Open what lies in the folder, compare it with the source, and put its parity into the record.

    Raises ExportError for a figure that is out of its bound.
    """
