"""Which tokens stay: those that the corpus needs, then as many more as the budget has room for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flab_deploy.errors import PlanError
from flab_deploy.tokenizer.derivation import Derivations
from flab_deploy.tokenizer.required import required_tokens
from flab_deploy.tokenizer.vocabulary import read_vocabulary


class TokenSelection:
    """The tokens that must stay, found once, and the vocabulary of any larger size around them."""

    def __init__(
        self, path: Path, counts: NDArray[np.int64], wanted: NDArray[np.bool_] | None = None
    ) -> None:
        """Select for the checkpoint `path` from token counts (V,).

        `wanted` (V,) marks the tokens that must stay; without it, all that occur.
        Raises PlanError if `counts` is all zero.
        """
        if not counts.any():
            raise PlanError(
                "the corpus has none of the tokenizer's tokens; give text that the model is "
                "meant to read"
            )
        vocabulary = read_vocabulary(path)
        self._derivations = Derivations(vocabulary)
        self._counts = counts
        self._known = sorted(index for index in vocabulary.tokens if index < len(counts))
        self._needed = set(required_tokens(path, self._derivations))
        seen = counts > 0 if wanted is None else wanted
        self._needed |= self._derivations.closure(np.flatnonzero(seen).tolist(), self._needed)

    @property
    def least(self) -> int:
        """How many tokens must stay."""
        return len(self._needed)

    def choose(self, size: int) -> list[int]:
        """At most `size` ids to keep, increasing: the needed ones, then others by count and id,
        each with its parts.

        Raises PlanError if the needed ones do not fit.
        """
        if self.least > size:
            raise PlanError(
                f"the corpus needs {self.least} tokens but the budget leaves {size}; give a "
                "smaller reduction, a smaller corpus or a frequency budget"
            )
        kept = set(self._needed)
        for token in sorted(self._known, key=lambda index: -int(self._counts[index])):
            if len(kept) >= size:
                break
            more = self._derivations.closure((token,), kept)
            if len(kept) + len(more) <= size:
                kept |= more
        return sorted(kept)


def choose_tokens(path: Path, counts: NDArray[np.int64], size: int) -> list[int]:
    """`TokenSelection(path, counts).choose(size)`, for a caller that asks once."""
    return TokenSelection(path, counts).choose(size)


def least_tokens(path: Path, counts: NDArray[np.int64]) -> int:
    """`TokenSelection(path, counts).least`, for a caller that asks once."""
    return TokenSelection(path, counts).least


def with_parts(path: Path, wanted: Iterable[int]) -> list[int]:
    """The ids `wanted`, all required ones and the parts of either, increasing: a list that `shrink`
    accepts.
    """
    derivations = Derivations(read_vocabulary(path))
    required = set(required_tokens(path, derivations))
    return sorted(required | derivations.closure(wanted, required))


def padded_rows(num_tokens: int, multiple: int) -> int:
    """The least multiple of `multiple` that is at least `num_tokens`: rows of a matrix that
    hardware likes.
    """
    return -(-num_tokens // multiple) * multiple
