"""Robustness of one model, and how much of it another one keeps, from verdicts on perturbed forms of the same problems.

Worst case, ReCode (Wang et al., 2022, equations 1 to 3): a sample counts only if it is right for all forms
of its problem. Mean case: forms counted one by one. Problems that a method left unchanged have no form and
take no part in either, so that they cannot hide a drop; `num_problems` says how many do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flab_deploy.artifacts import Json
from flab_deploy.evaluation import metrics
from flab_deploy.evaluation.statistics import Paired, retention, retention_interval

Samples = Sequence[bool]
"""Whether each sample of a prompt is right."""


def robust_figures(
    nominal: Mapping[str, Samples], perturbed: Mapping[str, Sequence[Samples]], k: int = 1
) -> dict[str, Json]:
    """Worst and mean case over the problems of `perturbed`: for each, its forms; for each form, its samples.

    `nominal` holds the samples of the unperturbed prompt. Shares in [0, 1]; `robust_drop_at_k` may be negative,
    `robust_relative_at_k` lies in [0, 2]; None where nothing to divide by is right. Problems without a form or
    without a nominal prompt are left out; None everywhere if none is left. Raises ConfigError for ragged samples.
    """
    names = [name for name, forms in perturbed.items() if forms and name in nominal]
    if not names:
        keys = ("pass", "mean_case_pass", "robust_pass", "robust_drop", "robust_relative", "attack_success")
        return {"num_problems": 0, "num_forms": 0, **{f"{key}_at_{k}": None for key in keys}}
    most = max(len(perturbed[name]) for name in names)
    # A form given twice changes neither the worst case nor what flips, and makes all problems alike in shape.
    forms = [[*perturbed[name], *[perturbed[name][0]] * (most - len(perturbed[name]))] for name in names]
    right, worst = np.asarray([nominal[name] for name in names], dtype=bool), np.asarray(forms, dtype=bool)
    worst = worst.transpose(0, 2, 1)  # (P, S, J)
    found = {
        "pass": float(metrics.pass_at_k(right.shape[1], right.sum(axis=1), k).mean()),
        "mean_case_pass": metrics.mean_case_pass_at_k([perturbed[name] for name in names], k),
        "robust_pass": metrics.robust_pass_at_k(worst, k),
        "robust_drop": metrics.robust_drop_at_k(right, worst, k),
        "robust_relative": metrics.robust_relative_at_k(right, worst, k),
        "attack_success": metrics.attack_success(right, worst),
    }
    figures: dict[str, Json] = {f"{key}_at_{k}": None if np.isnan(value) else value for key, value in found.items()}
    return {"num_problems": len(names), "num_forms": sum(len(perturbed[name]) for name in names), **figures}


def robustness_retention(
    original: Mapping[str, Sequence[bool]],
    candidate: Mapping[str, Sequence[bool]],
    clusters: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> dict[str, Json]:
    """What a candidate keeps of the original's worst case, over problems whose forms both answered, paired.

    Both map a problem to the verdicts on its forms, in the same order. `retention` is the ratio of the shares of
    problems right under every form, with its interval; None where the original has none.
    """
    names = [name for name in original if original[name] and len(candidate.get(name, ())) == len(original[name])]
    if not names:
        return {"num_problems": 0, "original": None, "candidate": None, "retention": None, "interval": None}
    before, after = [all(original[name]) for name in names], [all(candidate[name]) for name in names]
    both = Paired.of(before, after, [(clusters or {}).get(name, "") for name in names])
    interval = retention_interval(both, confidence)
    return {
        "num_problems": len(names), "original": sum(before) / len(names), "candidate": sum(after) / len(names),
        "retention": retention(both), "interval": list(interval) if interval else None,
    }  # fmt: skip
