"""What `recover` found while it trained: the figures of its manifest."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.document import record


@record
class RecoverRecord:
    """The recovered checkpoint."""

    schema_version: Literal[1]
    steps: int
    """Optimizer steps."""
    num_examples: int
    num_parameters: int
    loss_curve: tuple[tuple[int, float], ...]
    """(step, mean loss in nats since the point before)."""
