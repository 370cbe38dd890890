"""SHA-256 digests of large files, remembered while the files stay as they are.

Every stage names its inputs by digest. Reading a checkpoint of many gigabytes for that again and
again would cost more than some stages, so a digest is kept with the file's size, inode and times.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from flab_deploy.artifacts import file_digest
from flab_deploy.home import flab_home

_LARGE_BYTES = 64 << 20
# A file changed this recently could change again within one tick of the file system's clock.
_SETTLED_S = 2.0
_FOLDER = "digests"


def known_digest(file: Path) -> str:
    """SHA-256 of `file` as hexadecimal text, from memory if it is large and unchanged since it was
    last read.
    """
    found = file.stat()
    if found.st_size < _LARGE_BYTES:
        return file_digest(file)
    state = [found.st_size, found.st_ino, found.st_dev, found.st_mtime_ns, found.st_ctime_ns]
    entry = flab_home() / _FOLDER / f"{found.st_dev:x}-{found.st_ino:x}.json"
    try:
        remembered = json.loads(entry.read_text(encoding="utf-8"))
        if remembered["state"] == state:
            return str(remembered["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = file_digest(file)
    after = file.stat()
    unchanged = (after.st_mtime_ns, after.st_ctime_ns) == (found.st_mtime_ns, found.st_ctime_ns)
    if unchanged and time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED_S:
        _remember(entry, {"state": state, "sha256": digest})
    return digest


def _remember(entry: Path, value: dict[str, object]) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(entry)
    except OSError:
        return  # a home that cannot be written only costs time
