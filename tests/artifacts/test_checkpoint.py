from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flab_deploy.checkpoint import resolve
from flab_deploy.decoder import model_shape
from flab_deploy.errors import ArtifactError, ConfigError, UnsupportedModel


@pytest.fixture
def broken(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def test_a_directory_resolves_to_its_digest(tiny_checkpoint: Path) -> None:
    assert len(resolve(tiny_checkpoint).digest) == 64


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no model directory at .*/nothing"):
        resolve(tmp_path / "nothing")


def test_a_word_that_is_no_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="no model at 'qwen'"):
        resolve("qwen")


def test_a_directory_without_configuration_is_refused(broken: Path) -> None:
    (broken / "config.json").unlink()
    with pytest.raises(ArtifactError, match="has no config.json"):
        resolve(broken)


@pytest.mark.parametrize("cut_bytes", [1, 1000, 10**9])
def test_truncated_weights_are_refused(broken: Path, cut_bytes: int) -> None:
    weights = broken / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: max(4, len(data) - cut_bytes)])
    with pytest.raises(ArtifactError, match="truncated"):
        resolve(broken)


def test_missing_weights_are_named(broken: Path) -> None:
    (broken / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="has no model.safetensors"):
        resolve(broken)


def test_an_encoder_is_refused_with_the_list_of_decoders(broken: Path) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(UnsupportedModel, match="'bert' model; supported decoders: qwen2"):
        model_shape(broken)
