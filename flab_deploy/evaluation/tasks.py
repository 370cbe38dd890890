"""Where the problems of an evaluation come from. Nothing is executed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from flab_deploy.artifacts import file_digest
from flab_deploy.corpus import TASK_KINDS, Task, TaskKind, load_records
from flab_deploy.errors import ArtifactError, ConfigError

REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """Which problems a suite holds, and which of them are asked for in other ways as well."""

    tasks: str
    """`reference`, or the path of a JSON-lines file of tasks."""
    num_function_synthesis: int
    """Function-synthesis problems; of a file, at most the first so many."""
    num_output_prediction: int
    """Output-prediction problems."""
    num_chain_of_thought: int
    """Chain-of-thought problems."""
    num_robustness: int
    """Function-synthesis problems that are perturbed."""
    perturbations: tuple[str, ...]
    """Names of perturbation methods."""
    seed: int
    """Seed of the generated tasks, of the choice of perturbed ones and of the perturbations."""

    def wanted(self) -> dict[TaskKind, int]:
        """Number of problems by kind."""
        counts = (self.num_function_synthesis, self.num_output_prediction, self.num_chain_of_thought)
        return dict(zip(TASK_KINDS, counts, strict=True))


def suite_name(tasks: str) -> str:
    """Name of a suite: `reference`, or the file's name without its ending."""
    return tasks if tasks == REFERENCE else Path(tasks).stem


def source_digest(tasks: str) -> str:
    """What the tasks depend on besides code: the file's digest. Raises ArtifactError if it is missing."""
    if tasks == REFERENCE:
        return REFERENCE
    path = Path(tasks)
    if not path.is_file():
        raise ArtifactError(f"no tasks at {path}; give a JSON-lines file, or 'reference'")
    return file_digest(path)


def load_tasks(config: SuiteConfig) -> list[Task]:
    """The suite's problems, kind by kind.

    Raises ConfigError if a count is negative, all are zero, or two tasks share an id.
    """
    wanted = config.wanted()
    if min(wanted.values()) < 0 or sum(wanted.values()) == 0:
        raise ConfigError(f"an evaluation needs at least one problem and no negative counts, got {wanted}")
    if config.tasks == REFERENCE:
        from flab_deploy.reference.tasks import make_tasks

        return [task for kind, count in wanted.items() for task in make_tasks("test", kind, count, config.seed)]
    found = load_records(Path(config.tasks), Task)
    _check(found, config.tasks)
    return [task for kind, count in wanted.items() for task in [t for t in found if t.kind == kind][:count]]


def _check(tasks: Sequence[Task], name: str) -> None:
    seen: set[str] = set()
    for task in tasks:
        if task.task_id in seen:
            raise ConfigError(f"{name}: task_id {task.task_id!r} appears twice; give every task its own")
        if task.kind not in TASK_KINDS:
            raise ConfigError(
                f"{name}: task {task.task_id!r} has kind {task.kind!r}; use one of {', '.join(TASK_KINDS)}"
            )
        seen.add(task.task_id)


def choose(tasks: Sequence[Task], count: int, seed: int) -> list[Task]:
    """At most `count` of the tasks, drawn by seed, in their order."""
    if count >= len(tasks):
        return list(tasks)
    chosen = sorted(Random(f"robustness|{seed}").sample(range(len(tasks)), count))
    return [tasks[i] for i in chosen]
