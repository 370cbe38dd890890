"""The export stage: a checkpoint in, `vllm/`, `onnx/` and their measured parity out."""

from __future__ import annotations

import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import cast

from flab_deploy.artifacts import Artifact, Draft, Json, file_digest, run_stage, write_json
from flab_deploy.checkpoint import read_config, resolve
from flab_deploy.export.inputs import ParityInputs, parity_inputs
from flab_deploy.reopen import reopen
from flab_deploy.settings.export import ExportConfig

logger = logging.getLogger(__name__)

PARITY = "parity.json"


def export(
    model: str | Path, out: Path, config: ExportConfig | None = None, *, force: bool = False
) -> Artifact:
    """The export of `model` at `out`: `vllm/`, `onnx/` as `config.formats` asks, and `parity.json`.

    The figures hold the SHA-256 of every file under `files`. Parity depends on the machine and
    stays outside the digest. Raises ExportError if a special id is wrong or a figure is out of its
    bound; nothing is written then.
    """
    config = config or ExportConfig()
    checkpoint = resolve(model)

    def work(draft: Draft) -> None:
        parity = _export(checkpoint.path, draft.path, config)
        files = sorted(path for path in draft.path.rglob("*") if path.is_file())
        draft.figures["files"] = {
            path.relative_to(draft.path).as_posix(): file_digest(path) for path in files
        }
        write_json(draft.path / PARITY, parity)

    return run_stage(
        out,
        kind="export",
        module=__name__,
        parents={"model": checkpoint.digest},
        config=cast("dict[str, Json]", asdict(config)),
        work=work,
        measurements=(PARITY,),
        force=force,
    )


def _export(source: Path, out: Path, config: ExportConfig) -> dict[str, Json]:
    import torch

    from flab_deploy.decoder import load_model
    from flab_deploy.export.parity import checkpoint_parity
    from flab_deploy.export.vllm import write_checkpoint

    parity: dict[str, Json] = {}
    with tempfile.TemporaryDirectory(prefix="flab-export-") as scratch:
        folder = Path(scratch)
        checkpoint = (out if "vllm" in config.formats else folder) / "vllm"
        write_checkpoint(source, checkpoint)
        model = load_model(source, getattr(torch, str(read_config(checkpoint)["dtype"])))
        inputs = parity_inputs(
            source, config.num_prompts, model.config.max_position_embeddings, config.num_new_tokens
        )
        inputs.save(folder / "inputs.json")
        if "vllm" in config.formats:
            logger.info("export: reopening the vLLM checkpoint in a fresh process")
            answers, last_logits = reopen(Path(sys.executable), checkpoint, folder)
            parity["vllm"] = checkpoint_parity(model, inputs, answers, last_logits)
        if "onnx" in config.formats:
            del model
            parity["onnx"] = _export_onnx(source, checkpoint, out / "onnx", inputs, folder, config)
    return parity


def _export_onnx(
    source: Path,
    checkpoint: Path,
    out: Path,
    inputs: ParityInputs,
    scratch: Path,
    config: ExportConfig,
) -> dict[str, Json]:
    import onnxruntime
    import torch

    from flab_deploy.decoder import load_model
    from flab_deploy.engines import python_of
    from flab_deploy.export.onnx import MODEL_FILE, complete_onnx, opset
    from flab_deploy.export.onnx_decoder import OnnxDecoder
    from flab_deploy.export.parity import check_tokens, onnx_parity, other_version_parity

    python = python_of("optimum")
    logger.info("export: optimum exports the checkpoint to ONNX")
    answers, last_logits = reopen(
        python, checkpoint, scratch, "--dtype", "float32", "--onnx", str(out)
    )
    check_tokens(inputs, answers)
    complete_onnx(checkpoint, out)
    logger.info("export: comparing ONNX Runtime with PyTorch")
    decoder = OnnxDecoder(out / MODEL_FILE, torch.get_num_threads())
    model = load_model(source, torch.float32)
    bound = config.max_abs_logit_difference
    found = cast("dict[str, str]", answers["versions"])
    worst = other_version_parity(model, inputs, last_logits, found["transformers"], bound)
    return {
        **onnx_parity(model, decoder, inputs, config.num_new_tokens, bound),
        "exporter_max_abs_logit_difference": worst,
        "opset": opset(out),
        "onnxruntime_version": str(onnxruntime.__version__),
        "optimum_version": found["optimum"],
        "optimum_onnx_version": found["optimum-onnx"],
        "transformers_version": found["transformers"],
    }
