"""Proof that a cut checkpoint opens: in a fresh process, with the source's logits where they must
be the same.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flab_deploy.checkpoint import weight_files
from flab_deploy.decoder import ModelShape
from flab_deploy.errors import PlanError
from flab_deploy.pruning.cutting.tensors import kept_rows
from flab_deploy.pruning.plan_document import PrunePlan
from flab_deploy.records.prune import ReopenedRecord
from flab_deploy.reopen import ReopenAnswers, ReopenInputs, reopen

logger = logging.getLogger(__name__)

Reopen: TypeAlias = Literal["auto", "always", "never"]
LARGEST_BYTES = 4 << 30
_LENGTHS = (1, 7, 16, 32)
_NEW_TOKENS = 8
# Equal states give products that may differ by the rounding of the number format when the matrix
# has another height.
_RELATIVE, _OF_LARGEST = 0.01, 0.002


def check_opens(
    source: Path, out: Path, plan: PrunePlan, before: ModelShape, after: ModelShape, when: Reopen
) -> ReopenedRecord:
    """What opening the cut checkpoint `out` in a fresh process showed, or why it was not done.

    It must give finite logits and generate; if only the vocabulary was cut, its logits must be the
    source's, restricted to the tokens kept. Raises PlanError if it does not, ExportError if it
    cannot be opened.
    """
    size = sum(file.stat().st_size for file in weight_files(out))
    if when == "never":
        return _unchecked("switched off")
    if when == "auto" and size > LARGEST_BYTES:
        reason = (
            f"weights of {size / 1e9:.1f} GB are more than {LARGEST_BYTES / 1e9:.1f} GB, "
            "which opening would need"
        )
        logger.warning("prune: not reopened, %s", reason)
        return _unchecked(reason)
    logger.info("prune: reopening the result in a fresh process")
    rows = np.asarray(kept_rows(plan, before))
    new_ids = _inputs(len(plan.keep_token_ids))
    answers, logits = _reopened(out, new_ids)
    _check_answers(logits, answers.generated, len(rows))
    difference = None
    if _only_vocabulary(before, after):
        old_ids = [[int(rows[token]) for token in ids] for ids in new_ids]
        difference = _check_equal(logits, _reopened(source, old_ids)[1][:, rows])
    return ReopenedRecord(
        checked=True,
        reason=None,
        num_generated=sum(len(ids) for ids in answers.generated),
        max_abs_logit_difference=difference,
    )


def _unchecked(reason: str) -> ReopenedRecord:
    return ReopenedRecord(
        checked=False, reason=reason, num_generated=None, max_abs_logit_difference=None
    )


def _only_vocabulary(before: ModelShape, after: ModelShape) -> bool:
    kept = ("num_hidden_layers", "intermediate_size", "num_key_value_heads", "num_experts")
    return all(getattr(before, name) == getattr(after, name) for name in kept)


def _inputs(vocab_size: int) -> list[list[int]]:
    random = np.random.default_rng(0)
    return [[int(token) for token in random.integers(0, vocab_size, length)] for length in _LENGTHS]


def _reopened(checkpoint: Path, ids: list[list[int]]) -> tuple[ReopenAnswers, NDArray[np.float32]]:
    inputs = ReopenInputs(texts=[], text_ids=ids, long_ids=[])
    return reopen(Path(sys.executable), checkpoint, inputs, "--new-tokens", str(_NEW_TOKENS))


def _check_answers(
    logits: NDArray[np.float32], generated: Sequence[Sequence[int]], vocab_size: int
) -> None:
    if not np.isfinite(logits).all():
        raise PlanError("the cut model gives NaN or infinite logits; plan a smaller cut")
    if logits.shape[1] != vocab_size:
        raise PlanError(
            f"the cut model gives {logits.shape[1]} logits for {vocab_size} tokens; report "
            "this as a bug"
        )
    if any(len(ids) != _NEW_TOKENS or max(ids) >= vocab_size for ids in generated):
        raise PlanError("the cut model does not generate; report this as a bug")


def _check_equal(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    difference = np.abs(logits - expected)
    bound = _RELATIVE * np.abs(expected) + _OF_LARGEST * np.abs(expected).max()
    if (difference > bound).any():
        raise PlanError(
            f"logits of kept tokens differ by {difference.max():.3g} from the source's, though "
            "only tokens were cut; report this as a bug"
        )
    return float(difference.max())
