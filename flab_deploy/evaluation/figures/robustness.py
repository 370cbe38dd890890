"""Robustness of one model, from verdicts on perturbed forms of the same problems.

Worst case, ReCode (Wang et al., 2022, equations 1 to 3): a sample counts only if it is right for
all forms of its problem. Mean case: forms counted one by one. Problems that a method left unchanged
have no form and take no part in either, so that they cannot hide a drop; `num_problems` says how
many do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from flab_deploy.evaluation.statistics import metrics
from flab_deploy.records.evaluate import RobustFigures

Samples = Sequence[bool]
"""Whether each sample of a prompt is right."""
_NOTHING = RobustFigures(
    num_problems=0,
    num_forms=0,
    pass_at_1=None,
    mean_case_pass_at_1=None,
    robust_pass_at_1=None,
    robust_drop_at_1=None,
    robust_relative_at_1=None,
    attack_success_at_1=None,
    exchangeable_robust_pass_at_1=None,
)


def robust_figures(
    nominal: Mapping[str, Samples], perturbed: Mapping[str, Sequence[Samples]]
) -> RobustFigures:
    """Worst and mean case over the problems of `perturbed`: for each, its forms; for each form, its
    samples.

    `nominal` holds the samples of the unperturbed prompt. Shares in [0, 1]; `robust_drop_at_1` may
    be negative, `robust_relative_at_1` lies in [0, 2]; None where nothing to divide by is right.
    With several samples, `exchangeable_robust_pass_at_1` does not pair the samples of different
    forms. Problems without a form or without a nominal prompt are left out; None everywhere if none
    is left. Raises ConfigError for ragged samples.
    """
    names = [name for name, forms in perturbed.items() if forms and name in nominal]
    if not names:
        return _NOTHING
    most = max(len(perturbed[name]) for name in names)
    # A form given twice changes neither the worst case nor what flips, and makes all problems alike
    # in shape.
    forms = [
        [*perturbed[name], *[perturbed[name][0]] * (most - len(perturbed[name]))] for name in names
    ]
    right = np.asarray([nominal[name] for name in names], dtype=bool)  # (P, S)
    worst = np.asarray(forms, dtype=bool).transpose(0, 2, 1)  # (P, S, J)
    shares = [[sum(form) / len(form) for form in perturbed[name]] for name in names]
    several = right.shape[1] > 1
    return RobustFigures(
        num_problems=len(names),
        num_forms=sum(len(perturbed[name]) for name in names),
        pass_at_1=float(metrics.pass_at_k(right.shape[1], right.sum(axis=1), 1).mean()),
        mean_case_pass_at_1=metrics.mean_case_pass_at_k([perturbed[name] for name in names]),
        robust_pass_at_1=metrics.robust_pass_at_k(worst),
        robust_drop_at_1=_defined(metrics.robust_drop_at_k(right, worst)),
        robust_relative_at_1=metrics.robust_relative_at_k(right, worst),
        attack_success_at_1=_defined(metrics.attack_success(right, worst)),
        exchangeable_robust_pass_at_1=(
            float(metrics.exchangeable_robust_pass(shares).mean()) if several else None
        ),
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
