"""Auditing our own perturbation methods on reference tasks: broken items, no-ops and rejections by
method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flab_deploy.corpus import TASK_KINDS, Task
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.audit.defects import inspect
from flab_deploy.evaluation.perturb.catalogue import METHODS, select
from flab_deploy.evaluation.perturb.draw import Drawn, Item, draw
from flab_deploy.evaluation.perturb.proof import Known, PerturbationProof, prove
from flab_deploy.evaluation.perturb.registry import Method
from flab_deploy.progress import progress
from flab_deploy.records.printed.audit import MethodAudit, MethodAuditRecord
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits

_MOST_EXAMPLES = 3


def prove_methods(
    names: Iterable[str] = ("all",),
    num_tasks: int = 500,
    num_seeds: int = 5,
    limits: Limits = Limits(),
    workers: int = 0,
) -> MethodAuditRecord:
    """The audit of each method on at least `num_tasks` reference tasks of its kinds with seeds from
    0.

    Every item goes through the gates for anybody's data and its solution through the sandbox; items
    of the first seed are made twice.
    Raises ConfigError for unknown names or counts below 1, SandboxError if code cannot be isolated
    here.
    """
    if num_tasks < 1 or num_seeds < 1:
        raise ConfigError(
            f"an audit needs at least one task and one seed, got {num_tasks} and {num_seeds}"
        )
    methods = [METHODS[name] for name in select(names)]
    counts = dict(
        zip(TASK_KINDS, (num_tasks, max(1, num_tasks // 5), max(1, num_tasks // 5)), strict=True)
    )
    tasks = [task for kind, count in counts.items() for task in make_tasks("test", kind, count)]
    families: dict[str, list[Method]] = {}
    for method in methods:
        families.setdefault(method.family, []).append(method)
    found: list[MethodAudit] = []
    known: Known = {}
    for family, members in families.items():
        made = [
            _make(method, [t for t in tasks if t.kind in method.kinds], range(num_seeds))
            for method in members
        ]
        # Equal items of different seeds are looked at once.
        items = list(
            {(item.method, item.task): item for one in made for item in one.items}.values()
        )
        with progress(f"{family} solutions", len(items), "items") as advance:
            proofs = prove(items, limits, workers, advance, known=known)
        verdicts = {
            (i.method, i.task): _defect(i, proof) for i, proof in zip(items, proofs, strict=True)
        }
        found += [_counted(one, verdicts) for one in made]
    return MethodAuditRecord(
        schema_version=1,
        num_items=sum(one.num_items for one in found),
        num_broken=sum(one.num_broken for one in found),
        methods=tuple(found),
    )


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What one method made of its tasks with all seeds."""

    method: Method
    num_given: int
    drawn: tuple[Drawn, ...]
    different: frozenset[Item]
    """Items that the first seed did not make the same twice."""

    @property
    def items(self) -> list[Item]:
        return [item for one in self.drawn for item in one.items]


def _make(method: Method, tasks: Sequence[Task], seeds: Sequence[int]) -> _Made:
    drawn = tuple(draw(method, tasks, seed) for seed in seeds)
    different = set(drawn[0].items) ^ set(draw(method, tasks, seeds[0]).items)
    return _Made(
        method=method,
        num_given=len(tasks) * len(seeds),
        drawn=drawn,
        different=frozenset(different),
    )


def _defect(item: Item, proof: PerturbationProof) -> str:
    """The first thing that is wrong with an item; empty if nothing is."""
    read = inspect(item.task, item.original)
    if read:
        return f"{read[0].kind}: {read[0].detail}"
    return "" if proof.verdict == "pass" else f"canonical_fails: {proof.verdict} {proof.detail}"


def _counted(made: _Made, verdicts: Mapping[tuple[str, Task], str]) -> MethodAudit:
    method = made.method
    broken = {_label(item): "not the same twice" for item in made.different}
    broken |= {
        _label(item): defect for item in made.items if (defect := verdicts[item.method, item.task])
    }
    return MethodAudit(
        name=method.name,
        description=method.description,
        family=method.family,
        published=method.published,
        probe=method.probe,
        num_given=made.num_given,
        num_items=len(made.items),
        num_no_op=sum(one.num_unchanged for one in made.drawn),
        num_rejected=sum(one.num_rejected for one in made.drawn),
        num_broken=len(broken),
        num_unrepeatable=len(made.different),
        examples=tuple(f"{label}: {defect}" for label, defect in sorted(broken.items()))[
            :_MOST_EXAMPLES
        ],
    )


def _label(item: Item) -> str:
    return f"{item.task.task_id} seed {item.seed}"


def as_text(found: MethodAuditRecord) -> str:
    """The audit as a table with one row per method."""
    published = max(len("published as"), *(len(one.published) for one in found.methods))
    lines = [
        f"{'family':<17}{'method':<34}{'given':>6}{'items':>7}{'no-op':>8}{'rejected':>9}"
        f"{'broken':>7}  {'published as':<{published}}  what it does"
    ]
    for one in found.methods:
        share = one.num_no_op / one.num_given
        lines.append(
            f"{one.family:<17}{one.name:<34}{one.num_given:>6}{one.num_items:>7}{share:>8.1%}"
            f"{one.num_rejected:>9}{one.num_broken:>7}  {one.published:<{published}}  "
            f"{one.description}{' (probe)' if one.probe else ''}"
        )
        lines += [f"    {example}" for example in one.examples]
    lines.append(
        f"{len(found.methods)} methods, {found.num_items} items, {found.num_broken} broken"
    )
    return "\n".join(lines)
