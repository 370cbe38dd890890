"""How long a cut will take here and what disk it needs, from a short measurement of the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from flab_deploy.checkpoint import weight_files
from flab_deploy.records.plan import CutTimeRecord

_PROBE_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20


def measure_cut_time(source: Path, target: Path, disk_bytes: int) -> CutTimeRecord:
    """Copy up to 64 MiB of the weights at `source` to a temporary file beside or in `target`, and
    scale up.
    """
    files = weight_files(source)
    total = sum(file.stat().st_size for file in files)
    copied, seconds = _copy_some(files[0], target)
    speed = copied / max(seconds, 1e-6)
    return CutTimeRecord(
        schema_version=1,
        disk_bytes=disk_bytes,
        free_bytes=shutil.disk_usage(target).free,
        copy_bytes_per_s=round(speed),
        seconds=round((total + disk_bytes) / 2 / speed, 3),
    )


def _copy_some(file: Path, folder: Path) -> tuple[int, float]:
    copied, started = 0, time.perf_counter()
    with file.open("rb") as source, tempfile.TemporaryFile(dir=folder) as target:
        while copied < _PROBE_BYTES and (block := source.read(_BLOCK_BYTES)):
            target.write(block)
            copied += len(block)
        target.flush()
        os.fsync(target.fileno())
    return copied, time.perf_counter() - started
