"""A result file as parsed JSON, with the place of every entry; whose it is, is still open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.artifacts import MANIFEST, json_digest
from flab_deploy.errors import ArtifactError, ConfigError

FILE_PER_PROBLEM = "*.results.json"
"""Files of a directory that holds one for each problem."""
JsonObject = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class ResultEntry:
    """One JSON object of a document."""

    where: str
    """File and line, or else file and number."""
    value: JsonObject


@dataclass(frozen=True, kw_only=True)
class ResultDocument:
    """What one path holds."""

    path: Path
    digest: str
    """SHA-256 of the file; of a directory, of its files' names and digests."""
    whole: object
    """The one JSON document of a file; None for lines and for a directory."""
    entries: tuple[ResultEntry, ...]
    """The objects of JSON lines, of a list of nothing else, or of a directory's files; a lone
    object is one too.
    """


def is_result_document(path: Path) -> bool:
    """Whether `path` is a file, or a directory with a file per problem, and not an artifact."""
    if not path.is_dir():
        return path.is_file()
    return not (path / MANIFEST).is_file() and any(path.glob(FILE_PER_PROBLEM))


def read_document(path: Path) -> ResultDocument:
    """What a file or a directory with a file per problem holds.

    Raises ArtifactError if it cannot be read, ConfigError that names file and line if it is empty,
    is not JSON, or gives a key of an object twice.
    """
    if path.is_dir():
        return _read_folder(path)
    data, text = _bytes_of(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        whole = _parsed(text, str(path))
    except json.JSONDecodeError as error:
        return ResultDocument(
            path=path, digest=digest, whole=None, entries=_lines(path, text, error)
        )
    rows = whole if isinstance(whole, list) else [whole]
    if not all(isinstance(row, dict) for row in rows):
        rows = []
    entries = tuple(
        ResultEntry(where=f"{path}: entry {number}" if len(rows) > 1 else str(path), value=row)
        for number, row in enumerate(rows, start=1)
    )
    return ResultDocument(path=path, digest=digest, whole=whole, entries=entries)


def _read_folder(path: Path) -> ResultDocument:
    found = [read_document(file) for file in sorted(path.glob(FILE_PER_PROBLEM))]
    digest = json_digest({one.path.name: one.digest for one in found})
    entries = tuple(entry for one in found for entry in one.entries)
    return ResultDocument(path=path, digest=digest, whole=None, entries=entries)


def _bytes_of(path: Path) -> tuple[bytes, str]:
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; give a harness's result file") from None
    if not text.strip():
        raise ConfigError(f"{path} is empty; evaluate the model again")
    return data, text


def _parsed(text: str, where: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"{where}: {twice!r} stands twice in one object; keep one of them")
        return found

    found: object = json.loads(text, object_pairs_hook=unique)
    return found


def _lines(path: Path, text: str, whole: json.JSONDecodeError) -> tuple[ResultEntry, ...]:
    """The objects of JSON lines; `whole` is why the text is no single document."""
    entries: list[ResultEntry] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = _parsed(line, where)
        except json.JSONDecodeError as error:
            at = where if entries else f"{path}:{whole.lineno}"
            why = error if entries else whole
            raise ConfigError(
                f"{at}: not valid JSON ({why.msg} at column {why.colno}); was the file cut short?"
            ) from None
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: not a JSON object; every line of results needs to be one")
        entries.append(ResultEntry(where=where, value=value))
    return tuple(entries)
