"""The ONNX model writes what the checkpoint writes, in batches of any size."""

from pathlib import Path

import pytest
import torch

from flab_deploy.checkpoint import reference_path
from flab_deploy.decoder import load_model, load_tokenizer
from flab_deploy.errors import ConfigError, UnsupportedModel
from flab_deploy.evaluation.writing.completion import GenerateConfig, Request
from flab_deploy.evaluation.writing.generate import encode, write
from flab_deploy.evaluation.writing.onnx_steps import OnnxSteps
from flab_deploy.evaluation.writing.torch_steps import TorchSteps
from flab_deploy.export import ExportConfig, export
from flab_deploy.reference.tasks import make_tasks


@pytest.mark.engine
def test_onnx_and_pytorch_write_the_same(tmp_path: Path) -> None:
    config = ExportConfig(formats=("onnx",), num_prompts=2, num_new_tokens=2)
    exported = export("reference", tmp_path / "export", config).path
    tokenizer = load_tokenizer(exported / "onnx")
    prompts = [task.prompt for task in make_tasks("test", "function_synthesis", 12)]
    requests = [Request(ids=ids) for ids in encode(tokenizer, prompts)]
    expected = write(
        TorchSteps(load_model(reference_path(), torch.float32)),
        tokenizer,
        requests,
        GenerateConfig(max_new_tokens=60),
    )
    for size in (1, 5, 12):
        found = write(
            OnnxSteps(exported / "onnx"),
            tokenizer,
            requests,
            GenerateConfig(batch_size=size, max_new_tokens=60),
        )
        assert [c.text for c in found] == [c.text for c in expected]


def test_what_is_no_onnx_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model.onnx"):
        OnnxSteps(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(UnsupportedModel, match="cannot open"):
        OnnxSteps(tmp_path)
