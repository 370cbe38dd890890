"""The ONNX model: exported by optimum in its engine, completed and checked here."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx

from flab_deploy.artifacts import read_json, write_json
from flab_deploy.errors import ExportError, first_line
from flab_deploy.export.vllm import TOKENIZER_FILES

MODEL_FILE = "model.onnx"


def complete_onnx(checkpoint: Path, folder: Path) -> None:
    """Give optimum's output the tokenizer and settings of `checkpoint`, and check the graph.

    optimum copies only tokenizer files that its own transformers writes. Files it should not have
    made are removed. Raises ExportError if the graph is missing or invalid.
    """
    if not (folder / MODEL_FILE).is_file():
        raise ExportError(
            f"optimum wrote no {MODEL_FILE}; found {sorted(path.name for path in folder.iterdir())}"
        )
    for path in folder.iterdir():
        if not path.name.startswith(MODEL_FILE):
            path.unlink()
    for name in (*TOKENIZER_FILES, "generation_config.json"):
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, folder / name)
    config = read_json(checkpoint / "config.json")
    assert isinstance(config, dict)
    write_json(folder / "config.json", {**config, "dtype": "float32", "torch_dtype": "float32"})
    try:
        onnx.checker.check_model(str(folder / MODEL_FILE))
    except onnx.checker.ValidationError as error:
        raise ExportError(f"optimum wrote an invalid {MODEL_FILE} ({first_line(error)})") from None


def opset(folder: Path) -> int:
    """The opset of the standard operators that the graph uses."""
    model = onnx.load(str(folder / MODEL_FILE), load_external_data=False)
    return max(
        int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")
    )
