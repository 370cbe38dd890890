"""Tokens that no cut may drop, and plans that drop them all the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from flab_deploy.errors import PlanError, UnsupportedModel
from flab_deploy.tokenizer import (
    TokenSelection,
    load_tokenizer,
    prove,
    required_ids,
    required_tokens,
    shrink,
)
from flab_deploy.tokenizer.vocabulary import BYTE_TOKENS
from tests.tokenizer.conftest import saved

Trained = Callable[[str], Path]


@pytest.fixture
def source(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained("byte-level"), tmp_path / "source"))


def write(path: Path, name: str, value: object) -> None:
    (path / name).write_text(json.dumps(value), encoding="utf-8")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    described = json.loads((path / "tokenizer.json").read_text())
    change(described)
    write(path, "tokenizer.json", described)


def test_bytes_and_added_tokens_are_required(source: Path) -> None:
    tokenizer = load_tokenizer(source)
    required = required_tokens(source)
    assert {
        tokenizer.token_to_id(token) for token in ("<|begin|>", "<|end|>", "<tool>")
    } <= required.keys()
    assert {index for index, reason in required.items() if "byte" in reason} == {
        tokenizer.token_to_id(character) for character in pre_tokenizers.ByteLevel.alphabet()
    }


@pytest.mark.parametrize("family", ["byte-fallback", "unigram"])
def test_byte_tokens_and_the_space_mark_are_required_but_not_every_character(
    trained: Trained, family: str
) -> None:
    tokenizer = load_tokenizer(trained(family))
    required = set(required_ids(trained(family)))
    assert {tokenizer.token_to_id(token) for token in (*BYTE_TOKENS, "▁", "<unk>")} <= required
    single = {index for token, index in tokenizer.get_vocab().items() if len(token) == 1}
    assert len(single - required) > 20


@pytest.mark.parametrize("place", ["tokenizer_config.json", "chat_template.jinja", "list"])
def test_words_of_the_chat_template_are_required_with_their_parts(source: Path, place: str) -> None:
    template = "{% for m in messages %}{{ '[import]' + m['role'] }} class\n{% endfor %}"
    before = set(required_ids(source))
    settings = json.loads((source / "tokenizer_config.json").read_text())
    if place == "chat_template.jinja":
        (source / place).write_text(template, encoding="utf-8")
    else:
        value = (
            template
            if place == "tokenizer_config.json"
            else [{"name": "default", "template": template}]
        )
        write(source, "tokenizer_config.json", settings | {"chat_template": value})
    added = set(required_ids(source)) - before
    tokenizer = load_tokenizer(source)
    assert {*tokenizer.encode("[import]", add_special_tokens=False).ids} <= added | before
    assert tokenizer.token_to_id("Ġclass") in added
    keep = required_ids(source)
    shrink(source, source, keep)  # what is required is closed on its own


def test_ids_of_the_configurations_are_required(source: Path) -> None:
    write(
        source,
        "config.json",
        {"vocab_size": 2600, "eos_token_id": [1500, 1501], "pad_token_id": -1},
    )
    write(
        source,
        "generation_config.json",
        {"forced_decoder_ids": [[1, 1600]], "suppress_tokens": [1700]},
    )
    required = required_tokens(source)
    assert required[1500] == "named by config.json: eos_token_id"
    assert {1501, 1600} <= required.keys()
    assert 1700 not in required


def test_an_id_that_the_model_does_not_have_is_refused(source: Path) -> None:
    write(source, "config.json", {"vocab_size": 2600, "pad_token_id": 9999})
    with pytest.raises(
        UnsupportedModel, match=r"pad_token_id is 9999, but the model's ids end at 2599"
    ):
        required_ids(source)


def test_a_special_token_that_the_tokenizer_does_not_have_is_refused(source: Path) -> None:
    write(source, "special_tokens_map.json", {"mask_token": {"content": "<mask>"}})
    with pytest.raises(
        UnsupportedModel, match="names the mask_token '<mask>', which tokenizer.json does not have"
    ):
        required_ids(source)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("A", r"drops token \d+ 'A', a byte"),
        ("<|end|>", r"drops token \d+ '<\|end\|>', a special or added token"),
        (
            "im",
            r"keeps token \d+ 'Ġ?\w+' but drops \d+ 'im', which it is built from; keep both "
            r"or drop both",
        ),
    ],
)
def test_a_plan_edited_by_hand_names_what_it_drops(
    source: Path, tmp_path: Path, token: str, message: str
) -> None:
    tokenizer = load_tokenizer(source)
    keep = [
        index
        for index in range(tokenizer.get_vocab_size())
        if index != tokenizer.token_to_id(token)
    ]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(PlanError, match=message):
        shrink(source, tmp_path, keep)
    assert sorted(tmp_path.iterdir()) == before


def test_a_corpus_without_any_token_is_refused(source: Path) -> None:
    with pytest.raises(PlanError, match="the corpus has none of the tokenizer's tokens"):
        TokenSelection(source, np.zeros(2503, dtype=np.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["model"].update(dropout=0.1), "sets dropout to 0.1"),
        (
            lambda d: d["model"].update(end_of_word_suffix="</w>"),
            "sets end_of_word_suffix to '</w>'",
        ),
        (lambda d: d.update(pre_tokenizer=None), "is BPE without bytes to fall back on"),
        (
            lambda d: d["model"].update(type="WordPiece"),
            "is 'WordPiece'; supported: byte-level BPE",
        ),
    ],
)
def test_other_kinds_are_refused_with_the_reason(
    source: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(source, change)
    with pytest.raises(UnsupportedModel, match=message):
        required_ids(source)


@pytest.mark.parametrize("with_bytes", [False, True])
def test_unigram_is_refused_unless_bytes_can_spell_anything(
    tmp_path: Path, with_bytes: bool
) -> None:
    pieces = [
        ("<unk>", 0.0),
        ("a", -1.0),
        *((token, 0.0) for token in BYTE_TOKENS[:200] if with_bytes),
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, 0, with_bytes))
    tokenizer.add_special_tokens(["<unk>"])
    source = saved(tokenizer, tmp_path)
    with pytest.raises(
        UnsupportedModel,
        match="lacks 56 byte tokens" if with_bytes else "without bytes to fall back",
    ):
        required_ids(source)


def test_a_vocabulary_without_some_bytes_loses_no_more_than_before(tmp_path: Path) -> None:
    vocab = {character: index for index, character in enumerate("abcdeĠ")} | {
        "ab": 6,
        "abc": 7,
        "de": 8,
    }
    tokenizer = Tokenizer(models.BPE(vocab, [("a", "b"), ("ab", "c"), ("d", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    (tmp_path / "out").mkdir()
    source = saved(tokenizer, tmp_path)
    keep = required_ids(source)
    assert keep == [0, 1, 2, 3, 4, 5, 9]
    shrink(source, tmp_path / "out", keep)
    proof = prove(source, tmp_path / "out", keep, ["a b c d e"], scalars=range(200))
    assert proof.problem("corpus") is None


def test_ids_are_renumbered_inside_the_tokenizer_too(source: Path, tmp_path: Path) -> None:
    def old_style(described: dict[str, Any]) -> None:
        end = described["added_tokens"][1]["id"]
        described["post_processor"] = {
            "type": "RobertaProcessing",
            "sep": ["<|end|>", end],
            "cls": ["<|begin|>", end - 1],
            "trim_offsets": True,
            "add_prefix_space": False,
        }
        described["padding"] = {
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": end,
            "pad_type_id": 0,
            "pad_token": "<|end|>",
        }

    edit(source, old_style)
    keep, out = required_ids(source), tmp_path / "out"
    out.mkdir()
    shrink(source, out, keep)
    tokenizer = load_tokenizer(out)
    end = tokenizer.token_to_id("<|end|>")
    assert isinstance(tokenizer.post_processor, processors.RobertaProcessing)
    ids = [encoded.ids for encoded in tokenizer.encode_batch(["abc", "a"])]
    assert [row[0] for row in ids] == [end - 1] * 2
    assert ids[0][-1] == ids[1][-1] == ids[1][-2] == end


def test_gaps_below_added_tokens_are_refused(source: Path, tmp_path: Path) -> None:
    """The library numbers added tokens after the model's, so a row without a token would shift
    them.
    """

    def without_a_token(described: dict[str, Any]) -> None:
        model = described["model"]
        del model["vocab"]["Ġimport"]
        model["merges"] = [pair for pair in model["merges"] if "".join(pair) != "Ġimport"]

    edit(source, without_a_token)
    tokenizer = load_tokenizer(source)
    with pytest.raises(UnsupportedModel, match="save the tokenizer again without gaps"):
        shrink(source, tmp_path, list(range(tokenizer.get_vocab_size() + 1)))
