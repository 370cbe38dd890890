"""Rows of a task file or hub data set, each with where it stands. Nothing that comes with the data
is executed.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from flab_deploy.artifacts import file_digest
from flab_deploy.corpus import json_object
from flab_deploy.errors import ArtifactError, ConfigError, first_line

HUB = "hub:"
_HUB_NAME = re.compile(
    r"hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(#(?P<config>[\w.-]+)(/(?P<split>\w+))?)?"
)
_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".parquet")
_MOST_BYTES = 1 << 30
Row = dict[str, Any]


def rows(source: str) -> Iterator[tuple[str, Row]]:
    """`(where, row)` for each row of a `.jsonl`, `.jsonl.gz`, `.json` or `.parquet` file, or of
    `hub:ORG/NAME`.

    A hub name may go on with `@REVISION` and `#CONFIG/SPLIT`; the split is `test` unless given.
    Raises ArtifactError if the source is missing, ConfigError naming file and line for what cannot
    be read.
    """
    if source.startswith(HUB):
        return _hub_rows(source)
    path = _file(source)
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return _line_rows(path)
    if path.suffix == ".json":
        return _document_rows(path)
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    raise ConfigError(
        f"{path.name}: unknown ending; give a file that ends in one of {', '.join(_ENDINGS)}"
    )


def digest_of(source: str) -> str:
    """What identifies the rows: a file's SHA-256, or the commit of a hub data set. Raises
    ArtifactError if missing.
    """
    if source.startswith(HUB):
        return f"{_hub_parts(source)['name']}@{_hub_commit(source)}"
    return file_digest(_file(source))


def _file(source: str) -> Path:
    path = Path(source)
    if not path.is_file():
        raise ArtifactError(
            f"no tasks at {path}; give a file of tasks, hub:ORG/NAME, or 'reference'"
        )
    return path


def name_of(source: str) -> str:
    """A short name for reports: the file's without its endings, or the data set's."""
    if source.startswith(HUB):
        return str(_hub_parts(source)["name"])
    return Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]


def _line_rows(path: Path) -> Iterator[tuple[str, Row]]:
    read = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        numbered = enumerate(lines, start=1)
        while True:
            try:
                number, line = next(numbered)
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                raise ArtifactError(f"{path} cannot be read ({error}); download it again") from None
            read += len(line)
            if read > _MOST_BYTES:
                raise ConfigError(
                    f"{path}:{number}: more than {_MOST_BYTES >> 30} GiB of tasks; give fewer"
                )
            if line.strip():
                where = f"{path}:{number}"
                yield where, _object(line, where)


def _object(line: bytes, where: str) -> Row:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: not UTF-8; save the file as UTF-8") from None
    return json_object(text, where)


def _document_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON ({str(error)[:80]}); fix it") from None
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise ConfigError(
            f"{path}: expected a JSON list of objects; give JSON lines or such a list"
        )
    yield from _numbered(document, str(path))


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError(
            f"{path} needs the package pyarrow; install it, or give JSON lines"
        ) from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({first_line(error)}); download it again"
        ) from None
    yield from _numbered(cast("list[Row]", table.to_pylist()), str(path))


def _numbered(found: Iterable[Row], name: str) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(found, start=1):
        yield f"{name}:{number}", row


def _hub_parts(source: str) -> dict[str, str | None]:
    found = _HUB_NAME.fullmatch(source)
    if found is None:
        raise ConfigError(
            f"{source!r} names no data set; write hub:ORG/NAME, or "
            "hub:ORG/NAME@REVISION#CONFIG/SPLIT"
        )
    return found.groupdict()


@cache
def _hub_commit(source: str) -> str:
    from huggingface_hub import HfApi

    parts = _hub_parts(source)
    try:
        return str(HfApi().dataset_info(str(parts["name"]), revision=parts["revision"]).sha)
    except Exception as error:  # the hub client raises many unrelated types
        raise ArtifactError(
            f"cannot reach {source} ({first_line(error)}); give a local file instead"
        ) from None


def _hub_rows(source: str) -> Iterator[tuple[str, Row]]:
    from datasets import load_dataset

    parts = _hub_parts(source)
    try:
        found = load_dataset(
            parts["name"],
            parts["config"],
            split=parts["split"] or "test",
            revision=_hub_commit(source),
        )
    except ArtifactError:
        raise
    except Exception as error:  # as above
        raise ArtifactError(
            f"cannot load {source} ({first_line(error)}); give a local file instead"
        ) from None
    yield from _numbered(cast("Iterable[Row]", found), source)
