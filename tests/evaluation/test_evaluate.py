"""The stages end to end: a random model, a suite with a broken task, reports, and comparisons of them."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.artifacts import Artifact, write_json
from flab_deploy.corpus import Task, save_records
from flab_deploy.errors import ArtifactError, ConfigError, UnsupportedModel
from flab_deploy.evaluation.compare import compare
from flab_deploy.evaluation.evaluate import Attempt, EvaluateConfig, evaluate, judge_answers, make_report
from flab_deploy.evaluation.suite import prepare_suite
from flab_deploy.evaluation.tasks import load_tasks
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits

PERTURBATIONS = ("change_char_case", "func_rename_affix", "new_line_aftercode")
SMALL = EvaluateConfig(
    num_function_synthesis=8, num_output_prediction=4, num_chain_of_thought=4, num_robustness=5,
    perturbations=PERTURBATIONS, max_new_tokens=12,
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One home for the module's suites."""
    monkeypatch.setenv("FLAB_HOME", str(tmp_path_factory.getbasetemp() / "evaluation-home"))


@pytest.fixture(scope="module")
def tasks_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight sound functions, one whose solution fails its test, four values, four plans."""
    functions = make_tasks("test", "function_synthesis", 8)
    broken = replace(functions[0], task_id="broken", test="def check(candidate):\n    assert False\n")
    others = [*make_tasks("test", "output_prediction", 4), *make_tasks("test", "chain_of_thought", 4)]
    path = tmp_path_factory.mktemp("tasks") / "mixed.jsonl"
    save_records(path, [broken, *functions, *others])
    return path


def _json(artifact: Artifact, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifact.path / name).read_text())
    return found


def test_evaluation_of_a_random_model(tiny_checkpoint: Path, tasks_file: Path, tmp_path: Path) -> None:
    config = replace(SMALL, tasks=str(tasks_file), num_function_synthesis=9)
    artifact = evaluate(tiny_checkpoint, tmp_path / "evaluation", config)
    report = _json(artifact, "report.json")
    assert report["suite"] | {"digest": ""} == {"name": "mixed", "digest": "", "num_problems": 16}
    assert {k: v["num_problems"] for k, v in report["tasks"].items()} == {
        "function_synthesis": 8, "output_prediction": 4, "chain_of_thought": 4,
    }  # fmt: skip
    assert report["health"]["excluded"] == [{"task_id": "broken", "verdict": "fail_assert"}]
    assert report["health"]["canonical_pass_rate"] == pytest.approx(16 / 17)
    assert report["health"]["num_truncated"] > 0
    assert set(report["robustness"]["perturbations"]) == set(PERTURBATIONS)
    assert report["robustness"]["num_problems"] == 5 and report["robustness"]["num_items"] == 10
    rows = [json.loads(line) for line in (artifact.path / "verdicts.jsonl").read_text().splitlines()]
    assert len(rows) == 16 + sum(m["num_items"] for m in report["robustness"]["perturbations"].values())
    again = evaluate(tiny_checkpoint, tmp_path / "again", config)
    assert again.digest == artifact.digest and again.manifest["key"] == artifact.manifest["key"]


def test_an_encoder_is_refused_before_anything_is_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = tmp_path / "encoder"
    model.mkdir()
    for file in tiny_checkpoint.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    write_json(model / "config.json", {"model_type": "bert", "architectures": ["BertModel"]})
    with pytest.raises(UnsupportedModel):
        evaluate(model, tmp_path / "evaluation", SMALL)
    assert not (tmp_path / "evaluation").exists()


def test_canonical_answers_score_one_and_others_zero() -> None:
    suite = prepare_suite(SMALL.suite(), SMALL.limits())
    assert suite.canonical_pass_rate == 1.0 and not suite.excluded

    def report(completion: Callable[[Task], str]) -> dict[str, Any]:
        attempts = [Attempt(task=t, perturbation=None, completion=completion(t)) for t in suite.tasks]
        attempts += [Attempt(task=i.task, perturbation=i.method, completion=completion(i.task)) for i in suite.items]
        judge_answers(attempts, Limits())
        found: dict[str, Any] = make_report(attempts, suite, SMALL, {"digest": "", "name": ""})
        return found

    right = report(lambda task: task.canonical_solution)
    assert [found["pass_at_1"] for found in right["tasks"].values()] == [1.0] * 3
    assert right["robustness"]["robust_pass_at_1"] == right["robustness"]["worst_case_pass_at_1"] == 1.0
    assert right["robustness"]["robust_drop_at_1"] == 0.0
    # The same programs with a comment at their end are not known, so the sandbox has to run them.
    ran = report(lambda task: task.canonical_solution + "# end\n")
    assert ran["tasks"] == right["tasks"]
    wrong = report(lambda task: "\n    raise SystemExit\n" if task.kind != "output_prediction" else " object()\n")
    assert [found["pass_at_1"] for found in wrong["tasks"].values()] == [0.0] * 3
    assert wrong["robustness"]["robust_drop_at_1"] is None


def test_unusable_tasks_are_refused(tmp_path: Path) -> None:
    task = make_tasks("test", "function_synthesis", 1)[0]
    twice, unknown = tmp_path / "twice.jsonl", tmp_path / "unknown.jsonl"
    save_records(twice, [task, task])
    unknown.write_text(json.dumps({**asdict(task), "kind": "poetry"}))
    with pytest.raises(ConfigError, match="appears twice"):
        load_tasks(replace(SMALL, tasks=str(twice)).suite())
    with pytest.raises(ConfigError, match="has kind 'poetry'"):
        load_tasks(replace(SMALL, tasks=str(unknown)).suite())
    with pytest.raises(ConfigError, match="at least one problem"):
        nothing = replace(SMALL, num_function_synthesis=0, num_output_prediction=0, num_chain_of_thought=0)
        load_tasks(nothing.suite())
    with pytest.raises(ArtifactError, match="no tasks at"):
        prepare_suite(replace(SMALL, tasks=str(tmp_path / "none.jsonl")).suite(), Limits())


def test_a_model_compared_with_itself(tiny_checkpoint: Path, tasks_file: Path, tmp_path: Path) -> None:
    config = replace(SMALL, tasks=str(tasks_file))
    first = evaluate(tiny_checkpoint, tmp_path / "first", config)
    found = _json(compare(first.path, first.path, tmp_path / "comparison"), "comparison.json")
    assert found["overall"]["difference"] == 0.0 and found["overall"]["mcnemar_p"] == 1.0
    assert found["overall"]["verdict"] != "shown"
    assert found["robustness"]["num_problems"] == 10
    other = evaluate(tiny_checkpoint, tmp_path / "other", replace(config, seed=1))
    with pytest.raises(ConfigError, match="different suites"):
        compare(first.path, other.path, tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
    (first.path / "verdicts.jsonl").write_text("")
    with pytest.raises(ArtifactError, match="was changed"):
        compare(first.path, other.path, tmp_path / "mixed")
