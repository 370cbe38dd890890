"""Token importance: how often each vocabulary entry occurs in a corpus, and which counts deserve a
row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from flab_deploy.errors import ConfigError

_CHARACTERS_PER_BATCH = 4_000_000
_TEXTS_PER_BATCH = 4096


def count_tokens(tokenizer: Tokenizer, texts: Iterable[str], vocab_size: int) -> NDArray[np.int64]:
    """How often each token occurs in `texts`, as (V,) int64.

    The texts are streamed: a few megabytes at a time are in memory, tokenized by as many threads as
    there are cores (`RAYON_NUM_THREADS` bounds them, `TOKENIZERS_PARALLELISM=false` leaves one).
    Raises ConfigError if no token occurs, or one beyond `vocab_size`.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    num_texts = 0
    for batch in _batches(texts):
        num_texts += len(batch)
        encoded = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        ids = np.fromiter(chain.from_iterable(text.ids for text in encoded), dtype=np.int64)
        found = np.bincount(ids, minlength=vocab_size)
        if len(found) > vocab_size:
            raise ConfigError(
                f"the tokenizer gives id {len(found) - 1} but the model has {vocab_size} embedding "
                "rows; use the tokenizer that belongs to the model"
            )
        counts += found
    if not counts.any():
        raise ConfigError(
            f"no token of the tokenizer occurs in the {num_texts} texts of the corpus; give "
            "other text"
        )
    return counts


def frequent_tokens(
    counts: NDArray[np.int64], *, least_count: int = 1, coverage: float = 1.0
) -> NDArray[np.bool_]:
    """Which tokens deserve to stay by frequency, (V,) bool: a budget for `TokenSelection`.

    Those that occur at least `least_count` times and are among the commonest ones that together
    make up the share `coverage`, in (0, 1], of all occurrences; equal counts stay or go together.
    The defaults keep every token seen, the presence rule of Flab-Pruner (arXiv 2412.15921).
    Raises ConfigError for values out of range or if nothing is left.
    """
    if least_count < 1:
        raise ConfigError(f"least_count is {least_count}; give 1 or more")
    if not 0 < coverage <= 1:
        raise ConfigError(
            f"coverage is {coverage}; give a share above 0 and up to 1, such as 0.999"
        )
    falling = np.sort(counts)[::-1]
    reached = np.cumsum(falling, dtype=np.int64)
    last = min(int(np.searchsorted(reached, coverage * reached[-1])), len(falling) - 1)
    frequent: NDArray[np.bool_] = counts >= max(int(falling[last]), least_count, 1)
    if not frequent.any():
        raise ConfigError(
            f"no token occurs {least_count} times, the commonest {int(falling[0])}; lower "
            "least_count"
        )
    return frequent


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _CHARACTERS_PER_BATCH or len(batch) >= _TEXTS_PER_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
