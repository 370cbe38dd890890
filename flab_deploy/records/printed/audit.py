"""What `flab audit` says of a perturbed data set, and of our own perturbation methods."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flab_deploy.records.document import record

DefectKind: TypeAlias = Literal[
    "missing_field",
    "duplicate",
    "unparsable",
    "undefined_entry_point",
    "stale_name",
    "changed_test",
    "changed_doctest",
    "leaked_answer",
    "canonical_fails",
    "no_op",
]
"""What is wrong with an item.

`missing_field`: it lacks a field, or one is not text. `duplicate`: its task, or its very prompt,
was there before. `unparsable`: prompt and solution, or the test, are no Python.
`undefined_entry_point`: no such function. `stale_name`: the test uses a name that nothing defines
any more. `changed_test`: another test than the original's. `changed_doctest`: an example of the
prompt asks something else. `leaked_answer`: the prompt shows the solution, or cases of the hidden
test, where the original's does not. `canonical_fails`: its own solution fails its test. `no_op`:
the prompt is the original's.
"""
Change: TypeAlias = Literal[
    "nothing", "wrapper", "prompt end", "white space", "docstring", "names", "code", "unknown"
]
"""What differs from the original: the first of these that explains all of it."""


@record
class Defect:
    """One thing that is wrong with an item."""

    kind: DefectKind
    detail: str
    """One line."""


@record
class AuditedItem:
    """What was found out about one item."""

    line: int
    """Its line in the file, from 1."""
    task_id: str
    """Empty if it has none."""
    change: Change
    original_verdict: str | None
    """The sandbox's verdict on the original's solution; None without an original."""
    defects: tuple[Defect, ...]

    @property
    def kinds(self) -> tuple[DefectKind, ...]:
        """Kinds of its defects, each once."""
        return tuple(dict.fromkeys(defect.kind for defect in self.defects))


@record
class AuditRecord:
    """What was found out about a perturbed data set."""

    schema_version: Literal[1]
    file: str
    num_items: int
    num_defective: int
    """Items with any defect."""
    num_broken: int
    """Items with another defect than being the original."""
    num_unchanged: int
    """Items that are the original."""
    defects: dict[DefectKind, int]
    """Items by kind of defect."""
    changes: dict[Change, int]
    """Items by what differs from the original."""
    num_originals_failing: int
    """Items whose original fails its own test."""
    items: tuple[AuditedItem, ...]


@record
class MethodAudit:
    """What one perturbation method made of the reference tasks."""

    name: str
    description: str
    """What it does, in one line."""
    family: str
    published: str
    """Its name in ReCode or NatGen, or empty."""
    probe: bool
    num_given: int
    """Tasks of its kinds times seeds."""
    num_items: int
    """Items that it made."""
    num_no_op: int
    """Times that it did not apply or changed nothing; these are no items."""
    num_rejected: int
    """Times that what it made did not keep its promise; these are no items either."""
    num_broken: int
    """Items that have a defect; must be 0."""
    num_unrepeatable: int
    """Items that the first seed made differently the second time; they count as broken."""
    examples: tuple[str, ...]
    """A few of the broken ones: task, seed and defect."""


@record
class MethodAuditRecord:
    """What our own perturbation methods make of the reference tasks."""

    schema_version: Literal[1]
    num_items: int
    num_broken: int
    methods: tuple[MethodAudit, ...]
