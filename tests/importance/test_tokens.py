"""Counting tokens, and what is frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from flab_deploy.errors import ConfigError
from flab_deploy.importance.tokens import count_tokens, frequent_tokens


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    words = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "c": 3}, [("a", "b")]))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return words


def test_counts_are_those_of_one_text_after_the_other(tokenizer: Tokenizer) -> None:
    texts = ["ab a b", "ab ab", "", "b"] * 5000
    expected = Counter(index for text in texts for index in tokenizer.encode(text).ids)
    assert count_tokens(tokenizer, iter(texts), 6).tolist() == [
        expected[index] for index in range(6)
    ]


def test_texts_are_read_a_few_at_a_time(tokenizer: Tokenizer) -> None:
    alive, most = 0, 0

    class Text(str):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def stream() -> Iterator[str]:
        nonlocal alive, most
        for index in range(40_000):
            alive += 1
            most = max(most, alive)
            yield Text(f"ab {index}")

    assert count_tokens(tokenizer, stream(), 4)[2] == 40_000
    assert most < 10_000


@pytest.mark.parametrize("texts", [[], ["", ""], ["xyz"]])
def test_a_corpus_without_tokens_is_refused(tokenizer: Tokenizer, texts: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=rf"no token .* occurs in the {len(texts)} texts of the corpus"
    ):
        count_tokens(tokenizer, texts, 4)


def test_a_tokenizer_larger_than_the_model_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="gives id 2 but the model has 2 embedding rows"):
        count_tokens(tokenizer, ["ab"], 2)


@pytest.mark.parametrize(
    ("least_count", "coverage", "expected"),
    [
        (1, 1.0, [0, 1, 2, 3, 4]),
        (2, 1.0, [0, 1, 2, 3]),
        (9, 1.0, [0, 1, 2, 3]),
        (10, 1.0, [0, 1]),
        (1, 0.5, [0]),
        (1, 0.81, [0, 1]),
        (1, 0.85, [0, 1, 2, 3]),
        (40, 0.9, [0]),
    ],
)
def test_frequent_tokens_keep_or_drop_equal_counts_together(
    least_count: int, coverage: float, expected: list[int]
) -> None:
    counts = np.array([50, 31, 9, 9, 1, 0, 0])
    assert (
        np.flatnonzero(frequent_tokens(counts, least_count=least_count, coverage=coverage)).tolist()
        == expected
    )


@pytest.mark.parametrize(
    ("least_count", "coverage", "message"),
    [
        (0, 1.0, "least_count is 0"),
        (1, 0.0, "coverage is 0.0"),
        (1, 1.5, "coverage is 1.5"),
        (99, 1.0, "no token occurs 99 times, the commonest 7"),
    ],
)
def test_budgets_out_of_range_are_refused(least_count: int, coverage: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        frequent_tokens(np.array([7, 2, 0]), least_count=least_count, coverage=coverage)
