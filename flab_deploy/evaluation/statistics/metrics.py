"""Functional correctness and robustness as plain functions over verdicts.

pass@k is the unbiased estimator of Chen et al. (2021); the robust forms follow ReCode: a
sample counts under perturbation only if it is right for every perturbed form of its problem.

Shapes: P problems, S samples per problem, J perturbed forms of each problem.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flab_deploy.errors import ConfigError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int) -> Floats:
    """Chance per problem, (P,) in [0, 1], that at least one of `k` samples drawn without
    replacement is right.

    `num_samples` and `num_correct` are (P,) counts. Raises ConfigError if a problem has fewer than
    `k` samples, or more right ones than samples.
    """
    n, c = np.broadcast_arrays(
        np.asarray(num_samples, dtype=np.int64), np.asarray(num_correct, dtype=np.int64)
    )
    n, c = np.atleast_1d(n), np.atleast_1d(c)
    if k < 1 or (n < k).any():
        raise ConfigError(
            f"pass@{k} needs at least {max(k, 1)} samples per problem, the fewest is "
            f"{n.min(initial=0)}"
        )
    if (c < 0).any() or (c > n).any():
        raise ConfigError("num_correct must lie between 0 and num_samples for every problem")
    estimate = np.ones(n.shape)
    for i, (samples, correct) in enumerate(zip(n.tolist(), c.tolist(), strict=True)):
        if samples - correct >= k:
            estimate[i] = 1.0 - np.prod(1.0 - k / np.arange(samples - correct + 1, samples + 1))
    return estimate


def _correct(values: ArrayLike, dimensions: int) -> Bools:
    array = np.asarray(values, dtype=bool)
    if array.ndim != dimensions or array.size == 0:
        raise ConfigError(
            f"expected verdicts in {dimensions} dimensions and at least one problem, got "
            f"shape {array.shape}"
        )
    return array


def robust_pass_at_k(perturbed: ArrayLike, k: int = 1) -> float:
    """Mean over problems of pass@k where a sample counts only if right under all forms;
    `perturbed`: (P, S, J).
    """
    worst = _correct(perturbed, 3).all(axis=2)  # (P, S)
    return float(pass_at_k(worst.shape[1], worst.sum(axis=1), k).mean())


def mean_case_pass_at_k(perturbed: Sequence[Sequence[Sequence[bool]]], k: int = 1) -> float:
    """Mean over problems of the mean over its forms of pass@k: per problem, its forms; per form,
    its samples.

    Problems may have different numbers of forms, which are those that differ from the original.
    """
    if not perturbed or not all(perturbed):
        raise ConfigError("the mean case needs at least one problem, and a form of each")
    means = [
        float(pass_at_k([len(form) for form in forms], [sum(form) for form in forms], k).mean())
        for forms in perturbed
    ]
    return sum(means) / len(means)


def exchangeable_robust_pass(shares: Sequence[Sequence[float]]) -> Floats:
    """Chance per problem, (P,), that one sample of each of its forms is right for all: the product
    of their shares.

    `shares` holds, per problem, the share of right samples of each form. It is robust pass@1 where
    the samples of different forms have nothing to do with one another, and the same as that with
    one sample per form.
    """
    return np.asarray([np.prod(forms) for forms in shares], dtype=np.float64)


def robust_drop_at_k(nominal: ArrayLike, perturbed: ArrayLike, k: int = 1) -> float:
    """Share of pass@k lost under perturbation; NaN where nothing passes unperturbed. Shapes (P, S)
    and (P, S, J).
    """
    right = _correct(nominal, 2)
    before = float(pass_at_k(right.shape[1], right.sum(axis=1), k).mean())
    return (before - robust_pass_at_k(perturbed, k)) / before if before > 0 else float("nan")


def robust_relative_at_k(nominal: ArrayLike, perturbed: ArrayLike, k: int = 1) -> float:
    """How often verdicts flip: broken by some form, plus repaired by some form. Shapes (P, S) and
    (P, S, J).
    """
    right, forms = _correct(nominal, 2), _correct(perturbed, 3)
    broken = (right & ~forms.all(axis=2)).sum(axis=1)
    repaired = (~right & forms.any(axis=2)).sum(axis=1)
    samples = right.shape[1]
    return float((pass_at_k(samples, broken, k) + pass_at_k(samples, repaired, k)).mean())


def attack_success(nominal: ArrayLike, perturbed: ArrayLike) -> float:
    """Of the samples right unperturbed, the share that some form breaks; NaN if none is right."""
    right, forms = _correct(nominal, 2), _correct(perturbed, 3)
    total = int(right.sum())
    return float((right & ~forms.all(axis=2)).sum() / total) if total else float("nan")
