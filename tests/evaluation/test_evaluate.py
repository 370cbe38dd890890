"""The stages end to end: a random model, a suite with a broken task, reports, and comparisons of
them.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.artifacts import Artifact, write_json
from flab_deploy.corpus import Task, save_records
from flab_deploy.errors import ArtifactError, ConfigError, SandboxError, UnsupportedModel
from flab_deploy.evaluation.claims.compare import compare
from flab_deploy.evaluation.claims.pairs import prompt_verdicts
from flab_deploy.evaluation.claims.sentences import evaluation_text
from flab_deploy.evaluation.evaluate import (
    evaluate,
    judge_answers,
    limits_of,
    make_attempts,
    problems_of,
)
from flab_deploy.evaluation.figures.report import make_report
from flab_deploy.evaluation.grading.unjudged import check_judged
from flab_deploy.evaluation.tasks.load import load_tasks
from flab_deploy.evaluation.tasks.suite import prepare_suite
from flab_deploy.evaluation.writing.attempt import Attempt
from flab_deploy.records.compare import COMPARISON_FILE, ComparisonRecord
from flab_deploy.records.document import as_json, read_lines, read_record
from flab_deploy.records.evaluate import (
    REPORT_FILE,
    THOUGHTS_FILE,
    TIMINGS_FILE,
    VERDICTS_FILE,
    EvaluatedModel,
    EvaluationFigures,
    EvaluationRecord,
    EvaluationTimings,
    SampleVerdict,
    VerdictLine,
)
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits
from flab_deploy.settings.evaluate import EvaluateConfig

PERTURBATIONS = ("change_char_case", "func_rename_affix", "new_line_aftercode")
SMALL = EvaluateConfig(
    num_function_synthesis=8,
    num_output_prediction=4,
    num_chain_of_thought=4,
    num_robustness=5,
    perturbations=PERTURBATIONS,
    max_new_tokens=12,
)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One home for the module's suites."""
    monkeypatch.setenv("FLAB_HOME", str(tmp_path_factory.getbasetemp() / "evaluation-home"))


