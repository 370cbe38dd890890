"""What a cut must keep, for every family of tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from flab_deploy.errors import PlanError
from flab_deploy.importance.tokens import count_tokens, frequent_tokens
from flab_deploy.tokenizer import (
    TokenSelection,
    choose_tokens,
    least_tokens,
    load_tokenizer,
    prove,
    required_ids,
    shrink,
    with_parts,
)
from flab_deploy.tokenizer.proof import Proof, all_scalars
from tests.tokenizer.conftest import FAMILIES

Trained = Callable[[str], Path]


def cut(
    source: Path, out: Path, texts: list[str], *, spare: int = 0, coverage: float = 1.0
) -> list[int]:
    tokenizer = load_tokenizer(source)
    counts = count_tokens(tokenizer, texts, tokenizer.get_vocab_size())
    selection = TokenSelection(source, counts, frequent_tokens(counts, coverage=coverage))
    keep = selection.choose(selection.least + spare)
    out.mkdir(exist_ok=True)
    shrink(source, out, keep)
    return keep


@pytest.mark.parametrize("family", FAMILIES)
def test_the_corpus_reads_as_before_and_nothing_is_lost(
    trained: Trained, family: str, corpus: list[str], held_out: list[str], tmp_path: Path
) -> None:
    source = trained(family)
    keep = cut(source, tmp_path, corpus, spare=30)
    proof = prove(source, tmp_path, keep, corpus, held_out=held_out, scalars=all_scalars())
    assert proof.problem("corpus") is None
    assert (
        proof.num_identical
        == proof.num_covered
        == proof.num_lossless
        == proof.num_documents
        == len(corpus)
    )
    assert proof.num_tokens_after == proof.num_tokens_before
    assert proof.num_byte_strings_lossless == proof.num_byte_strings == 2048
    assert proof.num_scalars_lossless == proof.num_scalars == 0x110000 - 0x800
    assert proof.held_out is not None
    assert proof.held_out.num_lossless == proof.held_out.num_documents
    assert proof.held_out.num_tokens_after >= proof.held_out.num_tokens_before
    assert len(keep) < load_tokenizer(source).get_vocab_size()


@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_frequency_budget_what_is_covered_reads_as_before(
    trained: Trained, family: str, corpus: list[str], tmp_path: Path
) -> None:
    keep = cut(trained(family), tmp_path, corpus, coverage=0.95)
    proof = prove(trained(family), tmp_path, keep, corpus, scalars=range(0x3000))
    assert 0 < proof.num_covered <= proof.num_identical < proof.num_documents == proof.num_lossless
    assert proof.num_tokens_after > proof.num_tokens_before
    assert proof.problem("corpus", all_covered=False) is None
    assert "texts of corpus differently" in str(proof.problem("corpus"))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_kept_token_loses_its_way_of_being_built(
    trained: Trained, family: str, corpus: list[str], tmp_path: Path
) -> None:
    source = trained(family)
    keep = cut(source, tmp_path, corpus)
    original, shrunken = load_tokenizer(source), load_tokenizer(tmp_path)
    for new, old in enumerate(keep):
        text = original.id_to_token(old)
        assert shrunken.id_to_token(new) == text
        alone = [token.id for token in original.model.tokenize(text)]
        if alone == [old]:
            assert [token.id for token in shrunken.model.tokenize(text)] == [new]


@pytest.mark.parametrize("family", FAMILIES)
def test_keeping_every_token_changes_nothing_but_spelling(
    trained: Trained, family: str, corpus: list[str], tmp_path: Path
) -> None:
    source = trained(family)
    keep = list(range(load_tokenizer(source).get_vocab_size()))
    shrink(source, tmp_path, keep)
    before, after = (
        json.loads((path / "tokenizer.json").read_text()) for path in (source, tmp_path)
    )
    assert before["model"].keys() == after["model"].keys()
    assert before == after


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_corpus_gives_the_same_bytes(
    trained: Trained, family: str, corpus: list[str], tmp_path: Path
) -> None:
    keep = cut(trained(family), tmp_path / "a", corpus, spare=20)
    again = cut(trained(family), tmp_path / "b", corpus[::-1], spare=20)
    assert keep == again == sorted(keep)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_reads_it_with_its_special_tokens(
    trained: Trained, family: str, corpus: list[str], tmp_path: Path
) -> None:
    source = trained(family)
    keep = cut(source, tmp_path, corpus)
    before, after = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(tmp_path)
    for text in corpus:
        assert [keep[index] for index in after(text).input_ids] == before(text).input_ids
    assert keep[after.eos_token_id] == before.eos_token_id


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_of_the_longest_tokens_bring_their_parts(
    trained: Trained, family: str, tmp_path: Path
) -> None:
    source = trained(family)
    tokenizer = load_tokenizer(source)
    longest = sorted(
        range(tokenizer.get_vocab_size()), key=lambda index: -len(tokenizer.id_to_token(index))
    )[:40]
    keep = with_parts(source, longest)
    assert {*longest, *required_ids(source)} <= set(keep)
    shrink(source, tmp_path, keep)
    texts = [tokenizer.decode([index], skip_special_tokens=False) for index in longest]
    proof: Proof = prove(source, tmp_path, keep, texts, scalars=())
    assert proof.num_covered == proof.num_identical


def test_merges_as_text_and_as_pairs_give_the_same_tokenizer(
    trained: Trained, corpus: list[str], tmp_path: Path
) -> None:
    source, older = trained("byte-level"), tmp_path / "older"
    older.mkdir()
    described = json.loads((source / "tokenizer.json").read_text())
    described["model"]["merges"] = [" ".join(pair) for pair in described["model"]["merges"]]
    (older / "tokenizer.json").write_text(json.dumps(described))
    (older / "tokenizer_config.json").write_bytes((source / "tokenizer_config.json").read_bytes())
    cut(source, tmp_path / "a", corpus)
    cut(older, tmp_path / "b", corpus)
    assert (tmp_path / "a" / "tokenizer.json").read_bytes() == (
        tmp_path / "b" / "tokenizer.json"
    ).read_bytes()


def test_a_budget_below_what_the_corpus_needs_is_refused(
    trained: Trained, corpus: list[str]
) -> None:
    tokenizer = load_tokenizer(trained("byte-level"))
    counts = count_tokens(tokenizer, corpus, tokenizer.get_vocab_size())
    assert least_tokens(trained("byte-level"), counts) > 300
    with pytest.raises(PlanError, match=r"the corpus needs \d+ tokens but the budget leaves 300"):
        choose_tokens(trained("byte-level"), counts, 300)


def test_counts_beyond_the_tokens_are_rows_that_are_not_kept(trained: Trained) -> None:
    source = trained("byte-level")
    num_tokens = load_tokenizer(source).get_vocab_size()
    counts = np.ones(num_tokens + 100, dtype=np.int64)
    counts[num_tokens:] = 0
    assert TokenSelection(source, counts).choose(num_tokens + 100) == list(range(num_tokens))
