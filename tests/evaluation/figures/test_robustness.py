"""Robust figures against their definitions by counting, with problems of different numbers of
forms.
"""

from typing import Any

import numpy as np
import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.figures.robustness import robust_figures, robustness_retention
from flab_deploy.evaluation.statistics.metrics import mean_case_pass_at_k, robust_pass_at_k
from flab_deploy.settings.compare import CompareConfig

NOMINAL = {"a": [True], "b": [True], "c": [False], "d": [True]}
PERTURBED = {"a": [[True], [True]], "b": [[True], [False], [False]], "c": [[True]], "d": []}


def test_worst_and_mean_case_by_counting() -> None:
    found = robust_figures(NOMINAL, PERTURBED)
    assert found == {
        "num_problems": 3,
        "num_forms": 6,
        "pass_at_1": pytest.approx(2 / 3),
        "robust_pass_at_1": pytest.approx(2 / 3),
        "mean_case_pass_at_1": pytest.approx((1 + 1 / 3 + 1) / 3),
        "robust_drop_at_1": 0.0,
        "robust_relative_at_1": pytest.approx(2 / 3),
        "attack_success_at_1": pytest.approx(1 / 2),
    }


def test_an_unchanged_problem_hides_nothing() -> None:
    hidden = robust_figures(NOMINAL, {"b": PERTURBED["b"], "d": []})
    assert hidden["num_problems"] == 1 and hidden["robust_drop_at_1"] == 1.0


def test_nothing_to_divide_by() -> None:
    assert robust_figures({}, PERTURBED)["robust_pass_at_1"] is None
    assert robust_figures({"c": [False]}, {"c": [[False]]})["robust_drop_at_1"] is None


def test_more_forms_never_raise_the_worst_case() -> None:
    verdicts = np.random.default_rng(1).random((30, 4, 5)) < 0.7  # (P, S, J)
    worst = [robust_pass_at_k(verdicts[:, :, : j + 1], 2) for j in range(5)]
    assert worst == sorted(worst, reverse=True)
    forms = {str(p): verdicts[p].T.tolist() for p in range(30)}
    nominal = {str(p): [True] * 4 for p in range(30)}
    found = robust_figures(nominal, forms, k=2)
    assert found["robust_pass_at_2"] == pytest.approx(worst[-1])
    mean_case = found["mean_case_pass_at_2"]
    assert isinstance(mean_case, float) and mean_case >= worst[0] - 1e-9 or mean_case > worst[-1]
    with pytest.raises(ConfigError):
        mean_case_pass_at_k([[]])


def test_samples_of_forms_without_a_common_order() -> None:
    forms = {"a": [[True, False], [False, True]], "b": [[True, True]]}
    found = robust_figures({"a": [True, True], "b": [True, True]}, forms)
    assert found["exchangeable_robust_pass_at_1"] == (0.25 + 1) / 2
    assert found["robust_pass_at_1"] == (0 + 1) / 2
    assert "exchangeable_robust_pass_at_1" not in robust_figures(NOMINAL, PERTURBED)


def kept(original: dict[str, list[float]], candidate: dict[str, list[float]]) -> dict[str, Any]:
    found = robustness_retention(
        original, candidate, {name: name for name in original}, CompareConfig()
    )
    assert found is not None
    return found


def test_robustness_kept() -> None:
    original = {str(i): [1.0, float(i % 5 > 0)] for i in range(200)}
    candidate = {str(i): [float(i % 4 > 0), 1.0] for i in range(200)} | {"199": [1.0]}
    found = kept(original, candidate)
    both = [i for i in range(199)]
    before, after = sum(i % 5 > 0 for i in both), sum(i % 4 > 0 for i in both)
    assert (found["num_problems"], found["num_forms"], found["verdict"]) == (
        199,
        398,
        "underpowered",
    )
    assert found["retention"] == pytest.approx(after / before)
    low, high = found["retention_interval"]
    assert low < after / before < high < 1.2
    assert kept(original, original)["retention"] == 1.0
    assert kept({"a": [0.0]}, {"a": [1.0]})["retention"] is None
    assert robustness_retention({}, {}, {}, CompareConfig()) is None


def test_with_several_samples_a_problem_counts_by_its_chance() -> None:
    original = {str(i): [1.0, 0.5] for i in range(40)}
    candidate = {str(i): [0.5, 0.5] if i % 2 else [1.0, 0.5] for i in range(40)}
    found = kept(original, candidate)
    assert (found["original_pass_at_1"], found["candidate_pass_at_1"]) == (0.5, 0.375)
    assert (
        found["retention"] == 0.75
        and found["retention_interval"][0] < 0.75 < found["retention_interval"][1]
    )
