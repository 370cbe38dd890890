"""The export stage: a checkpoint in, `vllm/`, `onnx/` and their measured parity out."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, file_digest, run_stage
from flab_deploy.checkpoint import resolve
from flab_deploy.decoder import choose_device
from flab_deploy.export.formats import FORMATS
from flab_deploy.export.inputs import parity_inputs
from flab_deploy.export.job import ExportJob
from flab_deploy.export.portable import write_checkpoint
from flab_deploy.records.document import as_json, write_record
from flab_deploy.records.export import PARITY_FILE, ExportFigures, ExportRecord
from flab_deploy.settings.export import ExportConfig


def export(
    model: str | Path, out: Path, config: ExportConfig | None = None, *, force: bool = False
) -> Artifact:
    """The export of `model` at `out`: `vllm/`, `onnx/` as `config.formats` asks, and `parity.json`.

    The figures hold the SHA-256 of every file under `files`. Parity depends on the machine and
    stays outside the digest. Raises ConfigError for a device that is not there, ExportError if a
    special id is wrong or a figure is out of its bound; nothing is written then.
    """
    config = config or ExportConfig()
    choose_device(config.device)
    checkpoint = resolve(model)

    def work(draft: Draft) -> None:
        parity = _export(checkpoint.path, draft.path, config)
        files = sorted(path for path in draft.path.rglob("*") if path.is_file())
        digests = {path.relative_to(draft.path).as_posix(): file_digest(path) for path in files}
        draft.figures |= as_json(ExportFigures(files=digests))
        write_record(draft.path / PARITY_FILE, parity)

    return run_stage(
        out,
        kind="export",
        module=__name__,
        parents={"model": checkpoint.digest},
        config=asdict(config),
        work=work,
        measurements=(PARITY_FILE,),
        force=force,
    )


def _export(source: Path, out: Path, config: ExportConfig) -> ExportRecord:
    from transformers import AutoConfig

    parity = ExportRecord(schema_version=1, vllm=None, onnx=None)
    with tempfile.TemporaryDirectory(prefix="flab-export-") as scratch:
        portable = (out if "vllm" in config.formats else Path(scratch)) / "vllm"
        write_checkpoint(source, portable)
        context = AutoConfig.from_pretrained(portable).max_position_embeddings
        inputs = parity_inputs(source, config.num_prompts, context, config.num_new_tokens)
        job = ExportJob(source=source, portable=portable, inputs=inputs, config=config)
        for name, form in FORMATS.items():
            if name in config.formats:
                opened = form.write(job, out / name)
                parity = form.prove(job, out / name, opened, parity)
    return parity
