"""pass@k and its robust forms against their definitions by enumeration."""

from itertools import combinations

import numpy as np
import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics.metrics import (
    attack_success,
    pass_at_k,
    robust_drop_at_k,
    robust_pass_at_k,
    robust_relative_at_k,
)


@pytest.mark.parametrize("samples", [1, 2, 5, 8])
def test_pass_at_k_is_the_share_of_draws_with_a_right_sample(samples: int) -> None:
    for correct in range(samples + 1):
        for k in range(1, samples + 1):
            draws = list(combinations([True] * correct + [False] * (samples - correct), k))
            expected = sum(any(draw) for draw in draws) / len(draws)
            assert pass_at_k(samples, correct, k)[0] == pytest.approx(expected)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 3 samples"):
        pass_at_k([5, 2], [1, 1], 3)
    with pytest.raises(ConfigError, match="between 0 and num_samples"):
        pass_at_k([2], [3], 1)
    with pytest.raises(ConfigError, match="3 dimensions"):
        robust_pass_at_k([[True]])


def test_robust_forms_on_one_sample_count_problems() -> None:
    nominal = [[True], [True], [True], [False]]
    perturbed = [[[True, True]], [[True, False]], [[False, False]], [[False, True]]]
    assert robust_pass_at_k(perturbed) == 0.25
    assert robust_drop_at_k(nominal, perturbed) == pytest.approx((0.75 - 0.25) / 0.75)
    assert robust_relative_at_k(nominal, perturbed) == 0.75
    assert attack_success(nominal, perturbed) == pytest.approx(2 / 3)


def test_robust_pass_never_exceeds_any_form() -> None:
    perturbed = np.random.default_rng(0).random((40, 5, 3)) < 0.7
    for k in (1, 3, 5):
        each = [pass_at_k(5, perturbed[:, :, j].sum(axis=1), k).mean() for j in range(3)]
        assert robust_pass_at_k(perturbed, k) <= min(each)


def test_drop_is_undefined_where_nothing_passes() -> None:
    assert np.isnan(robust_drop_at_k([[False]], [[[True]]]))
    assert np.isnan(attack_success([[False]], [[[True]]]))