@pytest.fixture(scope="module")
def tasks_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight sound functions, one whose solution fails its test, four values, four plans."""
    functions = make_tasks("test", "function_synthesis", 8)
    broken = replace(
        functions[0], task_id="broken", test="def check(candidate):\n    assert False\n"
    )
    others = [
        *make_tasks("test", "output_prediction", 4),
        *make_tasks("test", "chain_of_thought", 4),
    ]
    path = tmp_path_factory.mktemp("tasks") / "mixed.jsonl"
    save_records(path, [broken, *functions, *others])
    return path


NOBODY = EvaluatedModel(digest="", name="")


def _report(artifact: Artifact) -> EvaluationRecord:
    return read_record(EvaluationRecord, artifact.path / REPORT_FILE)


def _lines(artifact: Artifact, name: str = VERDICTS_FILE) -> list[VerdictLine]:
    return read_lines(VerdictLine, artifact.path / name)


def test_evaluation_of_a_random_model(
    tiny_checkpoint: Path, tasks_file: Path, tmp_path: Path
) -> None:
    config = replace(SMALL, suite=str(tasks_file), num_function_synthesis=9)
    artifact = evaluate(tiny_checkpoint, tmp_path / "evaluation", config)
    report = _report(artifact)
    assert (report.suite.name, report.suite.num_problems) == ("mixed", 16)
    assert {k: v.num_problems for k, v in report.tasks.items()} == {
        "function_synthesis": 8,
        "output_prediction": 4,
        "chain_of_thought": 4,
    }
    (excluded,) = report.health.excluded
    assert (excluded.task_id, excluded.verdict) == ("broken", "fail_assert")
    assert report.health.num_problems == report.health.num_judged == 16
    assert report.chain_of_thought is not None and report.chain_of_thought.num_problems == 4
    assert report.security is not None and report.security.num_programs == 12
    thoughts = _lines(artifact, THOUGHTS_FILE)
    assert len(thoughts) == 8 and {line.thought for line in thoughts} == {"none", "reference"}
    assert report.health.canonical_pass_rate == pytest.approx(16 / 17)
    assert report.health.num_truncated > 0
    methods = report.robustness.perturbations
    assert set(methods) == set(PERTURBATIONS)
    assert report.robustness.num_problems == 5 and report.robustness.num_items == 10
    lines = _lines(artifact)
    assert len(lines) == 16 + sum(method.num_items for method in methods.values())
    assert {line.thought for line in lines} == {"own"}
    timings = read_record(EvaluationTimings, artifact.path / TIMINGS_FILE)
    assert timings.num_prompts == len(lines) + len(thoughts) and timings.num_new_tokens > 0
    shown = EvaluationFigures(suite=report.suite, tasks=report.tasks, health=report.health)
    assert artifact.figures == as_json(shown)
    text = evaluation_text(report)
    assert "writing functions: pass@1 0.0 % of 8 problems (interval 0.0-" in text
    assert (
        "health: judged 16 of 16, known answers that pass 94.1 %, left out 1, not judged 0, cut off"
        in text
    )
    again = evaluate(tiny_checkpoint, tmp_path / "again", config)
    assert again.digest == artifact.digest and again.manifest["key"] == artifact.manifest["key"]


def test_an_encoder_is_refused_before_anything_is_written(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = tmp_path / "encoder"
    model.mkdir()
    for file in tiny_checkpoint.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    write_json(model / "config.json", {"model_type": "bert", "architectures": ["BertModel"]})
    with pytest.raises(UnsupportedModel):
        evaluate(model, tmp_path / "evaluation", SMALL)
    assert not (tmp_path / "evaluation").exists()


def test_canonical_answers_score_one_and_others_zero() -> None:
    suite = prepare_suite(problems_of(SMALL), limits_of(SMALL))
    assert suite.canonical_pass_rate == 1.0 and not suite.excluded

    def report(completion: Callable[[Task], str]) -> EvaluationRecord:
        attempts = [
            Attempt(task=t, perturbation=None, completion=completion(t)) for t in suite.tasks
        ]
        attempts += [
            Attempt(task=i.task, perturbation=i.method, completion=completion(i.task))
            for i in suite.items
        ]
        judge_answers(attempts, Limits())
        return make_report(attempts, suite, SMALL, NOBODY)

    right = report(lambda task: task.canonical_solution)
    assert [found.pass_at_1 for found in right.tasks.values()] == [1.0] * 3
    assert right.robustness.robust_pass_at_1 == right.robustness.worst_case_pass_at_1 == 1.0
    assert right.robustness.robust_drop_at_1 == 0.0
    # The same programs with a comment at their end are not known, so the sandbox has to run them.
    ran = report(lambda task: task.canonical_solution + "# end\n")
    assert ran.tasks == right.tasks
    wrong = report(
        lambda task: (
            "\n    raise SystemExit\n" if task.kind != "output_prediction" else " object()\n"
        )
    )
    assert [found.pass_at_1 for found in wrong.tasks.values()] == [0.0] * 3
    assert wrong.robustness.robust_drop_at_1 is None


def test_unusable_tasks_are_refused(tmp_path: Path) -> None:
    task = make_tasks("test", "function_synthesis", 1)[0]
    twice, unknown = tmp_path / "twice.jsonl", tmp_path / "unknown.jsonl"
    save_records(twice, [task, task])
    unknown.write_text(json.dumps({**asdict(task), "kind": "poetry"}))
    with pytest.raises(ConfigError, match="give every task its own"):
        load_tasks(problems_of(replace(SMALL, suite=str(twice))))
    with pytest.raises(ConfigError, match="field 'kind' is 'poetry'"):
        load_tasks(problems_of(replace(SMALL, suite=str(unknown))))
    with pytest.raises(ConfigError, match="at least one problem"):
        nothing = replace(
            SMALL, num_function_synthesis=0, num_output_prediction=0, num_chain_of_thought=0
        )
        load_tasks(problems_of(nothing))
    with pytest.raises(ArtifactError, match="no tasks at"):
        prepare_suite(problems_of(replace(SMALL, suite=str(tmp_path / "none.jsonl"))), Limits())


def test_a_model_compared_with_itself(
    tiny_checkpoint: Path, tasks_file: Path, tmp_path: Path
) -> None:
    config = replace(SMALL, suite=str(tasks_file))
    first = evaluate(tiny_checkpoint, tmp_path / "first", config)
    found = read_record(
        ComparisonRecord,
        compare(first.path, first.path, tmp_path / "comparison").path / COMPARISON_FILE,
    )
    assert found.overall.difference == 0.0 and found.overall.mcnemar_p == 1.0
    assert found.overall.verdict != "shown"
    assert found.robustness is not None and found.robustness.num_problems == 10
    other = evaluate(tiny_checkpoint, tmp_path / "other", replace(config, seed=1))
    with pytest.raises(ConfigError, match="different suites"):
        compare(first.path, other.path, tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
    (first.path / "verdicts.jsonl").write_text("")
    with pytest.raises(ArtifactError, match="was changed"):
        compare(first.path, other.path, tmp_path / "mixed")


def test_predicted_inputs_are_executed(tmp_path: Path) -> None:
    path = tmp_path / "crux.jsonl"
    path.write_text(
        json.dumps({"code": "def f(a):\n    return a % 5", "input": "8", "output": "3", "id": "s"})
        + "\n"
    )
    (value, given) = load_tasks(problems_of(replace(SMALL, suite=str(path))))
    assert (value.kind, given.kind) == ("output_prediction", "input_prediction")
    answers = {
        "8)": "pass",
        "3)\nassert": "pass",
        " -2) # so": "pass",
        "9)": "fail_assert",
        "3.0)": "fail_assert",
        "mock.ANY)": "fail_load",
        "'a', 'b')": "fail_exception",
        "f(3))": "fail_load",
        "": "fail_load",
    }
    attempts = [Attempt(task=given, perturbation=None, completion=text) for text in answers]
    judge_answers(attempts, Limits())
    assert {a.completion: a.verdict for a in attempts} == answers


def test_prompts_for_safe_code_are_judged_by_rules_and_never_run(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    head = 'import yaml\n\ndef load(text):\n    """Read a document."""\n'
    rows = [
        {
            "ID": "CWE-502_author_1.py",
            "Prompt": head,
            "Insecure_code": head + "    return yaml.unsafe_load(text)\n",
        },
        {"ID": "CWE-020_author_2.py", "Prompt": head, "Insecure_code": head + "    return text\n"},
    ]
    path = tmp_path / "security.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(SMALL, suite=str(path))
    report = _report(evaluate(tiny_checkpoint, tmp_path / "evaluation", config))
    assert set(report.tasks) == {"secure_code"} and report.tasks["secure_code"].num_problems == 1
    (left_out,) = report.health.excluded
    assert (left_out.task_id, left_out.detail) == (
        "CWE-020_author_2.py",
        "no rule finds the weakness of its insecure program",
    )
    (task,) = prepare_suite(problems_of(config), limits_of(config)).tasks
    assert (task.entry_point, task.composition) == ("load", "CWE-502")
    answers = {
        "\n    return yaml.safe_load(text)\n": "pass",
        "\n    return yaml.unsafe_load(text)\n": "fail_assert",
        "\n    return (": "fail_load",
        # temporary files have fixed names there
        f"\n    open({str(tmp_path / 'ran')!r}, 'w')\n": "fail_assert",
    }
    attempts = [Attempt(task=task, perturbation=None, completion=text) for text in answers]
    judge_answers(attempts, Limits())
    assert {a.completion: a.verdict for a in attempts} == answers
    assert attempts[1].findings == ("CWE-502 yaml",) and not (tmp_path / "ran").exists()
    path.write_text(json.dumps({**rows[0], "ID": ""}))
    with pytest.raises(ConfigError, match="field 'ID' is empty"):
        load_tasks(problems_of(config))


def test_several_samples_per_problem(
    tiny_checkpoint: Path, tasks_file: Path, tmp_path: Path
) -> None:
    config = replace(
        SMALL,
        suite=str(tasks_file),
        num_samples=3,
        temperature=0.9,
        pass_k=(1, 2),
        max_new_tokens=4,
        perturbations=("change_char_case",),
    )
    artifact = evaluate(tiny_checkpoint, tmp_path / "evaluation", config)
    report = _report(artifact)
    assert report.tasks["function_synthesis"].num_problems == 7
    assert report.tasks["function_synthesis"].pass_at_k == {"2": 0.0}
    lines = _lines(artifact)
    assert len({(line.task_id, line.perturbation) for line in lines}) == len(lines)
    assert all(line.num_samples == len(line.samples) == 3 for line in lines)
    assert any(len({sample.completion for sample in line.samples}) > 1 for line in lines)
    # Pairing goes by the share of the samples that is right, not by the first.
    right, unjudged = (SampleVerdict(verdict=v, completion="") for v in ("pass", "infra_error"))
    first, second = lines[0].samples, lines[1].samples
    lines[0] = replace(lines[0], samples=(first[0], right, first[2]))
    lines[1] = replace(lines[1], samples=(*second[:2], unjudged))
    passed = {
        found.task_id: found.passed
        for found in prompt_verdicts(lines, report.robustness.perturbations).values()
    }
    assert (passed[lines[0].task_id], passed[lines[1].task_id]) == (1 / 3, 0.0)


def test_every_form_of_a_problem_is_asked_and_counts_in_the_worst_case(
    tiny_checkpoint: Path, tasks_file: Path, tmp_path: Path
) -> None:
    config = replace(SMALL, suite=str(tasks_file), perturbation_seeds=3, max_new_tokens=2)
    once = prepare_suite(problems_of(replace(config, perturbation_seeds=1)), limits_of(config))
    suite = prepare_suite(problems_of(config), limits_of(config))
    assert [i for i in suite.items if i.variant == 0] == list(
        once.items
    ) and suite.digest != once.digest
    names = {i.task.task_id for i in suite.items}
    assert suite.methods["func_rename_affix"].num_items == 3 * len(names)
    assert 0 < suite.num_repeated("new_line_aftercode") <= 2 * len(names)
    attempts = make_attempts(suite, config)
    for attempt in attempts:
        broken = (attempt.perturbation, attempt.variant) == ("func_rename_affix", 2)
        attempt.verdict = "fail_assert" if broken else "pass"
    report = make_report(attempts, suite, config, NOBODY).robustness
    method = report.perturbations["func_rename_affix"]
    assert method.pass_at_1 == pytest.approx(2 / 3) and method.worst_case.robust_pass_at_1 == 0.0
    assert method.worst_case.num_forms == method.num_items == 3 * len(names)
    assert report.perturbations["change_char_case"].worst_case.robust_pass_at_1 == 1.0
    assert report.worst_case_pass_at_1 == 0.0 and report.num_seeds == 3
    artifact = evaluate(tiny_checkpoint, tmp_path / "evaluation", config)
    assert {line.variant for line in _lines(artifact) if line.perturbation} == {0, 1, 2}
    assert compare(artifact.path, artifact.path, tmp_path / "same").figures["robustness"][
        "num_problems"
    ] == len([i for i in suite.items if i.method != "new_line_aftercode"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 4}, "set a temperature"),
        ({"pass_k": (1, 5)}, "every k from 1 to num_samples=1"),
        ({"num_samples": 0}, "num_samples is 0; give 1 or more"),
        ({"perturbation_seeds": 0}, "perturbation_seeds is 0; give 1 to 10"),
    ],
)
def test_settings_that_measure_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluateConfig(**settings)


def test_slow_tasks_get_a_multiple_of_what_their_own_solution_needs_here(tmp_path: Path) -> None:
    quick = make_tasks("test", "function_synthesis", 1)[0]
    slow = Task(
        task_id="slow",
        kind="function_synthesis",
        prompt='def f(n):\n    """Wait a bit for the number."""\n',
        canonical_solution="    import time\n    while time.process_time() < 0.15:\n        "
        "pass\n    return n\n",
        test="def check(candidate):\n    assert candidate(4) == 4\n",
        entry_point="f",
    )
    save_records(tmp_path / "slow.jsonl", [quick, slow])
    config = replace(
        SMALL, suite=str(tmp_path / "slow.jsonl"), cpu_limit_s=0.1, perturbations=("type_hints",)
    )
    suite = prepare_suite(problems_of(config), limits_of(config))
    assert [task.task_id for task in suite.tasks] == [quick.task_id, "slow"] and not suite.excluded
    assert set(suite.cpu_s) == {"slow"} and 1.5 <= suite.cpu_s["slow"] < 8
    assert "slow" in {item.task.task_id for item in suite.items}
    assert suite == prepare_suite(problems_of(config), limits_of(config))

    def verdicts(completion: str, **times: Any) -> list[str]:
        attempts = [Attempt(task=slow, perturbation=None, completion=completion)]
        judge_answers(attempts, limits_of(config), **times)
        return [attempt.verdict for attempt in attempts]

    slower = slow.canonical_solution.replace("0.15", "0.5")
    assert verdicts(slower) == ["timeout_cpu"]
    assert verdicts(slower, cpu_s=suite.cpu_s) == ["pass"]
    assert verdicts("    while True:\n        pass\n", cpu_s={"slow": 0.3}) == ["timeout_cpu"]


def test_answers_without_a_verdict_are_no_score() -> None:
    check_judged(["infra_error"] + ["pass"] * 999, "answers")
    with pytest.raises(
        SandboxError,
        match=r"1 of 900 answers could not be judged \(no room\), so there is no score",
    ):
        check_judged(["infra_error"] + ["fail_assert"] * 899, "answers", "no room")


def test_a_suite_without_a_sound_problem_is_refused(tmp_path: Path) -> None:
    task = replace(
        make_tasks("test", "function_synthesis", 1)[0], canonical_solution="\n    return None\n"
    )
    save_records(tmp_path / "none.jsonl", [task])
    with pytest.raises(
        ConfigError,
        match=r"no canonical solution .* passes its own test here \({'fail_assert': 1}\)",
    ):
        prepare_suite(problems_of(replace(SMALL, suite=str(tmp_path / "none.jsonl"))), Limits())
