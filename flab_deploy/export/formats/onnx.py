"""The `onnx` format: a float32 model for ONNX Runtime, exported by optimum in its engine, completed
and compared here.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

from flab_deploy.artifacts import write_json
from flab_deploy.checkpoint import read_config
from flab_deploy.decoder import choose_device, load_model
from flab_deploy.engines import python_of
from flab_deploy.errors import ExportError, first_line
from flab_deploy.export.job import ExportFormat, ExportJob, Opened
from flab_deploy.export.portable import TOKENIZER_FILES
from flab_deploy.records.export import ExportRecord, OnnxParity
from flab_deploy.reopen import reopen

logger = logging.getLogger(__name__)
MODEL_FILE = "model.onnx"


def _write(job: ExportJob, out: Path) -> Opened:
    from flab_deploy.export.parity import check_tokens

    python = python_of("optimum")
    logger.info("export: optimum exports the checkpoint to ONNX")
    opened = reopen(python, job.portable, job.inputs, "--dtype", "float32", "--onnx", str(out))
    check_tokens(job.inputs, opened[0])
    complete_onnx(job.portable, out)
    return opened


def complete_onnx(checkpoint: Path, folder: Path) -> None:
    """Give optimum's output the tokenizer and settings of `checkpoint`, and check the graph.

    optimum copies only tokenizer files that its own transformers writes. Files it should not have
    made are removed. Raises ExportError if the graph is missing or invalid.
    """
    import onnx

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
    config = read_config(checkpoint) | {"dtype": "float32", "torch_dtype": "float32"}
    write_json(folder / "config.json", config)
    try:
        onnx.checker.check_model(str(folder / MODEL_FILE))
    except onnx.checker.ValidationError as error:
        raise ExportError(f"optimum wrote an invalid {MODEL_FILE} ({first_line(error)})") from None


def opset(folder: Path) -> int:
    """The opset of the standard operators that the graph uses."""
    import onnx

    model = onnx.load(str(folder / MODEL_FILE), load_external_data=False)
    return max(
        int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")
    )


def _prove(job: ExportJob, out: Path, opened: Opened, found: ExportRecord) -> ExportRecord:
    return replace(found, onnx=_parity(job, out, opened))


def _parity(job: ExportJob, out: Path, opened: Opened) -> OnnxParity:
    import onnxruntime
    import torch

    from flab_deploy.export.onnx_decoder import OnnxDecoder
    from flab_deploy.export.parity import onnx_parity, other_version_parity

    logger.info("export: comparing ONNX Runtime with PyTorch")
    decoder = OnnxDecoder(out / MODEL_FILE, torch.get_num_threads())
    model = load_model(job.source, torch.float32, choose_device(job.config.device))
    bound = job.config.max_abs_logit_difference
    answers, last_logits = opened
    theirs = answers.versions
    worst = other_version_parity(model, job.inputs, last_logits, theirs["transformers"], bound)
    compared = onnx_parity(model, decoder, job.inputs, job.config.num_new_tokens, bound)
    return OnnxParity(
        **vars(compared),
        exporter_max_abs_logit_difference=worst,
        opset=opset(out),
        onnxruntime_version=str(onnxruntime.__version__),
        optimum_version=theirs["optimum"],
        optimum_onnx_version=theirs["optimum-onnx"],
        transformers_version=theirs["transformers"],
    )


FORMAT = ExportFormat(engine="optimum", write=_write, prove=_prove)
