"""Robust figures against their definitions by counting, with problems of different numbers of
forms.
"""

import numpy as np
import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.figures.robustness import robust_figures
from flab_deploy.evaluation.statistics.metrics import mean_case_pass_at_k, robust_pass_at_k

NOMINAL = {"a": [True], "b": [True], "c": [False], "d": [True]}
PERTURBED = {"a": [[True], [True]], "b": [[True], [False], [False]], "c": [[True]], "d": []}


def test_worst_and_mean_case_by_counting() -> None:
    found = robust_figures(NOMINAL, PERTURBED)
    assert vars(found) == {
        "num_problems": 3,
        "num_forms": 6,
        "pass_at_1": pytest.approx(2 / 3),
        "robust_pass_at_1": pytest.approx(2 / 3),
        "mean_case_pass_at_1": pytest.approx((1 + 1 / 3 + 1) / 3),
        "robust_drop_at_1": 0.0,
        "robust_relative_at_1": pytest.approx(2 / 3),
        "attack_success_at_1": pytest.approx(1 / 2),
        "exchangeable_robust_pass_at_1": None,
    }


def test_an_unchanged_problem_hides_nothing() -> None:
    hidden = robust_figures(NOMINAL, {"b": PERTURBED["b"], "d": []})
    assert hidden.num_problems == 1 and hidden.robust_drop_at_1 == 1.0


def test_nothing_to_divide_by() -> None:
    assert robust_figures({}, PERTURBED).robust_pass_at_1 is None
    assert robust_figures({"c": [False]}, {"c": [[False]]}).robust_drop_at_1 is None


def test_more_forms_never_raise_the_worst_case() -> None:
    verdicts = np.random.default_rng(1).random((30, 4, 5)) < 0.7  # (P, S, J)
    forms = {str(p): verdicts[p].T.tolist() for p in range(30)}
    nominal = {str(p): [True] * 4 for p in range(30)}
    for k in (1, 2):
        worst = [robust_pass_at_k(verdicts[:, :, : j + 1], k) for j in range(5)]
        assert worst == sorted(worst, reverse=True)
        mean_case = mean_case_pass_at_k(list(forms.values()), k)
        assert mean_case >= worst[0] - 1e-9 or mean_case > worst[-1]
        if k == 1:
            found = robust_figures(nominal, forms)
            assert found.robust_pass_at_1 == pytest.approx(worst[-1])
            assert found.mean_case_pass_at_1 == mean_case
    with pytest.raises(ConfigError):
        mean_case_pass_at_k([[]])


def test_samples_of_forms_without_a_common_order() -> None:
    forms = {"a": [[True, False], [False, True]], "b": [[True, True]]}
    found = robust_figures({"a": [True, True], "b": [True, True]}, forms)
    assert found.exchangeable_robust_pass_at_1 == (0.25 + 1) / 2
    assert found.robust_pass_at_1 == (0 + 1) / 2
    assert robust_figures(NOMINAL, PERTURBED).exchangeable_robust_pass_at_1 is None
