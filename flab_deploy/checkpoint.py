"""Naming a model: a local directory, a hub id with an optional revision, or `reference`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from flab_deploy.artifacts import MANIFEST, read_json, tree_digest
from flab_deploy.errors import ArtifactError, ConfigError, first_line
from flab_deploy.known_digests import known_digest

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_METADATA = "__metadata__"
# A card may be reworded without making another model.
_OUTSIDE_DIGEST = frozenset({MANIFEST, "README.md"})
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja"]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A Hugging Face checkpoint directory and the digest of its files."""

    path: Path
    digest: str
    """SHA-256 over the sorted relative paths and SHA-256 digests of its files, card and manifest
    aside.
    """


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor as it lies in a safetensors file."""

    name: str
    dtype: str
    """safetensors' name of the number format, such as BF16."""
    shape: tuple[int, ...]
    offset: int
    """Where its bytes start in the file."""
    num_bytes: int


def reference_path() -> Path:
    """Directory of the embedded reference model."""
    return Path(str(files("flab_deploy.reference").joinpath("model")))


def resolve(model: str | Path) -> Checkpoint:
    """The checkpoint that `model` names: a directory, `reference`, or a hub id such as
    `org/name@revision`.

    Raises ArtifactError for a path that is missing or damaged, ConfigError for a name that is
    neither.
    """
    text = str(model)
    if text == "reference":
        path = reference_path()
    elif Path(text).exists() or text.startswith(("/", "./", "../", "~")):
        path = Path(text).expanduser().absolute()  # processes started with it may run elsewhere
    elif text.count("/") == 1:
        path = _download(text)
    else:
        raise ConfigError(
            f"no model at {text!r}; give a directory, a hub id such as org/name, or 'reference'"
        )
    check_files(path)
    return Checkpoint(
        path=path, digest=tree_digest(path, exclude=_OUTSIDE_DIGEST, digest_of=known_digest)
    )


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=_HUB_FILES)
        )
    except Exception as error:  # the hub client raises many unrelated types
        raise ArtifactError(
            f"cannot get {name!r} from the hub ({first_line(error)}); give a local directory "
            "instead"
        ) from None


def read_config(path: Path) -> dict[str, Any]:
    """The checkpoint's `config.json`. Raises ArtifactError if it is missing or damaged."""
    if not path.is_dir():
        raise ArtifactError(
            f"no model directory at {path}; give a directory with config.json and safetensors "
            "weights"
        )
    try:
        found: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} has no config.json; give a Hugging Face checkpoint directory"
        ) from None
    except ValueError as error:
        raise ArtifactError(
            f"{path / 'config.json'} is not valid JSON ({error}); download it again"
        ) from None
    return found


def _weight_map(path: Path) -> dict[str, str] | None:
    """Tensor name to file name, from the index of a checkpoint in several files; None if there is
    no index.
    """
    if not (path / INDEX).is_file():
        return None
    index = read_json(path / INDEX)
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found:
        raise ArtifactError(f"{path / INDEX} has no weight_map; download it again")
    names = {str(file) for file in found.values()}
    outside = sorted(name for name in names if Path(name).name != name)
    if outside:
        raise ArtifactError(
            f"{path / INDEX} points outside its directory ({outside[0]!r}); download it again"
        )
    return {name: str(file) for name, file in found.items()}


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in order. Raises ArtifactError if one is missing."""
    weight_map = _weight_map(path)
    names = [WEIGHTS] if weight_map is None else sorted(set(weight_map.values()))
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise ArtifactError(
            f"{path} has no {missing[0]}; flab-deploy reads safetensors weights only"
        )
    return [path / name for name in names]


def check_files(path: Path) -> None:
    """Raise ArtifactError unless the checkpoint has a configuration and whole files that its index
    describes.
    """
    read_config(path)
    files = weight_files(path)
    stored = {file.name: {tensor.name for tensor in stored_tensors(file)} for file in files}
    weight_map = _weight_map(path)
    if weight_map is None:
        return
    extra = sorted(
        file.name for file in path.glob("model-*-of-*.safetensors") if file.name not in stored
    )
    if extra:
        raise ArtifactError(
            f"{path} has {extra[0]}, which its index does not name; remove it or download again"
        )
    for name, file in weight_map.items():
        if name not in stored[file]:
            raise ArtifactError(
                f"{path / file} lacks {name}, which the index places there; download it again"
            )
    for file, names in stored.items():
        unlisted = sorted(name for name in names if weight_map.get(name) != file)
        if unlisted:
            raise ArtifactError(
                f"{path / file} has {unlisted[0]}, which the index does not place there; "
                "download it again"
            )


def stored_tensors(file: Path) -> list[StoredTensor]:
    """The tensors of a safetensors file in the order of their bytes. Raises ArtifactError if it is
    damaged.
    """
    header, start = _header(file)
    try:
        tensors = [
            _stored(name, entry, start) for name, entry in header.items() if name != _METADATA
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{file} has a damaged header; download it again") from None
    tensors.sort(key=lambda tensor: tensor.offset)
    size = file.stat().st_size
    needed = max((tensor.offset + tensor.num_bytes for tensor in tensors), default=start)
    if size != needed:
        raise ArtifactError(
            f"{file} is truncated ({size} bytes, its header says {needed}); download it again"
        )
    return tensors


def stored_metadata(file: Path) -> dict[str, str]:
    """What a safetensors file says of itself. Raises ArtifactError if it is damaged."""
    found = _header(file)[0].get(_METADATA, {})
    return {str(name): str(value) for name, value in found.items()}


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where it ends."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if size < 8 or header_bytes > size - 8:
            raise ArtifactError(
                f"{file} is truncated ({size} bytes, its header alone needs {header_bytes + 8}); "
                "download it again"
            )
        try:
            header = json.loads(stream.read(header_bytes))
        except ValueError:
            header = None
    if not isinstance(header, dict):
        raise ArtifactError(f"{file} has a damaged header; download it again")
    return header, 8 + header_bytes


def _stored(name: str, entry: dict[str, Any], start: int) -> StoredTensor:
    first, end = entry["data_offsets"]
    return StoredTensor(
        name=name,
        dtype=str(entry["dtype"]),
        shape=tuple(entry["shape"]),
        offset=start + first,
        num_bytes=end - first,
    )
