"""Artifacts: directories that are complete or do not exist, and know where they came from.

A stage writes to a temporary sibling, describes the result in `manifest.json`, syncs it to
disk and renames it. A stage whose inputs, configuration and code are unchanged is skipped.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeAlias, cast

from flab_deploy.errors import ArtifactError

logger = logging.getLogger(__name__)

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
MANIFEST = "manifest.json"
_OWN_PACKAGES = ("flab_deploy", "serving", "flows")
_VERSIONED = (
    "flab-deploy",
    "torch",
    "transformers",
    "tokenizers",
    "onnx",
    "onnxruntime",
    "prefect",
)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished artifact: a directory with a manifest."""

    path: Path
    kind: str
    digest: str
    """SHA-256 over the sorted relative paths and SHA-256 digests of its files, the manifest and
    measurements aside.
    """
    manifest: dict[str, Json] = field(repr=False, compare=False)

    @property
    def figures(self) -> dict[str, Json]:
        """What the stage measured."""
        return cast("dict[str, Json]", self.manifest["figures"])


@dataclass(kw_only=True)
class Draft:
    """An artifact being written: put files into `path` and measurements into `figures`."""

    path: Path
    figures: dict[str, Json] = field(default_factory=dict)
    """Deterministic results; part of the manifest, not of the digest."""
    digests: dict[Path, str] = field(default_factory=dict)
    """SHA-256 of files that were hashed while they were written, so that they need not be read
    again.
    """

    def digest_of(self, file: Path) -> str:
        """SHA-256 of a file of this artifact."""
        return self.digests.get(file) or file_digest(file)


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_digest(
    folder: Path,
    *,
    exclude: frozenset[str] = frozenset({MANIFEST}),
    digest_of: Callable[[Path], str] = file_digest,
) -> str:
    """SHA-256 over sorted (relative path, file digest) pairs; names in `exclude` and cache folders
    are left out.
    """
    total = hashlib.sha256()
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    for name in files:
        if Path(name).name in exclude or "__pycache__" in name:
            continue
        total.update(f"{name}\0{digest_of(folder / name)}\n".encode())
    return total.hexdigest()


def json_digest(value: object) -> str:
    """SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write a JSON document; NaN and infinity are refused because JSON has neither."""
    path.write_text(
        json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def read_json(path: Path) -> Json:
    """Read a JSON document. Raises ArtifactError if it is missing or damaged."""
    try:
        return cast("Json", json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON ({error}); make it again") from None


@cache
def code_digest(module: str) -> str:
    """SHA-256 over the sources of a module and of every module of this project that it imports,
    directly or not; of a package that imports by name, over all its modules.
    """
    pending, sources = [module], {}
    while pending:
        name = pending.pop()
        spec = find_spec(name) if name not in sources else None
        if spec is None or spec.origin is None:
            continue
        source = Path(spec.origin).read_bytes()
        sources[name] = hashlib.sha256(source).hexdigest()
        pending += [found for found in _imports(source) if found.split(".")[0] in _OWN_PACKAGES]
        folders = spec.submodule_search_locations
        if folders and b"import_module(" in source:
            pending += [f"{name}.{sibling.name}" for sibling in iter_modules(folders)]
    return json_digest(sources)


def _imports(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for alias in node.names:
                child = f"{node.module}.{alias.name}"
                if node.module.split(".")[0] in _OWN_PACKAGES and _is_module(child):
                    yield child


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on; packages that are not installed are left
    out.
    """
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def open_artifact(path: Path, kind: str | None = None) -> Artifact:
    """The finished artifact at `path`. Raises ArtifactError if there is none or it is of another
    kind.
    """
    if not (path / MANIFEST).is_file():
        raise ArtifactError(f"no finished artifact at {path}; run the stage that makes it")
    manifest = cast("dict[str, Json]", read_json(path / MANIFEST))
    if kind is not None and manifest.get("kind") != kind:
        raise ArtifactError(f"{path} holds a {manifest.get('kind')!r} artifact, expected {kind!r}")
    return Artifact(
        path=path, kind=str(manifest["kind"]), digest=str(manifest["digest"]), manifest=manifest
    )


def check_digest(artifact: Artifact) -> None:
    """Raise ArtifactError unless the artifact's files are those its manifest describes."""
    found = tree_digest(artifact.path, exclude=_outside_digest(artifact.manifest))
    if found != artifact.digest:
        raise ArtifactError(
            f"{artifact.path} was changed after it was made (digest {found[:12]}, manifest "
            f"{artifact.digest[:12]})"
        )


def _outside_digest(manifest: Mapping[str, Json]) -> frozenset[str]:
    return frozenset({MANIFEST, *cast("list[str]", manifest.get("measurements", []))})


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A temporary sibling directory that takes the place of `out` if the block succeeds, and
    vanishes otherwise.

    Siblings that a killed process left behind are removed first.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in out.parent.glob(f".{out.name}.tmp-*"):
        if not _alive(stale.name.rsplit("-", 1)[1]):
            shutil.rmtree(stale, ignore_errors=True)
    temporary = out.parent / f".{out.name}.tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        _sync(temporary)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
        _sync_folder(out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def run_stage(
    out: Path,
    *,
    kind: str,
    module: str,
    parents: Mapping[str, str],
    config: Mapping[str, Json],
    work: Callable[[Draft], None],
    measurements: tuple[str, ...] = (),
    force: bool = False,
) -> Artifact:
    """The artifact at `out`, made by `work` unless it is already there for the same inputs,
    configuration and code.

    `module` is the dotted name of the stage's module, `parents` maps role to digest, and the file
    names in `measurements` hold timings that differ between runs and so stay outside the digest.
    Raises ArtifactError if `out` holds something this stage did not make and `force` is not set.
    """
    key = json_digest(
        {
            "kind": kind,
            "code": code_digest(module),
            "parents": dict(parents),
            "config": dict(config),
        }
    )
    if out.exists():
        previous = open_artifact(out).manifest if (out / MANIFEST).is_file() else None
        if previous is not None and previous.get("key") == key and not force:
            logger.info("%s: unchanged, kept %s", kind, out)
            return open_artifact(out, kind)
        if not force and (previous is None or previous.get("kind") != kind):
            raise ArtifactError(
                f"{out} already exists and is not a {kind} artifact; choose another --out or "
                "add --force"
            )
    started = time.monotonic()
    logger.info("%s: started, writing %s", kind, out)
    with replacing(out.absolute()) as temporary:  # the work may start processes elsewhere
        draft = Draft(path=temporary)
        work(draft)
        exclude = frozenset({MANIFEST, *measurements})
        digest = tree_digest(temporary, exclude=exclude, digest_of=draft.digest_of)
        manifest: dict[str, Json] = {
            "kind": kind,
            "digest": digest,
            "key": key,
            "parents": dict(parents),
            "config": dict(config),
            "versions": dict(versions()),
            "figures": draft.figures,
            "measurements": list(measurements),
            "seconds": round(time.monotonic() - started, 3),
        }
        write_json(temporary / MANIFEST, manifest)
    logger.info("%s: finished in %.1f s", kind, time.monotonic() - started)
    return open_artifact(out, kind)
