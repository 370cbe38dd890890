"""Naming a model: a local directory, a hub id with an optional revision, or `reference`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from flab_deploy.artifacts import MANIFEST, tree_digest
from flab_deploy.errors import ArtifactError, ConfigError

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# A card may be reworded without making another model.
_OUTSIDE_DIGEST = frozenset({MANIFEST, "README.md"})
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja"]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A Hugging Face checkpoint directory and the digest of its files."""

    path: Path
    digest: str
    """SHA-256 over the sorted relative paths and SHA-256 digests of its files, card and manifest aside."""


def reference_path() -> Path:
    """Directory of the embedded reference model."""
    return Path(str(files("flab_deploy.reference").joinpath("model")))


def resolve(model: str | Path) -> Checkpoint:
    """The checkpoint that `model` names: a directory, `reference`, or a hub id such as `org/name@revision`.

    Raises ArtifactError for a path that is missing or damaged, ConfigError for a name that is neither.
    """
    text = str(model)
    if text == "reference":
        path = reference_path()
    elif Path(text).exists() or text.startswith(("/", "./", "../", "~")):
        path = Path(text).expanduser().absolute()  # processes started with it may run elsewhere
    elif text.count("/") == 1:
        path = _download(text)
    else:
        raise ConfigError(f"no model at {text!r}; give a directory, a hub id such as org/name, or 'reference'")
    check_files(path)
    return Checkpoint(path=path, digest=tree_digest(path, exclude=_OUTSIDE_DIGEST))


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=_HUB_FILES))
    except Exception as error:  # the hub client raises many unrelated types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"cannot get {name!r} from the hub ({reason}); give a local directory instead") from None


def read_config(path: Path) -> dict[str, Any]:
    """The checkpoint's `config.json`. Raises ArtifactError if it is missing or damaged."""
    if not path.is_dir():
        raise ArtifactError(f"no model directory at {path}; give a directory with config.json and safetensors weights")
    try:
        return cast("dict[str, Any]", json.loads((path / "config.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ArtifactError(f"{path} has no config.json; give a Hugging Face checkpoint directory") from None
    except ValueError as error:
        raise ArtifactError(f"{path / 'config.json'} is not valid JSON ({error}); download it again") from None


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in order. Raises ArtifactError if one is missing."""
    if (path / _INDEX).is_file():
        index = json.loads((path / _INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
    else:
        names = [_WEIGHTS]
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise ArtifactError(f"{path} has no {missing[0]}; flab-deploy reads safetensors weights only")
    return [path / name for name in names]


def check_files(path: Path) -> None:
    """Raise ArtifactError unless the checkpoint has a configuration and whole safetensors files."""
    read_config(path)
    for file in weight_files(path):
        _check_whole(file)


def _check_whole(file: Path) -> None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if size < 8 or header_bytes > size - 8:
            raise ArtifactError(
                f"{file} is truncated ({size} bytes, its header alone needs {header_bytes + 8}); download it again"
            )
        try:
            header = json.loads(stream.read(header_bytes))
        except ValueError:
            raise ArtifactError(f"{file} has a damaged header; download it again") from None
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    needed = 8 + header_bytes + max(ends, default=0)
    if size != needed:
        raise ArtifactError(f"{file} is truncated ({size} bytes, its header says {needed}); download it again")
