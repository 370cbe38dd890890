"""A suite: problems and perturbed problems whose canonical solutions pass in this machine's
sandbox.

Proving a suite takes as long as judging a model, so a proven one is kept under `$FLAB_HOME`
and used again for the next model. Models are compared only on equal suites.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flab_deploy.artifacts import Draft, json_digest, run_stage
from flab_deploy.corpus import Task, TaskKind, corpus_digest, load_records, save_records
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.grading.programs import answer_of, judged_program, secure_verdict
from flab_deploy.evaluation.grading.unjudged import check_judged
from flab_deploy.evaluation.perturb.catalogue import METHODS, method_named
from flab_deploy.evaluation.perturb.draw import Drawn, Item, draw_forms
from flab_deploy.evaluation.perturb.proof import prove
from flab_deploy.evaluation.tasks.load import (
    REFERENCE,
    SuiteConfig,
    choose,
    load_tasks,
    source_digest,
    suite_name,
)
from flab_deploy.home import flab_home
from flab_deploy.progress import progress
from flab_deploy.records.document import read_record, record, write_record
from flab_deploy.records.evaluate import ExcludedProblem
from flab_deploy.sandbox import Limits, Program, Verdict, VerdictName, calibrate, describe_sandbox
from flab_deploy.sandbox.calibration import limit_of

logger = logging.getLogger(__name__)


_SUMMARY, _TASKS = "suite.json", "tasks.jsonl"


@record
class MethodCount:
    """What became of the tasks that a perturbation method was given, each as often as forms of it
    were drawn.
    """

    num_items: int
    num_unchanged: int
    """Tasks the method does not apply to or did not change."""
    num_rejected: int
    """Items that broke the method's promise or whose canonical solution failed."""


@record
class SuiteSummary:
    """What is kept of a proven suite beside its problems."""

    name: str
    digest: str
    """SHA-256 over the problems and the perturbed problems."""
    methods: dict[str, MethodCount]
    excluded: tuple[ExcludedProblem, ...]
    """Problems whose own solution fails here."""
    canonical_pass_rate: float
    """Share of the problems whose canonical solution passes."""
    perturbation_seeds: int
    """Forms that were drawn of each perturbed problem under each method."""
    cpu_s: dict[str, float]
    """Processor time by task id, for tasks whose canonical solution needs so much here that it is
    above the limit's.

    It is no part of the digest: two machines may give different times for the same problems.
    """


@dataclass(frozen=True, kw_only=True)
class Suite(SuiteSummary):
    """Proven problems."""

    tasks: tuple[Task, ...]
    items: tuple[Item, ...]

    def num_repeated(self, method: str) -> int:
        """Items of a method that read as another seed's form of the same problem does."""
        items = [item for item in self.items if item.method == method]
        return len(items) - len({(item.task.task_id, item.task.prompt) for item in items})


def prepare_suite(config: SuiteConfig, limits: Limits, workers: int = 0) -> Suite:
    """The proven suite, from `$FLAB_HOME` if it was proven before.

    Raises ConfigError for unknown methods or a suite without a single sound problem.
    """
    for name in config.perturbations:
        method_named(name)
    settings = {"suite": asdict(config), "limits": asdict(limits)}
    parents = {"tasks": source_digest(config.tasks), "tier": str(describe_sandbox()["tier"])}
    folder = flab_home() / "suites" / json_digest([settings, parents])[:24]
    artifact = run_stage(
        folder,
        kind="suite",
        module=__name__,
        parents=parents,
        config=settings,
        work=lambda draft: _prove(draft, config, limits, workers),
    )
    return _load(artifact.path)


def _prove(draft: Draft, config: SuiteConfig, limits: Limits, workers: int) -> None:
    tasks = load_tasks(config)
    verdicts = canonical_verdicts(tasks, limits, workers, "canonical solutions")
    sound, excluded = _parted(config, tasks, verdicts)
    cpu_s = {
        task.task_id: seconds
        for task, verdict in zip(tasks, verdicts, strict=True)
        if verdict.passed and (seconds := limit_of(verdict.cpu_s, limits)) > limits.cpu_s
    }
    drawn = _drawn(config, sound)
    proven = _proven(drawn, limits, workers, cpu_s)
    save_records(draft.path / _TASKS, sound)
    digests, methods = _save_items(draft.path, drawn, proven)
    summary = SuiteSummary(
        name=suite_name(config.tasks),
        digest=json_digest({"tasks": corpus_digest(sound), "perturbed": digests}),
        methods=methods,
        excluded=excluded,
        canonical_pass_rate=len(sound) / len(tasks),
        perturbation_seeds=config.perturbation_seeds,
        cpu_s=cpu_s,
    )
    write_record(draft.path / _SUMMARY, summary)


