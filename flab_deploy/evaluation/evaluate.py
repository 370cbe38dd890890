"""Evaluate a model: it writes programs and values, the sandbox judges them, a report says how often they are right."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from flab_deploy.artifacts import Artifact, Draft, Json, run_stage, write_json
from flab_deploy.checkpoint import Checkpoint, read_config, resolve
from flab_deploy.corpus import TASK_KINDS, Task
from flab_deploy.decoder import check_supported
from flab_deploy.errors import SandboxError
from flab_deploy.evaluation.answers import parses, program_of, value_verdict
from flab_deploy.evaluation.perturb.catalogue import METHODS, select
from flab_deploy.evaluation.robustness import robust_figures
from flab_deploy.evaluation.statistics import clustered_wilson_interval
from flab_deploy.evaluation.suite import Suite, prepare_suite, program
from flab_deploy.evaluation.tasks import SuiteConfig, source_digest
from flab_deploy.progress import progress
from flab_deploy.sandbox import Limits, describe_sandbox, judge

logger = logging.getLogger(__name__)

REPORT, VERDICTS, TIMINGS = "report.json", "verdicts.jsonl", "timings.json"
_MOST_INFRA_ERRORS = 0.001


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How a model is evaluated."""

    tasks: str = "reference"
    """`reference`, or a JSON-lines file of tasks."""
    num_function_synthesis: int = 2000
    """Function-synthesis problems, at most."""
    num_output_prediction: int = 500
    """Output-prediction problems, at most."""
    num_chain_of_thought: int = 500
    """Chain-of-thought problems, at most."""
    num_robustness: int = 200
    """Function-synthesis problems that every perturbation method is given."""
    perturbations: tuple[str, ...] = ("default",)
    """Perturbation methods: their names, families, `default` or `all`."""
    seed: int = 0
    """Seed of the tasks and perturbations."""
    batch_size: int = 128
    """Prompts continued together."""
    max_new_tokens: int = 128
    """New tokens per problem, at most."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the model; `auto` is that of its weights. Only float32 is independent of `batch_size`."""
    confidence: float = 0.95
    """Confidence of the intervals."""
    cpu_limit_s: float = 2.0
    """Processor time that one program may use."""
    memory_limit_bytes: int = 512 << 20
    """Memory that one program may use."""

    def suite(self) -> SuiteConfig:
        """The part that says which problems."""
        return SuiteConfig(
            tasks=self.tasks, num_function_synthesis=self.num_function_synthesis,
            num_output_prediction=self.num_output_prediction, num_chain_of_thought=self.num_chain_of_thought,
            num_robustness=self.num_robustness, perturbations=select(self.perturbations), seed=self.seed,
        )  # fmt: skip

    def limits(self) -> Limits:
        """What one program may use."""
        return Limits(cpu_s=self.cpu_limit_s, wall_s=5 * self.cpu_limit_s, memory_bytes=self.memory_limit_bytes)


@dataclass(kw_only=True)
class Attempt:
    """One problem, what the model wrote, and how that was judged."""

    task: Task
    perturbation: str | None
    completion: str = ""
    truncated: bool = False
    unparsable: bool = False
    verdict: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.verdict == "pass"


def evaluate(
    model: str | Path, out: Path, config: EvaluateConfig = EvaluateConfig(), *, force: bool = False
) -> Artifact:
    """The evaluation of a model: `report.json`, and one line per problem in `verdicts.jsonl`.

    Raises SandboxError if code cannot be isolated here or more than 0.1 % of the programs could not be
    judged, ConfigError for unusable tasks or settings, UnsupportedModel for a model that cannot generate.
    """
    checkpoint = resolve(model)
    check_supported(read_config(checkpoint.path), checkpoint.path)
    settings = {**asdict(config), "perturbations": list(select(config.perturbations))}
    parents = {"model": checkpoint.digest, "tasks": source_digest(config.tasks)}
    name = str(model) if str(model) == "reference" else checkpoint.path.name

    def work(draft: Draft) -> None:
        _evaluate(draft, checkpoint, name, config)

    return run_stage(
        out, kind="evaluation", module=__name__, parents=parents, config=settings, work=work,
        measurements=(TIMINGS,), force=force,
    )  # fmt: skip


