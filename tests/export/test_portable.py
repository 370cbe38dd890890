"""The vLLM-ready checkpoint: weights untouched, settings for both majors, no wrong special id."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from flab_deploy.errors import ArtifactError, ExportError, UnsupportedModel
from flab_deploy.export.portable import write_checkpoint

END = "<|endoftext|>"


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def settings(folder: Path, name: str = "config.json") -> dict[str, object]:
    loaded: dict[str, object] = json.loads((folder / name).read_text())
    return loaded


def test_weights_are_the_sources_bytes(tiny_model: Path, tmp_path: Path) -> None:
    write_checkpoint(tiny_model, tmp_path / "vllm")
    name = "model.safetensors"
    assert (tmp_path / "vllm" / name).read_bytes() == (tiny_model / name).read_bytes()
    assert (
        tmp_path / "vllm" / name
    ).stat().st_mode & 0o044 == 0o044  # a server's user must be able to read it


def test_rope_and_number_format_are_written_for_both_majors(
    tiny_model: Path, tmp_path: Path
) -> None:
    write_checkpoint(tiny_model, tmp_path / "vllm")
    config = settings(tmp_path / "vllm")
    assert config["rope_parameters"] == {"rope_type": "default", "rope_theta": 500_000.0}
    assert config["rope_theta"] == 500_000.0
    assert "rope_scaling" not in config
    assert config["dtype"] == config["torch_dtype"] == "bfloat16"


YARN = {
    "rope_type": "yarn",
    "rope_theta": 20_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 512,
}


def test_scaled_rope_survives_with_both_spellings_present(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_model(tmp_path / "model", rope_parameters=YARN)
    write_checkpoint(source, tmp_path / "vllm")
    config = settings(tmp_path / "vllm")
    assert config["rope_theta"] == 20_000.0
    assert config["rope_scaling"] == {
        key: value for key, value in YARN.items() if key != "rope_theta"
    }
    ids = torch.arange(700)[None] % 400
    logits = [
        AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval()(input_ids=ids).logits
        for path in (source, tmp_path / "vllm")
    ]
    assert torch.equal(*logits)


def test_a_checkpoint_in_the_spelling_of_version_4_gets_both(
    tiny_model: Path, tmp_path: Path
) -> None:
    config = settings(tiny_model)
    del config["rope_parameters"], config["dtype"]
    (tiny_model / "config.json").write_text(
        json.dumps(config | {"rope_theta": 7_000.0, "torch_dtype": "bfloat16"})
    )
    write_checkpoint(tiny_model, tmp_path / "vllm")
    written = settings(tmp_path / "vllm")
    assert written["rope_parameters"] == {"rope_theta": 7_000.0, "rope_type": "default"}
    assert written["rope_theta"] == 7_000.0
    assert written["dtype"] == written["torch_dtype"] == "bfloat16"


def test_the_number_format_is_read_from_the_weights_when_unstated(
    tiny_model: Path, tmp_path: Path
) -> None:
    config = settings(tiny_model)
    del config["dtype"]
    (tiny_model / "config.json").write_text(json.dumps(config))
    write_checkpoint(tiny_model, tmp_path / "vllm")
    assert settings(tmp_path / "vllm")["dtype"] == "bfloat16"


def test_the_tokenizer_has_a_class_of_both_majors_and_encodes_alike(
    tiny_model: Path, tmp_path: Path
) -> None:
    write_checkpoint(tiny_model, tmp_path / "vllm")
    written = settings(tmp_path / "vllm", "tokenizer_config.json")
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["additional_special_tokens"] == ["<|im_start|>"]
    assert "extra_special_tokens" not in written  # a list there makes transformers 4 fail
    before, after = (
        AutoTokenizer.from_pretrained(path) for path in (tiny_model, tmp_path / "vllm")
    )
    text = f"def f(x):\n    return '§ 你好'  # <|im_start|>{END}"
    assert before(text)["input_ids"] == after(text)["input_ids"]
    assert (
        after.decode(after(text)["input_ids"], skip_special_tokens=True)
        == "def f(x):\n    return '§ 你好'  # "
    )
    assert after.eos_token_id == after.pad_token_id == 0


def test_generation_defaults_are_made_from_the_configuration(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tiny_model / "generation_config.json").unlink()
    write_checkpoint(tiny_model, tmp_path / "vllm")
    assert settings(tmp_path / "vllm", "generation_config.json") == {
        "eos_token_id": 0,
        "pad_token_id": 0,
    }


def test_weights_without_the_format_mark_get_it(tiny_model: Path, tmp_path: Path) -> None:
    tensors = load_file(tiny_model / "model.safetensors")
    save_file(tensors, tiny_model / "model.safetensors")
    write_checkpoint(tiny_model, tmp_path / "vllm")
    written = load_file(tmp_path / "vllm" / "model.safetensors")
    assert written.keys() == tensors.keys()
    assert all(torch.equal(written[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (
            "config.json",
            {"eos_token_id": 300},
            "eos_token_id 300 in config.json is the ordinary token",
        ),
        (
            "config.json",
            {"eos_token_id": 400},
            "eos_token_id 400 in config.json is outside the vocabulary",
        ),
        (
            "config.json",
            {"pad_token_id": -1},
            "pad_token_id -1 in config.json is outside the vocabulary",
        ),
        (
            "generation_config.json",
            {"eos_token_id": [0, 77]},
            "eos_token_id 77 in generation_config.json",
        ),
        (
            "tokenizer_config.json",
            {"eos_token": "<|im_start|>"},
            "eos_token is '<|im_start|>' with id 1",
        ),
        (
            "tokenizer_config.json",
            {"pad_token": "<pad>"},
            "pad_token '<pad>' of tokenizer_config.json is not in",
        ),
        ("config.json", {"vocab_size": 401}, "vocab_size 401, the weights have 400 rows"),
    ],
)
def test_wrong_ids_are_refused(
    tiny_model: Path, tmp_path: Path, file: str, changes: dict[str, object], message: str
) -> None:
    change_json(tiny_model / file, **changes)
    with pytest.raises(ExportError, match=re.escape(message)):
        write_checkpoint(tiny_model, tmp_path / "vllm")
    assert not (tmp_path / "vllm").exists()


def test_a_model_that_never_stops_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    change_json(tiny_model / "config.json", eos_token_id=None)
    (tiny_model / "generation_config.json").unlink()
    with pytest.raises(ExportError, match="no eos_token_id"):
        write_checkpoint(tiny_model, tmp_path / "vllm")


def test_a_tokenizer_larger_than_the_embedding_is_refused(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_model(tmp_path / "model", vocab_size=399)
    with pytest.raises(ExportError, match="ids up to 399 but the model only 399 embedding rows"):
        write_checkpoint(source, tmp_path / "vllm")


def test_rope_by_layer_type_has_no_portable_form(tiny_model: Path, tmp_path: Path) -> None:
    nested = {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}
    change_json(tiny_model / "config.json", rope_parameters=nested)
    with pytest.raises(ExportError, match="differ by layer type"):
        write_checkpoint(tiny_model, tmp_path / "vllm")


def test_an_encoder_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    change_json(tiny_model / "config.json", model_type="bert")
    with pytest.raises(UnsupportedModel, match="'bert' model"):
        write_checkpoint(tiny_model, tmp_path / "vllm")


def test_a_missing_tokenizer_is_named(tiny_model: Path, tmp_path: Path) -> None:
    (tiny_model / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"no tokenizer\.json"):
        write_checkpoint(tiny_model, tmp_path / "vllm")


def test_sharded_weights_are_kept_as_shards(tiny_model: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="auto")
    sharded = tmp_path / "sharded"
    model.save_pretrained(sharded, max_shard_size="60KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model / name, sharded / name)
    assert len(list(sharded.glob("*.safetensors"))) > 1
    write_checkpoint(sharded, tmp_path / "vllm")
    for file in (*sharded.glob("*.safetensors"), sharded / "model.safetensors.index.json"):
        assert (tmp_path / "vllm" / file.name).read_bytes() == file.read_bytes()
