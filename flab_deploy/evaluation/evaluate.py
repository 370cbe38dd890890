"""Evaluate a model: it writes programs and values, the sandbox judges them, a report says how often
they are right.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from flab_deploy.artifacts import Artifact, Draft, run_stage, tree_digest
from flab_deploy.checkpoint import Checkpoint, read_config, resolve
from flab_deploy.decoder import check_supported, choose_device
from flab_deploy.evaluation.figures.report import make_report, verdict_lines
from flab_deploy.evaluation.grading.programs import answer_of, parses, program_of
from flab_deploy.evaluation.grading.security import findings
from flab_deploy.evaluation.grading.unjudged import check_judged
from flab_deploy.evaluation.perturb.catalogue import select
from flab_deploy.evaluation.tasks.load import SuiteConfig, source_digest
from flab_deploy.evaluation.tasks.plans import asks_for_plan, with_reference_plan, without_plan
from flab_deploy.evaluation.tasks.suite import Suite, prepare_suite
from flab_deploy.evaluation.writing.attempt import Attempt
from flab_deploy.evaluation.writing.completion import GenerateConfig
from flab_deploy.evaluation.writing.journal import forget
from flab_deploy.evaluation.writing.writers import AnswerSource, run_key, write_answers
from flab_deploy.progress import progress
from flab_deploy.records.document import as_json, write_lines, write_record
from flab_deploy.records.evaluate import (
    REPORT_FILE,
    THOUGHTS_FILE,
    TIMINGS_FILE,
    VERDICTS_FILE,
    EvaluatedModel,
    EvaluationFigures,
    EvaluationTimings,
)
from flab_deploy.sandbox import Limits, Program, judge
from flab_deploy.settings.evaluate import EvaluateConfig


def evaluate(
    model: str | Path, out: Path, config: EvaluateConfig = EvaluateConfig(), *, force: bool = False
) -> Artifact:
    """The evaluation of a model: `report.json`, and one line per problem in `verdicts.jsonl`.

    What the model has written is kept until the evaluation is finished: interrupted, it goes on
    from there. Raises SandboxError if code cannot be isolated here or more than 0.1 % of the
    programs could not be judged, ConfigError for unusable tasks or settings or a device that is not
    there, UnsupportedModel for a model that cannot generate, ServingError for an endpoint that does
    not answer.
    """
    choose_device(config.device)
    checkpoint = resolve(model)
    check_supported(read_config(checkpoint.path), checkpoint.path)
    settings = {
        **asdict(config),
        "perturbations": list(select(config.perturbations)),
        "pass_k": list(config.pass_k),
    }
    parents = {"model": checkpoint.digest, "tasks": source_digest(config.suite)}
    if config.onnx:
        parents["onnx"] = tree_digest(Path(config.onnx))
    name = str(model) if str(model) == "reference" else checkpoint.path.name

    runs: list[str] = []

    def work(draft: Draft) -> None:
        runs.append(_evaluate(draft, checkpoint, name, config))

    done = run_stage(
        out,
        kind="evaluation",
        module=__name__,
        parents=parents,
        config=settings,
        work=work,
        measurements=(TIMINGS_FILE,),
        force=force,
    )
    for run in runs:
        forget(run)
    return done


def _evaluate(draft: Draft, checkpoint: Checkpoint, name: str, config: EvaluateConfig) -> str:
    place = AnswerSource(
        path=checkpoint.path,
        device=config.device,
        dtype=config.dtype,
        endpoint=config.endpoint,
        served_model=config.served_model,
        onnx=config.onnx,
        prompts=config,
    )
    clock = [time.monotonic()]
    suite = prepare_suite(problems_of(config), limits_of(config))
    attempts = make_attempts(suite, config)
    clock.append(time.monotonic())
    run = run_key(attempts, generation_of(config), place, checkpoint.digest)
    num_tokens = write_answers(attempts, generation_of(config), place, run)
    clock.append(time.monotonic())
    judge_answers(attempts, limits_of(config), suite.cpu_s)
    clock.append(time.monotonic())
    report = make_report(
        attempts, suite, config, EvaluatedModel(digest=checkpoint.digest, name=name)
    )
    write_record(draft.path / REPORT_FILE, report)
    own = [a for a in attempts if a.thought == "own"]
    given = [a for a in attempts if a.thought != "own"]
    write_lines(draft.path / VERDICTS_FILE, verdict_lines(own))
    write_lines(draft.path / THOUGHTS_FILE, verdict_lines(given))
    suite_s, generation_s, judging_s = (
        round(b - a, 3) for a, b in zip(clock, clock[1:], strict=False)
    )
    timings = EvaluationTimings(
        schema_version=1,
        suite_s=suite_s,
        generation_s=generation_s,
        judging_s=judging_s,
        num_prompts=len(attempts),
        num_new_tokens=num_tokens,
        new_tokens_per_s=round(num_tokens / max(generation_s, 1e-3), 1),
        num_tasks_with_more_time=len(suite.cpu_s),
        most_cpu_limit_s=max(suite.cpu_s.values(), default=config.cpu_limit_s),
    )
    write_record(draft.path / TIMINGS_FILE, timings)
    shown = EvaluationFigures(suite=report.suite, tasks=report.tasks, health=report.health)
    draft.figures.update(as_json(shown))
    return run


def problems_of(config: EvaluateConfig) -> SuiteConfig:
    """The part that says which problems."""
    return SuiteConfig(
        tasks=config.suite,
        format=config.format,
        num_function_synthesis=config.num_function_synthesis,
        num_output_prediction=config.num_output_prediction,
        num_chain_of_thought=config.num_chain_of_thought,
        num_input_prediction=config.num_input_prediction,
        num_secure_code=config.num_secure_code,
        num_robustness=config.num_robustness,
        perturbations=select(config.perturbations),
        seed=config.seed,
        perturbation_seeds=config.perturbation_seeds,
    )


def limits_of(config: EvaluateConfig) -> Limits:
    """What one program may use."""
    return Limits(
        cpu_s=config.cpu_limit_s,
        wall_s=5 * config.cpu_limit_s,
        memory_bytes=config.memory_limit_bytes,
    )


def generation_of(config: EvaluateConfig) -> GenerateConfig:
    """How the answers are written."""
    return GenerateConfig(
        batch_size=config.batch_size,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
    )


def make_attempts(suite: Suite, config: EvaluateConfig) -> list[Attempt]:
    """Every prompt that the model is given, each as often as samples are wanted."""
    samples = range(config.num_samples)
    found = [
        Attempt(task=task, perturbation=None, sample=i) for task in suite.tasks for i in samples
    ]
    found += [
        Attempt(task=item.task, perturbation=item.method, variant=item.variant, sample=i)
        for item in suite.items
        for i in samples
    ]
    plans = [task for task in suite.tasks if asks_for_plan(task)][: config.num_thought]
    for task in plans:
        found += [
            Attempt(task=without_plan(task), perturbation=None, thought="none", sample=i)
            for i in samples
        ]
        given = with_reference_plan(task)
        found += [
            Attempt(task=given, perturbation=None, thought="reference", sample=i) for i in samples
        ]
    return found


def judge_answers(
    attempts: Sequence[Attempt], limits: Limits, cpu_s: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Give every attempt its verdict; a program that is its proven canonical solution need not run
    again.

    `cpu_s` is the processor time of slow tasks by id, where it is above that of the limits.
    """
    waiting: dict[tuple[str, str], list[Attempt]] = {}
    programs: dict[tuple[str, str], Program] = {}
    for attempt in attempts:
        task = attempt.task
        answer = answer_of(
            task,
            attempt.completion,
            attempt.perturbation,
            truncated=attempt.truncated,
            cpu_s=cpu_s.get(task.task_id, 0.0),
        )
        if isinstance(answer, str):
            attempt.verdict = answer
            attempt.unparsable = answer == "fail_load"
            if task.kind == "secure_code":
                attempt.findings = findings(
                    program_of(task, attempt.completion, None, attempt.truncated)
                )
            continue
        if task.kind != "input_prediction":
            attempt.findings = findings(answer.source)
            attempt.unparsable = not parses(answer.source)
        if answer.source == task.prompt + task.canonical_solution:
            attempt.verdict = "pass"
            continue
        programs.setdefault((answer.source, answer.test), answer)
        waiting.setdefault((answer.source, answer.test), []).append(attempt)
    with progress("judging", len(programs), "programs") as advance:
        for same, verdict in zip(
            waiting.values(), judge(list(programs.values()), limits, progress=advance), strict=True
        ):
            for attempt in same:
                attempt.verdict = verdict.verdict
    check_judged([attempt.verdict for attempt in attempts], "answers")
