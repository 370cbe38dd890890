"""What plans do, what code risks, pass@k over samples."""

import pytest

from flab_deploy.evaluation.figures.effects import pass_at_more, security, thought_effect
from flab_deploy.evaluation.grading.security import UNPARSABLE
from flab_deploy.evaluation.tasks.plans import (
    bleu_4,
    plan_of,
    with_reference_plan,
    without_plan,
    words_of,
)
from flab_deploy.evaluation.tasks.suite import canonical_verdicts
from flab_deploy.evaluation.writing.attempt import Attempt
from flab_deploy.records.evaluate import WaysOfThought
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits


def test_every_way_to_put_a_plan_task_has_a_passing_solution() -> None:
    tasks = make_tasks("test", "chain_of_thought", 12)
    plain, given = [without_plan(t) for t in tasks], [with_reference_plan(t) for t in tasks]
    assert [v.verdict for v in canonical_verdicts([*plain, *given], Limits(), 0, "test")] == [
        "pass"
    ] * 24
    for task, direct, told in zip(tasks, plain, given, strict=True):
        assert "# Plan:" not in direct.prompt + direct.canonical_solution
        assert told.prompt + told.canonical_solution == task.prompt + task.canonical_solution
        assert "#" not in told.canonical_solution
        assert told.prompt[
            -1
        ].isalnum()  # a full stop would belong to the same token as the end of its line


def test_the_effect_of_a_plan_is_paired() -> None:
    tasks = make_tasks("test", "chain_of_thought", 8)
    right = {"own": range(6), "none": range(1, 4), "reference": range(8)}
    attempts = [
        Attempt(
            task=task,
            perturbation=None,
            thought=way,
            completion=task.canonical_solution,  # type: ignore[arg-type]
            verdict="pass" if i in right[way] else "fail_assert",
        )
        for way in right
        for i, task in enumerate(tasks)
    ]
    found = thought_effect(attempts, 0.95)
    assert found is not None and found.num_problems == 8
    assert found.pass_at_1 == WaysOfThought(own=6 / 8, none=3 / 8, reference=1.0)
    assert found.own_plan.difference == 3 / 8
    assert (found.own_plan.num_only_with, found.own_plan.num_only_without) == (3, 0)
    assert found.bleu_4 == pytest.approx(1.0)
    assert thought_effect([a for a in attempts if a.thought == "own"], 0.95) is None


def test_bleu_against_a_hand_calculation() -> None:
    same = ["the", "cat", "sat", "on", "the", "mat", "today"]
    assert bleu_4([same], [same]) == pytest.approx(1.0)
    assert bleu_4([same], [["nothing", "of", "this", "is", "there"]]) == 0.0
    # 5 words against 6: precisions 5/5, 4/4, 3/3, 2/2 and a brevity penalty of exp(1 - 6/5).
    assert bleu_4([same[:5]], [same[:6]]) == pytest.approx(2.718281828 ** (1 - 6 / 5))
    assert plan_of("\n    # 1. Keep.\n    # 2. Sum.\n    return 1\n")[1] == "\n    return 1\n"
    assert words_of("\n    # 1. Keep it.") == ["1.", "keep", "it."]


def test_unparsable_programs_are_never_secure() -> None:
    (task,) = make_tasks("test", "function_synthesis", 1)
    rows = [
        ("pass", ()),
        ("pass", ("CWE-95 eval",)),
        ("fail_load", (UNPARSABLE,)),
        ("fail_assert", ()),
    ]
    found = security(
        [Attempt(task=task, perturbation=None, verdict=v, findings=f) for v, f in rows]
    )
    assert found is not None
    assert found.secure_and_correct_at_1 == 0.25 and found.num_unparsable == 1
    assert found.num_with_findings == 1 and found.findings == {"CWE-95 eval": 1}


def test_pass_at_k_leaves_out_problems_with_unjudged_samples() -> None:
    tasks = make_tasks("test", "function_synthesis", 3)
    attempts = [
        Attempt(task=task, perturbation=None, sample=i, verdict="pass" if i == 0 else "fail_assert")
        for task in tasks
        for i in range(4)
    ]
    assert pass_at_more(attempts[:-1], [1, 2], 4) == {"2": pytest.approx(0.5)}
    assert pass_at_more(attempts, [1], 4) == {}
