"""The file that mined instructions are kept in: whole or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from flab_deploy.artifacts import file_digest
from flab_deploy.corpus import save_records
from flab_deploy.errors import ArtifactError
from flab_deploy.mining.found import Mined

_FIELDS = {"prompt", "completion", "source"}


def write_corpus(path: Path, records: Sequence[Mined]) -> str:
    """Write instructions as JSON lines in place of what was at `path`, and give the file's SHA-256.

    Raises ArtifactError if the file cannot be written.
    """
    temporary = path.parent / f".{path.name}.tmp-{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_records(temporary, records)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        digest = file_digest(temporary)
        temporary.replace(path)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # it was renamed, or never made
            temporary.unlink()
    return digest


def check_free(path: Path, *, force: bool) -> None:
    """Raise ArtifactError if something else than mined instructions lies at `path`, unless it may
    be replaced by `force`; a directory never is.
    """
    if path.is_dir():
        raise ArtifactError(f"{path} is a directory; name a file for --out")
    if path.exists() and not force and not _is_corpus(path):
        raise ArtifactError(
            f"{path} already exists and is no mined corpus; choose another --out or add --force"
        )


def _is_corpus(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as lines:
            return set(json.loads(next(lines))) == _FIELDS
    except (OSError, ValueError, StopIteration, TypeError):
        return False
