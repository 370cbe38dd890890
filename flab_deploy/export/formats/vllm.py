"""The `vllm` format: the portable checkpoint itself, whose logits are the source's bit for bit."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

from flab_deploy.decoder import load_model, weights_dtype
from flab_deploy.export.job import ExportFormat, ExportJob, Opened
from flab_deploy.records.export import ExportRecord
from flab_deploy.reopen import reopen

logger = logging.getLogger(__name__)


def _write(job: ExportJob, out: Path) -> Opened:
    """Open the checkpoint; the stage has written it, because every format is made from it."""
    logger.info("export: reopening the vLLM checkpoint in a fresh process")
    return reopen(Path(sys.executable), out, job.inputs)


def _prove(job: ExportJob, out: Path, opened: Opened, found: ExportRecord) -> ExportRecord:
    from flab_deploy.export.parity import checkpoint_parity

    model = load_model(job.source, weights_dtype(out))
    return replace(found, vllm=checkpoint_parity(model, job.inputs, *opened))


FORMAT = ExportFormat(engine=None, write=_write, prove=_prove)
