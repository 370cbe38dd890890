"""Robustness of one model, and how much of it another one keeps, from verdicts on perturbed forms
of the same problems.

Worst case, ReCode (Wang et al., 2022, equations 1 to 3): a sample counts only if it is right for
all forms of its problem. Mean case: forms counted one by one. Problems that a method left unchanged
have no form and take no part in either, so that they cannot hide a drop; `num_problems` says how
many do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flab_deploy.artifacts import Json
from flab_deploy.evaluation.claims.claim import claim_figures
from flab_deploy.evaluation.statistics import Paired, metrics
from flab_deploy.settings.compare import CompareConfig

Samples = Sequence[bool]
"""Whether each sample of a prompt is right."""


def robust_figures(
    nominal: Mapping[str, Samples], perturbed: Mapping[str, Sequence[Samples]], k: int = 1
) -> dict[str, Json]:
    """Worst and mean case over the problems of `perturbed`: for each, its forms; for each form, its
    samples.

    `nominal` holds the samples of the unperturbed prompt. Shares in [0, 1]; `robust_drop_at_k` may
    be negative, `robust_relative_at_k` lies in [0, 2]; None where nothing to divide by is right.
    With several samples, `exchangeable_robust_pass_at_1` does not pair the samples of different
    forms. Problems without a form or without a nominal prompt are left out; None everywhere if none
    is left. Raises ConfigError for ragged samples.
    """
    names = [name for name, forms in perturbed.items() if forms and name in nominal]
    if not names:
        keys = (
            "pass",
            "mean_case_pass",
            "robust_pass",
            "robust_drop",
            "robust_relative",
            "attack_success",
        )
        return {"num_problems": 0, "num_forms": 0, **{f"{key}_at_{k}": None for key in keys}}
    most = max(len(perturbed[name]) for name in names)
    # A form given twice changes neither the worst case nor what flips, and makes all problems alike
    # in shape.
    forms = [
        [*perturbed[name], *[perturbed[name][0]] * (most - len(perturbed[name]))] for name in names
    ]
    right, worst = (
        np.asarray([nominal[name] for name in names], dtype=bool),
        np.asarray(forms, dtype=bool),
    )
    worst = worst.transpose(0, 2, 1)  # (P, S, J)
    found = {
        "pass": float(metrics.pass_at_k(right.shape[1], right.sum(axis=1), k).mean()),
        "mean_case_pass": metrics.mean_case_pass_at_k([perturbed[name] for name in names], k),
        "robust_pass": metrics.robust_pass_at_k(worst, k),
        "robust_drop": metrics.robust_drop_at_k(right, worst, k),
        "robust_relative": metrics.robust_relative_at_k(right, worst, k),
        "attack_success": metrics.attack_success(right, worst),
    }
    if right.shape[1] > 1 and k == 1:
        shares = [[sum(form) / len(form) for form in perturbed[name]] for name in names]
        found["exchangeable_robust_pass"] = float(metrics.exchangeable_robust_pass(shares).mean())
    figures: dict[str, Json] = {
        f"{key}_at_{k}": None if np.isnan(value) else value for key, value in found.items()
    }
    return {
        "num_problems": len(names),
        "num_forms": sum(len(perturbed[name]) for name in names),
        **figures,
    }


def robustness_retention(
    original: Mapping[str, Sequence[float]],
    candidate: Mapping[str, Sequence[float]],
    clusters: Mapping[str, str],
    config: CompareConfig,
) -> dict[str, Json] | None:
    """What a candidate keeps of the original's worst case, as a claim, over problems whose forms
    both answered.

    Both map a problem to the share of right samples of each of its forms, in the same order;
    `clusters` maps a problem to its cluster. A problem counts by the chance that it is solved under
    every form. None without problems.
    """
    names = [
        name
        for name in original
        if original[name] and len(candidate.get(name, ())) == len(original[name])
    ]
    if not names:
        return None
    before, after = (
        metrics.exchangeable_robust_pass([found[name] for name in names]).tolist()
        for found in (original, candidate)
    )
    both = Paired.of(before, after, [clusters[name] for name in names])
    return {**claim_figures(both, config), "num_forms": sum(len(original[name]) for name in names)}
