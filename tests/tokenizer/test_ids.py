"""Token ids in the JSON files of a model."""

from __future__ import annotations

import pytest

from flab_deploy.errors import PlanError
from flab_deploy.tokenizer import padded_rows, remap_token_ids

NEW_ID = {5: 0, 7: 1, 9: 2}


def test_every_token_id_is_renumbered_wherever_it_stands() -> None:
    config = {
        "eos_token_id": [5, 7],
        "pad_token_id": None,
        "bos_token_id": -1,
        "image_token_index": 9,
        "text_config": {"bos_token_id": 7},
        "vocab_size": 9,
        "force_words_ids": [[5], [[7, 9]]],
        "forced_decoder_ids": [[1, 7], [2, None]],
        "add_eos_token": True,
    }
    assert remap_token_ids(config, NEW_ID, "config.json") == {
        "eos_token_id": [0, 1],
        "pad_token_id": None,
        "bos_token_id": -1,
        "image_token_index": 2,
        "text_config": {"bos_token_id": 1},
        "vocab_size": 9,
        "force_words_ids": [[0], [[1, 2]]],
        "forced_decoder_ids": [[1, 1], [2, None]],
        "add_eos_token": True,
    }


def test_what_avoids_or_favours_a_token_goes_with_it() -> None:
    config = {
        "suppress_tokens": [5, 6, 7],
        "begin_suppress_tokens": None,
        "bad_words_ids": [[5], [6, 7], [7, 9]],
        "sequence_bias": [[[5, 7], -1.5], [[6], 2.0]],
    }
    assert remap_token_ids(config, NEW_ID, "generation_config.json") == {
        "suppress_tokens": [0, 1],
        "begin_suppress_tokens": None,
        "bad_words_ids": [[0], [1, 2]],
        "sequence_bias": [[[0, 1], -1.5]],
    }


@pytest.mark.parametrize(
    "config", [{"eos_token_id": 6}, {"force_words_ids": [[6]]}, {"a": {"pad_token_id": 6}}]
)
def test_an_id_that_is_gone_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(PlanError, match=r"config.json: \w+ names token 6, which the plan drops"):
        remap_token_ids(config, NEW_ID, "config.json")


@pytest.mark.parametrize(
    ("tokens", "multiple", "rows"), [(100, 1, 100), (100, 64, 128), (128, 64, 128), (1, 64, 64)]
)
def test_rows_are_the_next_multiple(tokens: int, multiple: int, rows: int) -> None:
    assert padded_rows(tokens, multiple) == rows
