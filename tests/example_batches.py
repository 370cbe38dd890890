"""Examples as a model reads them in tests and benchmarks: encoded with its own end token, in
batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flab_deploy.batches import Batch, encode, end_of_text_id, make_batches
from flab_deploy.corpus import Instruction


def example_batches(model: Path, examples: Sequence[Instruction], batch_size: int) -> list[Batch]:
    """Batches of similar length, shortest first; examples of more than 512 tokens are left out."""
    return make_batches(encode(model, examples, end_of_text_id(model), 512), batch_size)
