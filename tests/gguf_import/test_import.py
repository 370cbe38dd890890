"""A GGUF file becomes a checkpoint that reads text as the file says, or is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from flab_deploy.decoder import load_model
from flab_deploy.errors import ArtifactError, ConfigError, FlabError, UnsupportedModel
from flab_deploy.gguf_import import import_gguf
from flab_deploy.tokenizer import load_tokenizer
from tests.in_process import flab
from tests.tiny_gguf import TEMPLATE, tokens, write_gguf


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    return import_gguf(write_gguf(folder / "model.gguf"), folder / "model").path


def test_the_checkpoint_opens_and_computes(imported: Path) -> None:
    model = load_model(imported, "auto")
    assert model.config.num_hidden_layers == 2
    assert model.config.vocab_size == len(tokens())


def test_text_is_split_by_the_rule_of_the_file(imported: Path, tmp_path: Path) -> None:
    # The rule takes digits out first, so that all white space before one stays together.
    found = load_tokenizer(imported).encode("  12").tokens
    assert found == ["\u0120\u0120", "1", "2"]
    plain = import_gguf(write_gguf(tmp_path / "m.gguf", pre="gpt-2"), tmp_path / "plain")
    assert load_tokenizer(plain.path).encode("  12").tokens == ["\u0120", "\u0120", "1", "2"]
    assert plain.figures["mended"] == []


def test_the_chat_template_and_the_special_tokens_are_those_of_the_file(imported: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(imported)
    assert tokenizer.chat_template == TEMPLATE
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.decode(tokenizer("def f\u00e9 12")["input_ids"]) == "def f\u00e9 12"


@pytest.mark.parametrize(("adds_bos", "first"), [(True, [1]), (False, []), (None, [])])
def test_a_text_begins_as_the_file_says(
    adds_bos: bool | None, first: list[int], tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "m.gguf", adds_bos=adds_bos)
    artifact = import_gguf(file, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    bare = tokenizer("def", add_special_tokens=False)["input_ids"]
    assert tokenizer("def")["input_ids"] == [*first, *bare]
    mended = [text for text in artifact.figures["mended"] if "begins" in text]
    assert bool(mended) is bool(first)


def test_an_unknown_rule_is_said(tmp_path: Path) -> None:
    artifact = import_gguf(write_gguf(tmp_path / "m.gguf", pre="novel"), tmp_path / "model")
    (warning,) = artifact.figures["warnings"]
    assert "'novel'" in warning


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "m.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ArtifactError, match="cut short or damaged"):
        import_gguf(tmp_path / "cut.gguf", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", leave_out="blk.1.ffn_up.weight")
    with pytest.raises(ArtifactError, match="lacks model.layers.1.mlp.up_proj.weight"):
        import_gguf(file, tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, ArtifactError, "cannot read"),
        (b"PK\x03\x04 a zip", ArtifactError, "is no GGUF file"),
        (b"", ArtifactError, "is no GGUF file"),
    ],
)
def test_other_files_are_refused(
    content: bytes | None, error: type[FlabError], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=words):
        import_gguf(file, tmp_path / "model")


def test_an_unsupported_architecture_is_named(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", architecture="rwkv6")
    with pytest.raises((UnsupportedModel, ConfigError), match="rwkv6"):
        import_gguf(file, tmp_path / "model")


def test_the_verb_prints_what_was_mended(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", adds_bos=True)
    done = flab("import", str(file), "--out", str(tmp_path / "model"), "--json")
    assert done.returncode == 0, done.stderr
    assert "a text begins with <|im_start|> again" in json.loads(done.stdout)["figures"]["mended"]
