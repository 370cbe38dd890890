"""Records: programming tasks to judge a model by, and instructions to train it on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from flab_deploy.errors import ArtifactError, ConfigError

TaskKind = Literal[
    "function_synthesis", "output_prediction", "chain_of_thought", "input_prediction", "secure_code"
]
TASK_KINDS: tuple[TaskKind, ...] = ("function_synthesis", "output_prediction", "chain_of_thought")
"""Kinds that the reference tasks have."""
ALL_TASK_KINDS: tuple[TaskKind, ...] = (*TASK_KINDS, "input_prediction", "secure_code")
"""Kinds that an evaluation knows."""
TASK_LABELS: Mapping[str, str] = {
    "function_synthesis": "writing functions",
    "output_prediction": "predicting outputs",
    "input_prediction": "predicting inputs",
    "chain_of_thought": "planning, then writing",
    "secure_code": "writing code without known weaknesses",
}
"""Task kinds in a reader's words, in the order of reports."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One problem in HumanEval's format, with the kind of answer it asks for."""

    task_id: str
    """Unique within its file."""
    kind: TaskKind
    """What is asked for: a function body, a value, a plan in words and then the code, arguments, or
    safe code.
    """
    prompt: str
    """Text the model continues; it ends where a token ends, never in white space."""
    canonical_solution: str
    """A continuation that is right; empty where safe code is asked for, since none is given."""
    test: str
    """`def check(candidate): ...`; the function's value as a literal where a value or arguments are
    asked for.

    Where safe code is asked for, a program with the weakness that must be avoided, so that the
    rules can be checked.
    """
    entry_point: str
    """Name of the function under test; empty if safe code without a function is asked for."""
    composition: str = ""
    """Steps the task is composed of; tasks of one composition are one cluster in statistics."""


PromptForm = Literal["code", "words"]


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One training example; the loss is on `completion` alone."""

    prompt: str
    """What is given."""
    completion: str
    """What is to be learnt, without the end-of-text token."""
    prompt_form: PromptForm = "code"
    """Whether the prompt is code that the completion goes on with, or words that it answers."""


Record = TypeVar("Record", bound=Task | Instruction)


def load_records(path: Path, record: type[Record]) -> list[Record]:
    """Records of a JSON-lines file, in file order; unknown fields are ignored.

    Raises ArtifactError if the file is missing, ConfigError naming file and line if a line is
    not a JSON object, lacks a field, or holds a value that is not text.
    """
    if not path.is_file():
        raise ArtifactError(f"no corpus at {path}; give a JSON-lines file")
    required = [f.name for f in fields(record) if f.default is MISSING]
    names = {f.name for f in fields(record)}
    records: list[Record] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = json_object(line, f"{path}:{number}")
            missing = [name for name in required if not isinstance(row.get(name), str)]
            if missing:
                raise ConfigError(f"{path}:{number}: field {missing[0]!r} is missing or not text")
            records.append(record(**{name: value for name, value in row.items() if name in names}))
    if not records:
        raise ConfigError(f"{path} holds no records; give at least one JSON line")
    return records


def json_object(line: str, where: str) -> dict[str, Any]:
    """The JSON object on one line of a file. Raises ConfigError, beginning with `where`, if there
    is none.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise ConfigError(f"{where}: not valid JSON ({reason}); fix or remove that line") from None
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row


def save_records(path: Path, records: Iterable[Task] | Iterable[Instruction]) -> None:
    """Write records as JSON lines, keys in field order, so that equal records give equal bytes."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for item in records:
            out.write(_line(item) + "\n")


def corpus_digest(records: Sequence[Task] | Sequence[Instruction]) -> str:
    """SHA-256 over the records' content and order, as hexadecimal text."""
    total = hashlib.sha256()
    for item in records:
        total.update(_line(item).encode())
        total.update(b"\n")
    return total.hexdigest()


def _line(item: Task | Instruction) -> str:
    """The record as JSON; that a prompt is code, as nearly all are, is not said."""
    found = asdict(item)
    if found.get("prompt_form") == "code":
        del found["prompt_form"]
    return json.dumps(found, ensure_ascii=False)
