"""What importing a foreign file found: the figures of `flab import`."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.document import record


@record
class ImportRecord:
    """A model file of another kind that became a checkpoint."""

    schema_version: Literal[1]
    architecture: str
    """As the file names it."""
    licence: str
    """As the file names it; empty if it names none."""
    num_tensors: int
    num_parameters: int
    number_formats: tuple[str, ...]
    """How the file stored its weights, such as Q4_K; the checkpoint has bfloat16."""
    begins_with_bos: bool
    """Whether a text begins with the BOS token."""
    has_chat_template: bool
    mended: tuple[str, ...]
    """What the conversion had left out and is there again."""
    warnings: tuple[str, ...]
    """What could not be mended."""