def _parted(
    config: SuiteConfig, tasks: Sequence[Task], verdicts: Sequence[Verdict]
) -> tuple[list[Task], tuple[ExcludedProblem, ...]]:
    """The tasks whose known answer the judge finds right, and the others.

    Raises SandboxError if reference tasks could not be judged, ConfigError if none is right.
    """
    if config.tasks == REFERENCE:
        detail = next((v.detail for v in verdicts if v.verdict == "infra_error"), "")
        check_judged([v.verdict for v in verdicts], "canonical solutions", detail)
    sound = [task for task, verdict in zip(tasks, verdicts, strict=True) if verdict.passed]
    if not sound:
        counts = dict(Counter(verdict.verdict for verdict in verdicts))
        raise ConfigError(
            f"no canonical solution of {config.tasks} passes its own test here ({counts}); "
            "check the tasks"
        )
    excluded = tuple(
        ExcludedProblem(task_id=task.task_id, verdict=verdict.verdict, detail=verdict.detail)
        for task, verdict in zip(tasks, verdicts, strict=True)
        if not verdict.passed
    )
    if excluded:
        logger.info(
            "%s: %d of %d tasks are left out, as the judge finds their known answer wrong",
            config.tasks,
            len(excluded),
            len(tasks),
        )
    return sound, excluded


def _drawn(config: SuiteConfig, sound: Sequence[Task]) -> dict[str, Drawn]:
    """What each method makes of the chosen functions, as often as forms are wanted; a method that
    others are compared with makes one.
    """
    functions = [task for task in sound if task.kind == "function_synthesis"]
    chosen = choose(functions, config.num_robustness, config.seed)
    names = dict.fromkeys(config.perturbations)
    baselines = dict.fromkeys(b for name in names if (b := METHODS[name].baseline))
    forms = {**dict.fromkeys(names, config.perturbation_seeds), **dict.fromkeys(baselines, 1)}
    return {
        name: draw_forms(METHODS[name], chosen, config.seed, forms[name])
        for name in {**baselines, **names}
    }


def _proven(
    drawn: Mapping[str, Drawn], limits: Limits, workers: int, cpu_s: Mapping[str, float]
) -> list[Item]:
    items = [item for found in drawn.values() for item in found.items]
    with progress("perturbed canonical solutions", len(items), "items") as advance:
        proofs = prove(items, limits, workers, advance, cpu_s=cpu_s)
    return [item for item, proof in zip(items, proofs, strict=True) if proof.verdict == "pass"]


def _save_items(
    folder: Path, drawn: Mapping[str, Drawn], proven: Sequence[Item]
) -> tuple[dict[str, str], dict[str, MethodCount]]:
    """Write the proven items, a file for each method and form; their digests by that, and what
    became of each method's tasks.
    """
    digests: dict[str, str] = {}
    methods: dict[str, MethodCount] = {}
    for name, found in drawn.items():
        num_kept = 0
        for variant in range(found.num_forms):
            kept = [item.task for item in proven if (item.method, item.variant) == (name, variant)]
            save_records(folder / _items_file(name, variant), kept)
            digests[_label(name, variant)] = corpus_digest(kept)
            num_kept += len(kept)
        methods[name] = MethodCount(
            num_items=num_kept,
            num_unchanged=found.num_unchanged,
            num_rejected=found.num_rejected + len(found.items) - num_kept,
        )
    return digests, methods


def canonical_verdicts(
    tasks: Sequence[Task], limits: Limits, workers: int, label: str
) -> list[Verdict]:
    """The verdict on each task's own solution: compared for output prediction, run in the sandbox
    otherwise.

    It has a multiple of the time of `limits`, so that slow tasks can be judged by what they need
    here.
    """
    answers = [_canonical(task, str(i)) for i, task in enumerate(tasks)]
    programs = [answer for answer in answers if isinstance(answer, Program)]
    with progress(label, len(programs), "programs") as advance:
        judged = iter(calibrate(programs, limits, workers, advance).verdicts)
    return [
        next(judged) if isinstance(answer, Program) else _static(str(i), answer, task.kind)
        for i, (answer, task) in enumerate(zip(answers, tasks, strict=True))
    ]


def _canonical(task: Task, program_id: str) -> Program | VerdictName:
    """A task's own solution as it stands: what its author wrote is not trimmed."""
    if task.kind in ("output_prediction", "input_prediction"):
        return answer_of(task, task.canonical_solution, program_id=program_id)
    if (
        task.kind == "secure_code"
    ):  # sound if the rules that judge it know the weakness that it is about
        return "pass" if secure_verdict(task.test) == "fail_assert" else "fail_assert"
    source = task.prompt + task.canonical_solution
    return judged_program(task, source, program_id)


def _static(program_id: str, name: VerdictName, kind: TaskKind) -> Verdict:
    unsound = "its own solution is not the literal that its test expects"
    if kind == "secure_code":
        unsound = "no rule finds the weakness of its insecure program"
    detail = "" if name == "pass" else unsound
    return Verdict(program_id=program_id, verdict=name, detail=detail, cpu_s=0.0, max_rss_bytes=0)


def _label(name: str, variant: int) -> str:
    return f"{name}-{variant}" if variant else name


def _items_file(name: str, variant: int) -> str:
    return f"perturbed-{_label(name, variant)}.jsonl"


def _load(folder: Path) -> Suite:
    summary = read_record(SuiteSummary, folder / _SUMMARY)
    items = [
        Item(method=name, task=task, variant=variant)
        for name in summary.methods
        for variant in range(summary.perturbation_seeds)
        if (path := folder / _items_file(name, variant)).is_file() and path.stat().st_size
        for task in load_records(path, Task)
    ]
    return Suite(
        **vars(summary), tasks=tuple(load_records(folder / _TASKS, Task)), items=tuple(items)
    )