def _evaluate(draft: Draft, checkpoint: Checkpoint, name: str, config: EvaluateConfig) -> None:
    clock = [time.monotonic()]
    suite = prepare_suite(config.suite(), config.limits())
    attempts = [Attempt(task=task, perturbation=None) for task in suite.tasks]
    attempts += [Attempt(task=item.task, perturbation=item.method) for item in suite.items]
    clock.append(time.monotonic())
    num_tokens = write_answers(checkpoint.path, attempts, config)
    clock.append(time.monotonic())
    judge_answers(attempts, config.limits())
    clock.append(time.monotonic())
    report = make_report(attempts, suite, config, {"digest": checkpoint.digest, "name": name})
    write_json(draft.path / REPORT, report)
    _write_verdicts(draft.path / VERDICTS, attempts)
    suite_s, generation_s, judging_s = (round(b - a, 3) for a, b in zip(clock, clock[1:], strict=False))
    write_json(draft.path / TIMINGS, {
        "suite_s": suite_s, "generation_s": generation_s, "judging_s": judging_s, "num_prompts": len(attempts),
        "num_new_tokens": num_tokens, "new_tokens_per_s": round(num_tokens / max(generation_s, 1e-3), 1),
    })  # fmt: skip
    draft.figures.update({key: report[key] for key in ("suite", "tasks", "health")})


def write_answers(path: Path, attempts: Sequence[Attempt], config: EvaluateConfig) -> int:
    """Let the model of a checkpoint directory answer all attempts; returns the number of tokens it wrote."""
    from flab_deploy.evaluation.generate import GenerateConfig, generate, load_model

    model, tokenizer = load_model(path, config.dtype)
    num_tokens = 0
    with progress("generation", len(attempts), "prompts") as advance:
        for values in (False, True):
            rows = [a for a in attempts if (a.task.kind == "output_prediction") is values]
            settings = GenerateConfig(
                batch_size=config.batch_size, max_new_tokens=config.max_new_tokens, stop_at_newline=values
            )
            written = generate(model, tokenizer, [a.task.prompt for a in rows], settings, advance)
            for attempt, completion in zip(rows, written, strict=True):
                attempt.completion, attempt.truncated = completion.text, completion.truncated
                num_tokens += len(completion.ids)
    return num_tokens


def judge_answers(attempts: Sequence[Attempt], limits: Limits) -> None:
    """Give every attempt its verdict; a program that is its proven canonical solution need not run again."""
    waiting: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        task = attempt.task
        if task.kind == "output_prediction":
            attempt.verdict = value_verdict(task, attempt.completion)
            attempt.unparsable = attempt.verdict == "fail_load"
            continue
        source = program_of(task, attempt.completion, attempt.perturbation, attempt.truncated)
        attempt.unparsable = not parses(source)
        if source == task.prompt + task.canonical_solution:
            attempt.verdict = "pass"
        else:
            waiting.setdefault((source, task.test), []).append(attempt)
    programs = [program(str(i), same[0].task, source) for i, ((source, _), same) in enumerate(waiting.items())]
    with progress("judging", len(programs), "programs") as advance:
        for same, verdict in zip(waiting.values(), judge(programs, limits, progress=advance), strict=True):
            for attempt in same:
                attempt.verdict = verdict.verdict
    unjudged = [a for a in attempts if a.verdict == "infra_error"]
    if len(unjudged) > _MOST_INFRA_ERRORS * len(attempts):
        raise SandboxError(
            f"{len(unjudged)} of {len(attempts)} programs could not be judged, so there is no score; "
            "check memory and load of this machine and run again"
        )


def make_report(
    attempts: Sequence[Attempt], suite: Suite, config: EvaluateConfig, model: dict[str, str]
) -> dict[str, Json]:
    """The report as JSON: rates with Wilson intervals by kind and by perturbation, and how sound the data is."""
    judged = [a for a in attempts if a.verdict != "infra_error"]
    nominal = [a for a in judged if a.perturbation is None]
    tasks: dict[str, Json] = {}
    for kind in TASK_KINDS:
        if found := [a for a in nominal if a.task.kind == kind]:
            passed = sum(a.passed for a in found)
            tasks[kind] = {"num_problems": len(found), "num_passed": passed, **_rate(found, config.confidence)}
    sandbox = describe_sandbox()
    return {
        "model": dict(model),
        "suite": {"name": suite.name, "digest": suite.digest, "num_problems": len(suite.tasks)},
        "confidence": config.confidence,
        "tasks": tasks,
        "robustness": robustness(judged, suite, config.confidence),
        "health": _health(attempts, suite),
        "sandbox": {
            "tier": str(sandbox["tier"]), "layers": list(sandbox["layers"]),
            "cpu_limit_s": config.cpu_limit_s, "memory_limit_bytes": config.memory_limit_bytes,
        },
    }  # fmt: skip


