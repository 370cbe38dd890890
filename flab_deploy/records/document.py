"""Reading and writing records: what is missing, misspelt or of another type is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from flab_deploy.artifacts import Json, write_json
from flab_deploy.errors import ArtifactError

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)
"""How records are read; other classes that stand in one may need it said."""
_VERSION = "schema_version"
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


@dataclass_transform(kw_only_default=True, frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """A frozen dataclass that is read strictly: no unknown field, no other type, no NaN."""
    cls.__pydantic_config__ = STRICT  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


def _adapter(cls: Any) -> TypeAdapter[Any]:
    """What pydantic knows of a record; made once, for that takes milliseconds."""
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def version_of(cls: type[object]) -> int | None:
    """The schema version of a record that is a file of its own, None for a part of one."""
    names = {field.name for field in fields(cls)} if is_dataclass(cls) else set()
    return int(get_args(get_type_hints(cls)[_VERSION])[0]) if _VERSION in names else None


def read_record(cls: type[T], path: Path) -> T:
    """The record in the JSON file at `path`.

    Raises ArtifactError that names the file and the field if the file is missing or damaged, was
    written with another schema version, or has a field too many, too few or of another type.
    """
    return parse_record(cls, _text_of(path), str(path))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ArtifactError(f"{path} is not UTF-8; make it again") from None


def parse_record(cls: type[T], text: str, where: str) -> T:
    """The record in a JSON text that stands at `where`. Raises ArtifactError as `read_record`."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArtifactError(f"{where} is not valid JSON ({error}); make it again") from None
    _check_version(cls, value, where)
    try:
        found: T = _adapter(cls).validate_json(text)
    except ValidationError as error:
        raise ArtifactError(f"{where}: {_first_fault(error)}; make it again") from None
    return found


def record_of(cls: type[T], value: Json, where: str) -> T:
    """The record in a JSON value that was read already. Raises ArtifactError as `read_record`."""
    return parse_record(cls, json.dumps(value), where)


def write_record(path: Path, found: object) -> None:
    """Write a record as the JSON document at `path`."""
    write_json(path, as_json(found))


def read_lines(cls: type[T], path: Path) -> list[T]:
    """The records in the JSON-lines file at `path`. Raises ArtifactError as `read_record`."""
    return [
        parse_record(cls, line, f"{path}:{number}")
        for number, line in enumerate(_text_of(path).split("\n"), start=1)
        if line
    ]


def write_lines(path: Path, found: Iterable[object]) -> None:
    """Write records as the JSON-lines file at `path`."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(as_json(one), allow_nan=False) + "\n" for one in found)


def as_json(found: object) -> dict[str, Json]:
    """A record as a JSON object, in the order of its fields."""
    value: dict[str, Json] = _adapter(type(found)).dump_python(found, mode="json")
    return value


def schema_of(cls: type[object]) -> dict[str, Any]:
    """The JSON schema of a record."""
    found: dict[str, Any] = _adapter(cls).json_schema(mode="serialization")
    return found


def _check_version(cls: type[object], value: object, where: str) -> None:
    wanted = version_of(cls)
    if wanted is None or not isinstance(value, dict):
        return
    found = value.get(_VERSION)
    if found is None:
        raise ArtifactError(
            f"{where} has no {_VERSION}: it was written by a version before this one, which reads "
            f"{wanted}; make it again"
        )
    if found != wanted:
        raise ArtifactError(
            f"{where} has {_VERSION} {found!r}, this version reads {wanted}; make it again"
        )


def _first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, with the name of its field.

    A field too many is named before one too few: together they are a misspelling.
    """
    faults = error.errors(include_url=False)
    ordered = sorted(faults, key=lambda fault: fault["type"] not in ("extra_forbidden", "missing"))
    first = ordered[0]
    name = _dotted(first["loc"])
    missing = [_dotted(f["loc"]) for f in ordered if f["type"] == "missing"]
    unknown = [
        _dotted(f["loc"])
        for f in ordered
        if f["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    ]
    if missing and unknown:
        return f"has {unknown[0]!r} where {missing[0]!r} is expected"
    if missing:
        return f"has no field {missing[0]!r}"
    if unknown:
        return f"has a field {unknown[0]!r} that is not known"
    return f"field {name!r} is {_short(first['input'])}: {first['msg'].lower()}"


def _dotted(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location) or "the document"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
