"""Which problems an evaluation holds. Nothing is executed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from flab_deploy.corpus import ALL_TASK_KINDS, TASK_KINDS, Task, TaskKind
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.tasks.formats import detect, read_row
from flab_deploy.evaluation.tasks.sources import digest_of, name_of, rows
from flab_deploy.settings.evaluate import FORMATS, FormatName

REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """Which problems a suite holds, and which of them are asked for in other ways as well."""

    tasks: str
    """`reference`, the path of a task file, or `hub:ORG/NAME`."""
    format: FormatName | None = None
    """Format of the file; found out from its fields if None."""
    num_function_synthesis: int
    """Function-synthesis problems; of a file, at most the first so many."""
    num_output_prediction: int
    """Output-prediction problems."""
    num_chain_of_thought: int
    """Chain-of-thought problems."""
    num_input_prediction: int = 0
    """Input-prediction problems; the reference tasks have none."""
    num_secure_code: int = 0
    """Prompts for safe code; the reference tasks have none."""
    num_robustness: int
    """Function-synthesis problems that are perturbed."""
    perturbations: tuple[str, ...]
    """Names of perturbation methods."""
    seed: int
    """Seed of the generated tasks, of the choice of perturbed ones and of the first of their
    perturbed forms.
    """
    perturbation_seeds: int = 1
    """Forms of each perturbed problem under each method, drawn with the seeds from `seed` on."""

    def wanted(self) -> dict[TaskKind, int]:
        """Number of problems by kind."""
        given = (
            (0, 0) if self.tasks == REFERENCE else (self.num_input_prediction, self.num_secure_code)
        )
        counts = (
            self.num_function_synthesis,
            self.num_output_prediction,
            self.num_chain_of_thought,
            *given,
        )
        return dict(zip(ALL_TASK_KINDS, counts, strict=True))


def suite_name(tasks: str) -> str:
    """Name of a suite: `reference`, or that of the file or data set."""
    return tasks if tasks == REFERENCE else name_of(tasks)


def source_digest(tasks: str) -> str:
    """What the tasks depend on besides code. Raises ArtifactError if it is missing."""
    return tasks if tasks == REFERENCE else digest_of(tasks)


def load_tasks(config: SuiteConfig) -> list[Task]:
    """The suite's problems, kind by kind.

    Raises ConfigError if a count is negative, all are zero, a row cannot be read, or two tasks
    share an id.
    """
    wanted = config.wanted()
    if min(wanted.values()) < 0 or sum(wanted.values()) == 0:
        raise ConfigError(
            f"an evaluation needs at least one problem and no negative counts, got {wanted}"
        )
    if config.tasks == REFERENCE:
        from flab_deploy.reference.tasks import make_tasks

        return [
            task
            for kind in TASK_KINDS
            for task in make_tasks("test", kind, wanted[kind], config.seed)
        ]
    found = read_tasks(config.tasks, config.format)
    chosen = [
        task
        for kind, count in wanted.items()
        for task in [t for t in found if t.kind == kind][:count]
    ]
    if not chosen:
        kinds = sorted({task.kind for task in found})
        raise ConfigError(
            f"{config.tasks} has only {', '.join(kinds)} problems, and none of these are asked for"
        )
    return chosen


def read_tasks(source: str, name: FormatName | None = None) -> list[Task]:
    """Every task of a file or hub data set, in its order.

    Raises ConfigError naming file, line and field for a row that is not of the format, or an id
    that is there twice.
    """
    if name is not None and name not in FORMATS:
        raise ConfigError(f"no task format {name!r}; choose one of {', '.join(FORMATS)}")
    tasks: list[Task] = []
    first: dict[str, str] = {}
    for where, row in rows(source):
        name = name or _detected(row, where)
        for task in read_row(row, name, where):
            if task.task_id in first:
                raise ConfigError(
                    f"{where}: field 'task_id' is {task.task_id!r}, as it is at "
                    f"{first[task.task_id]}; give every task its own"
                )
            first[task.task_id] = where
            tasks.append(task)
    if not tasks:
        raise ConfigError(f"{source} holds no tasks; give at least one row")
    return tasks


def _detected(row: dict[str, object], where: str) -> FormatName:
    try:
        return detect(row)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}; say which with --format") from None


def choose(tasks: Sequence[Task], count: int, seed: int) -> list[Task]:
    """At most `count` of the tasks, drawn by seed, in their order."""
    if count >= len(tasks):
        return list(tasks)
    chosen = sorted(Random(f"robustness|{seed}").sample(range(len(tasks)), count))
    return [tasks[i] for i in chosen]
