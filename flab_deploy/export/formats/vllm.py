"""The `vllm` format: the portable checkpoint itself, whose logits are the source's bit for bit."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

from flab_deploy.decoder import asked_dtype, choose_device, load_model, weights_dtype
from flab_deploy.export.job import ExportFormat, ExportJob, Opened
from flab_deploy.records.export import ExportRecord
from flab_deploy.reopen import reopen

logger = logging.getLogger(__name__)


def _write(job: ExportJob, out: Path) -> Opened:
    """Open the checkpoint; the stage has written it, because every format is made from it."""
    logger.info("export: reopening the vLLM checkpoint in a fresh process")
    place = ("--device", str(choose_device(job.config.device)), "--dtype", job.config.dtype)
    return reopen(Path(sys.executable), out, job.inputs, *place)


def _prove(job: ExportJob, out: Path, opened: Opened, found: ExportRecord) -> ExportRecord:
    from flab_deploy.export.parity import checkpoint_parity

    dtype = asked_dtype(job.config.dtype, weights_dtype(out))
    model = load_model(job.source, dtype, choose_device(job.config.device))
    return replace(found, vllm=checkpoint_parity(model, job.inputs, *opened))


FORMAT = ExportFormat(engine=None, write=_write, prove=_prove)
