from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from flab_deploy.errors import PlanError, UnsupportedModel
from flab_deploy.importance.tokens import count_tokens
from flab_deploy.tokenizer import (
    choose_tokens,
    least_tokens,
    load_tokenizer,
    prove,
    remap_token_ids,
    required_ids,
    shrink,
)

SOURCES = sorted(Path(os.__file__).parent.glob("*.py"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [block for path in SOURCES[30:33] for block in path.read_text(encoding="utf-8").split("\n\n")]


@pytest.fixture(scope="module")
def keep(tiny_checkpoint: Path, texts: list[str]) -> list[int]:
    tokenizer = load_tokenizer(tiny_checkpoint)
    counts = count_tokens(tokenizer, texts[:40], tokenizer.get_vocab_size())
    return choose_tokens(tiny_checkpoint, counts, least_tokens(tiny_checkpoint, counts) + 20)


@pytest.fixture
def shrunken(tiny_checkpoint: Path, keep: list[int], tmp_path: Path) -> Path:
    shrink(tiny_checkpoint, tmp_path, keep)
    return tmp_path


def test_token_sequences_of_the_corpus_are_identical(
    tiny_checkpoint: Path, shrunken: Path, keep: list[int], texts: list[str]
) -> None:
    proof = prove(tiny_checkpoint, shrunken, keep, texts[:40])
    assert proof.num_identical == proof.num_lossless == proof.num_documents
    assert len(keep) < load_tokenizer(tiny_checkpoint).get_vocab_size()


def test_other_text_is_longer_but_lossless(
    tiny_checkpoint: Path, shrunken: Path, keep: list[int], texts: list[str]
) -> None:
    proof = prove(tiny_checkpoint, shrunken, keep, texts)
    assert proof.num_lossless == proof.num_documents
    assert proof.num_tokens_after >= proof.num_tokens_before


def test_any_text_survives(shrunken: Path) -> None:
    tokenizer = load_tokenizer(shrunken)
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(
            chr(rng.choice((rng.randint(32, 126), rng.randint(160, 0xD7FF), rng.randint(0x1F300, 0x1FAFF))))
            for _ in range(20)
        )
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


def test_bytes_and_special_tokens_are_always_kept(tiny_checkpoint: Path, keep: list[int]) -> None:
    required = required_ids(tiny_checkpoint)
    assert len(required) == 256 + 2
    assert set(required) <= set(keep)
    with pytest.raises(PlanError, match="a byte or special token"):
        shrink(tiny_checkpoint, tiny_checkpoint, keep[1:])


def test_both_merge_formats_give_the_same_tokenizer(
    tiny_checkpoint: Path, keep: list[int], shrunken: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(tiny_checkpoint, tmp_path / "older"))
    description = json.loads((older / "tokenizer.json").read_text())
    description["model"]["merges"] = [" ".join(pair) for pair in description["model"]["merges"]]
    (older / "tokenizer.json").write_text(json.dumps(description))
    (tmp_path / "result").mkdir()
    shrink(older, tmp_path / "result", keep)
    assert (tmp_path / "result" / "tokenizer.json").read_bytes() == (shrunken / "tokenizer.json").read_bytes()


def test_every_token_id_is_renumbered_wherever_it_stands() -> None:
    config = {"eos_token_id": [5, 7], "pad_token_id": None, "text_config": {"bos_token_id": 7}, "vocab_size": 9}
    assert remap_token_ids(config, {5: 0, 7: 1}, "config.json") == {
        "eos_token_id": [0, 1], "pad_token_id": None, "text_config": {"bos_token_id": 1}, "vocab_size": 9,
    }  # fmt: skip
    with pytest.raises(PlanError, match="names token 7"):
        remap_token_ids(config, {5: 0}, "config.json")


def test_a_tokenizer_of_another_kind_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_checkpoint, tmp_path / "other"))
    description = json.loads((other / "tokenizer.json").read_text())
    description["model"]["type"] = "Unigram"
    (other / "tokenizer.json").write_text(json.dumps(description))
    with pytest.raises(UnsupportedModel, match="supported: byte-level BPE"):
        required_ids(other)


def test_a_budget_below_what_the_corpus_needs_is_refused(tiny_checkpoint: Path, texts: list[str]) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    counts = count_tokens(tokenizer, texts, tokenizer.get_vocab_size())
    with pytest.raises(PlanError, match="the corpus needs"):
        choose_tokens(tiny_checkpoint, counts, 300)
