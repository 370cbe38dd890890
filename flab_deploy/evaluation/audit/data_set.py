"""Auditing perturbed data sets: what is broken, what changed nothing, and why, item by item.

Reads JSON lines with HumanEval's fields, ReCode's releases among them. The original of an item is
looked up by `task_id` in a second file, or is in the item: as `original` (a record or a prompt), as
`original_prompt` and the like, or as ReCode's `partial`. Programs run in the sandbox alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flab_deploy.corpus import Task, json_object
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.audit.defects import (
    DEFECT_KINDS,
    change_of,
    duplicates,
    inspect,
    unwrapped,
)
from flab_deploy.evaluation.perturb.proof import checked_program
from flab_deploy.records.printed.audit import AuditedItem, AuditRecord, Defect
from flab_deploy.sandbox import Limits, Program, judge

_FIELDS = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
_SPLIT_LINE = "@@this is the line to split##"


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One line of a file."""

    line: int
    record: Mapping[str, Any]
    task: Task | None
    missing: tuple[str, ...]


def audit(
    path: Path,
    original: Path | None = None,
    limits: Limits = Limits(),
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> AuditRecord:
    """The audit of a perturbed data set, with the originals from a second file or from the items
    themselves.

    Raises ArtifactError for a missing file, ConfigError for lines that are no JSON objects or an
    empty file, SandboxError if code cannot be isolated here.
    """
    rows = _read(path)
    originals = (
        {row.task.task_id: row.task for row in _read(original) if row.task} if original else {}
    )
    pairs = [(row, _original_of(row, originals)) for row in rows]
    again = duplicates([(_identity(row), str(row.record.get("prompt", ""))) for row in rows])
    found: list[list[Defect]] = []
    for at, (row, before) in enumerate(pairs):
        defects = [
            Defect(kind="missing_field", detail=f"no text in {name!r}") for name in row.missing
        ]
        defects += [Defect(kind="duplicate", detail=again[at])] if at in again else []
        defects += inspect(row.task, before) if row.task else []
        found.append(defects)
    verdicts = _run(pairs, found, limits, workers, progress)
    items = tuple(
        AuditedItem(
            line=row.line,
            task_id=str(row.record.get("task_id", "")),
            defects=tuple(defects),
            change=change_of(row.task, before) if row.task else "unknown",
            original_verdict=verdicts.get(f"original {at}"),
        )
        for at, ((row, before), defects) in enumerate(zip(pairs, found, strict=True))
    )
    return _counted(path.name, items)


def _counted(file: str, items: tuple[AuditedItem, ...]) -> AuditRecord:
    """The audit of a file, from what was found out about its items."""
    defects = Counter(kind for item in items for kind in item.kinds)
    return AuditRecord(
        schema_version=1,
        file=file,
        num_items=len(items),
        num_defective=sum(bool(item.defects) for item in items),
        num_broken=sum(any(kind != "no_op" for kind in item.kinds) for item in items),
        num_unchanged=sum("no_op" in item.kinds for item in items),
        defects={kind: defects[kind] for kind in DEFECT_KINDS if defects[kind]},
        changes=dict(Counter(item.change for item in items)),
        num_originals_failing=sum(item.original_verdict not in (None, "pass") for item in items),
        items=items,
    )


def _identity(row: _Row) -> str:
    """What may not repeat: the task, for one seed and one method."""
    return "|".join(
        str(row.record.get(name, "")) for name in ("task_id", "seed", "perturbation_name", "method")
    )


def _read(path: Path) -> list[_Row]:
    if not path.is_file():
        raise ArtifactError(f"no data set at {path}; give a JSON-lines file")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        record = json_object(line, f"{path}:{number}")
        missing = tuple(name for name in _FIELDS if not isinstance(record.get(name), str))
        rows.append(
            _Row(
                line=number, record=record, task=None if missing else _task(record), missing=missing
            )
        )
    if not rows:
        raise ConfigError(f"{path} holds no records; give at least one JSON line")
    return rows


def _task(record: Mapping[str, Any]) -> Task:
    kind = record.get("kind")
    return Task(
        kind=kind if kind in ("output_prediction", "chain_of_thought") else "function_synthesis",
        **{name: str(record[name]) for name in _FIELDS},
    )


def _original_of(row: _Row, originals: Mapping[str, Task]) -> Task | None:
    """The task that an item was made from, as far as it is known."""
    if row.task is None:
        return None
    if row.task.task_id in originals:
        return originals[row.task.task_id]
    inside = row.record.get("original")
    given = {name: row.record.get(f"original_{name}") for name in _FIELDS}
    given |= {"prompt": inside} if isinstance(inside, str) else {}
    given |= {name: inside.get(name) for name in _FIELDS} if isinstance(inside, dict) else {}
    known = {name: value for name, value in given.items() if isinstance(value, str)}
    if "prompt" in known:
        texts = {name: known.get(name, getattr(row.task, name)) for name in _FIELDS}
        return Task(kind=row.task.kind, **{**texts, "task_id": row.task.task_id})
    return _from_partial(row.task, row.record.get("partial"))


def _from_partial(task: Task, partial: object) -> Task | None:
    """The original from ReCode's `partial`: a whole program with a comment where the prompt
    ends.
    """
    if not isinstance(partial, str) or f"def {task.entry_point}(" not in partial:
        return None
    lines = partial.split("\n")
    marked = [at for at, line in enumerate(lines) if _SPLIT_LINE in line]
    if len(marked) != 1:
        return None
    (at,) = marked
    return replace(
        task, prompt="\n".join(lines[:at]) + "\n", canonical_solution="\n".join(lines[at + 1 :])
    )


def _run(
    pairs: Sequence[tuple[_Row, Task | None]],
    found: Sequence[list[Defect]],
    limits: Limits,
    workers: int,
    progress: Callable[[int], None] | None,
) -> dict[str, str]:
    """Run what can be run: adds `canonical_fails` to the items' defects, gives the originals'
    verdicts.
    """
    programs: list[Program] = []
    for at, (row, before) in enumerate(pairs):
        if row.task and not any(defect.kind in ("unparsable", "no_op") for defect in found[at]):
            programs += _programs(f"item {at}", unwrapped(row.task, before))
        if before is not None:
            programs += _programs(f"original {at}", before)
    unique = list({_content(p): p for p in programs}.values())
    outcome = {
        _content(p): v
        for p, v in zip(unique, judge(unique, limits, workers, progress), strict=True)
    }
    by_id = {p.program_id: outcome[_content(p)] for p in programs}
    for at, defects in enumerate(found):
        verdict = by_id.get(f"item {at}")
        if verdict is not None and not verdict.passed:
            detail = f"{verdict.verdict}: {verdict.detail}".rstrip(": ")
            before_verdict = by_id.get(f"original {at}")
            also = (
                " (so does the original's)" if before_verdict and not before_verdict.passed else ""
            )
            defects.append(Defect(kind="canonical_fails", detail=detail + also))
    return {program_id: verdict.verdict for program_id, verdict in by_id.items()}


def _content(program: Program) -> tuple[str, str, str]:
    return program.source, program.test, program.entry_point


def _programs(program_id: str, task: Task) -> list[Program]:
    try:
        return [checked_program(program_id, task)]
    except (SyntaxError, ValueError, RecursionError):
        return []


def as_text(found: AuditRecord) -> str:
    """The audit as a table: each defect of each item, then the counts."""
    rows = [
        (str(item.line), item.task_id, defect.kind, defect.detail)
        for item in found.items
        for defect in item.defects
    ]
    widths = [max([len(row[at]) for row in rows] + [4]) for at in range(3)]
    lines = [
        f"{line:>{widths[0]}}  {name:<{widths[1]}}  {kind:<{widths[2]}}  {detail}"
        for line, name, kind, detail in rows
    ]
    counts = ", ".join(f"{kind} {count}" for kind, count in found.defects.items()) or "no defects"
    total = found.num_items
    lines.append(
        f"{found.file}: {total} items, {found.num_broken} broken ({found.num_broken / total:.1%}), "
        f"{found.num_unchanged} unchanged ({found.num_unchanged / total:.1%}): {counts}"
    )
    changes = Counter(found.changes).most_common()
    lines.append("changed: " + ", ".join(f"{change} {count}" for change, count in changes))
    return "\n".join(lines)