def _rate(attempts: Sequence[Attempt], confidence: float) -> dict[str, Json]:
    passed = [a.passed for a in attempts]
    interval = clustered_wilson_interval(passed, [a.task.composition or a.task.task_id for a in attempts], confidence)
    return {"pass_at_1": sum(passed) / len(passed) if passed else None, "interval": list(interval)}


def robustness(judged: Sequence[Attempt], suite: Suite, confidence: float) -> dict[str, Json]:
    """Rates under each perturbation, over all perturbed items, and for problems right under every perturbation.

    Robust pass@1 is ReCode's with one perturbed prompt per problem and method, over all methods but the probes.
    Items are compared with the unperturbed prompt of their shape.
    """
    plain = {(a.perturbation, a.task.task_id): a for a in judged}
    methods: dict[str, Json] = {}
    pooled: list[Attempt] = []
    for name, counts in suite.methods.items():
        baseline = METHODS[name].baseline
        found = [a for a in judged if a.perturbation == name and (baseline, a.task.task_id) in plain]
        before = _rate([plain[baseline, a.task.task_id] for a in found], confidence)["pass_at_1"]
        methods[name] = {
            "family": METHODS[name].family, "probe": METHODS[name].probe, "baseline": baseline, **asdict(counts),
            "nominal_pass_at_1": before, **_rate(found, confidence),
            "worst_case": robust_figures(
                {a.task.task_id: [plain[baseline, a.task.task_id].passed] for a in found}, _forms(found)
            ),
        }  # fmt: skip
        pooled += [] if METHODS[name].probe else found
    worst: dict[str, bool] = {}
    for attempt in pooled:
        worst[attempt.task.task_id] = worst.get(attempt.task.task_id, True) and attempt.passed
    rate = _rate(pooled, confidence)
    before_all, robust = sum(plain[_baseline_of(a)].passed for a in pooled), sum(a.passed for a in pooled)
    return {
        "task_kind": "function_synthesis", "num_problems": len(worst), "num_items": len(pooled),
        "nominal_pass_at_1": before_all / len(pooled) if pooled else None, "robust_pass_at_1": rate["pass_at_1"],
        "interval": rate["interval"], "robust_drop_at_1": (before_all - robust) / before_all if before_all else None,
        "worst_case_pass_at_1": sum(worst.values()) / len(worst) if worst else None, "perturbations": methods,
    }  # fmt: skip


def _forms(attempts: Sequence[Attempt]) -> dict[str, list[list[bool]]]:
    """Verdicts by problem and form."""
    forms: dict[str, list[list[bool]]] = {}
    for attempt in attempts:
        forms.setdefault(attempt.task.task_id, []).append([attempt.passed])
    return forms


def _baseline_of(attempt: Attempt) -> tuple[str | None, str]:
    """Perturbation and task id of the unperturbed prompt that an item is compared with."""
    return METHODS[attempt.perturbation or ""].baseline, attempt.task.task_id


def _health(attempts: Sequence[Attempt], suite: Suite) -> dict[str, Json]:
    nominal = [a for a in attempts if a.perturbation is None]
    return {
        "canonical_pass_rate": suite.canonical_pass_rate,
        "num_excluded": len(suite.excluded),
        "excluded": [dict(entry) for entry in suite.excluded],
        "verdicts": dict(sorted(Counter(a.verdict for a in nominal).items())),
        "num_truncated": sum(a.truncated for a in nominal),
        "num_unparsable": sum(a.unparsable for a in nominal),
        "num_infrastructure_errors": sum(a.verdict == "infra_error" for a in attempts),
    }


def _write_verdicts(path: Path, attempts: Sequence[Attempt]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for attempt in attempts:
            row = {
                "task_id": attempt.task.task_id, "kind": attempt.task.kind, "composition": attempt.task.composition,
                "perturbation": attempt.perturbation, "verdict": attempt.verdict, "passed": attempt.passed,
                "completion": attempt.completion,
            }  # fmt: skip
            out.write(json.dumps(row) + "\n")
