"""Two models on perturbed prompts: which perturbations cost the candidate more, with many tests
accounted for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flab_deploy.evaluation.claims.claim import claim_figures
from flab_deploy.evaluation.claims.pairs import Pair, paired
from flab_deploy.evaluation.statistics import (
    Paired,
    benjamini_hochberg,
    clustered_mcnemar,
    difference_interval,
    holm,
    retention,
    retention_interval,
)
from flab_deploy.evaluation.statistics.clusters import Floats, cluster_sums
from flab_deploy.evaluation.statistics.intervals import bca_interval
from flab_deploy.evaluation.statistics.metrics import exchangeable_robust_pass
from flab_deploy.records.compare import (
    DropRecord,
    FamilyPair,
    MethodPair,
    PairFigures,
    RobustnessClaim,
    WorstCaseClaim,
)
from flab_deploy.settings.compare import CompareConfig

_NUM_RESAMPLES = 4999
_FEWEST_CLUSTERS = 10


def robustness_figures(
    pairs: Sequence[Pair], families: Mapping[str, str], config: CompareConfig
) -> RobustnessClaim | None:
    """The claim over all perturbed prompts and over the worst case of each problem; robust drop;
    families; methods.

    `families` maps method to family. Families' p-values are adjusted after Holm, methods' after
    Benjamini and Hochberg; McNemar's test is exact over clusters, for the forms of one problem
    stand and fall together. None without perturbed prompts.
    """
    perturbed = [pair for pair in pairs if pair[0].perturbation is not None and not pair[0].probe]
    if not perturbed:
        return None
    by_family = _figures_of(_grouped(perturbed, lambda name: families.get(name, "")), config)
    by_method = _figures_of(_grouped(perturbed, lambda name: name), config)
    family_p = holm([found.mcnemar_p for found in by_family.values()])
    method_p = benjamini_hochberg([found.mcnemar_p for found in by_method.values()])
    return RobustnessClaim(
        **vars(claim_figures(paired(perturbed), config)),
        worst_case=_worst_case(perturbed, config),
        drop=_drop(pairs, perturbed, config),
        families={
            name: FamilyPair(**vars(found), holm_p=p)
            for (name, found), p in zip(by_family.items(), family_p, strict=True)
        },
        perturbations={
            name: MethodPair(**vars(found), benjamini_hochberg_p=p)
            for (name, found), p in zip(by_method.items(), method_p, strict=True)
        },
    )


def _worst_case(perturbed: Sequence[Pair], config: CompareConfig) -> WorstCaseClaim | None:
    """The claim over problems, each solved only if it is under every one of its forms."""
    before: dict[str, list[float]] = {}
    after: dict[str, list[float]] = {}
    for original, candidate in perturbed:
        before.setdefault(original.task_id, []).append(original.passed)
        after.setdefault(original.task_id, []).append(candidate.passed)
    clusters = {original.task_id: original.cluster for original, _ in perturbed}
    return robustness_retention(before, after, clusters, config)


def robustness_retention(
    original: Mapping[str, Sequence[float]],
    candidate: Mapping[str, Sequence[float]],
    clusters: Mapping[str, str],
    config: CompareConfig,
) -> WorstCaseClaim | None:
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
        exchangeable_robust_pass([found[name] for name in names]).tolist()
        for found in (original, candidate)
    )
    both = Paired.of(before, after, [clusters[name] for name in names])
    return WorstCaseClaim(
        **vars(claim_figures(both, config)), num_forms=sum(len(original[name]) for name in names)
    )


def _grouped(pairs: Sequence[Pair], group: Callable[[str], str]) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(group(pair[0].perturbation or ""), []).append(pair)
    return found


def _figures_of(
    groups: Mapping[str, Sequence[Pair]], config: CompareConfig
) -> dict[str, PairFigures]:
    return {name: _figures(paired(pairs), config) for name, pairs in groups.items()}


def _figures(both: Paired, config: CompareConfig) -> PairFigures:
    counts = both.counts
    return PairFigures(
        num_items=both.num_problems,
        original_pass_at_1=float(both.original.mean()),
        candidate_pass_at_1=float(both.candidate.mean()),
        difference=float(both.contrast(1.0).mean()),
        difference_interval=difference_interval(both, config.confidence),
        retention=retention(both),
        retention_interval=retention_interval(both, config.confidence),
        num_only_original=counts.only_original,
        num_only_candidate=counts.only_candidate,
        mcnemar_p=clustered_mcnemar(both),
    )


def _drop(
    pairs: Sequence[Pair], perturbed: Sequence[Pair], config: CompareConfig
) -> DropRecord | None:
    """Robust drop (ReCode) of both models, and the candidate's minus the original's with a BCa
    interval over clusters.

    Each perturbed prompt is held against the one it was made from.
    The interval is None where nothing passes unperturbed or there are fewer than ten clusters.
    """
    written = {(b.task_id, b.perturbation): (b, after) for b, after in pairs if b.variant == 0}
    items = [
        (pair, plain)
        for pair in perturbed
        if (plain := written.get((pair[0].task_id, pair[0].baseline)))
    ]
    if not items:
        return None
    hard, nominal = paired([pair for pair, _ in items]), paired([plain for _, plain in items])
    sums = [
        cluster_sums(values, hard.cluster)
        for values in (nominal.original, hard.original, nominal.candidate, hard.candidate)
    ]
    whole = [float(values.sum()) for values in sums]
    drops = [
        1 - after / before if before else None
        for before, after in ((whole[0], whole[1]), (whole[2], whole[3]))
    ]
    enough = None not in drops and hard.num_clusters >= _FEWEST_CLUSTERS
    interval = (
        bca_interval(sums, _drop_difference, config.confidence, _NUM_RESAMPLES, 0)
        if enough
        else None
    )
    gap = drops[1] - drops[0] if drops[0] is not None and drops[1] is not None else None
    return DropRecord(original=drops[0], candidate=drops[1], difference=gap, interval=interval)


def _drop_difference(
    plain_o: Floats, hard_o: Floats, plain_c: Floats, hard_c: Floats, axis: int = -1
) -> Floats:
    return np.asarray(hard_o.sum(axis) / plain_o.sum(axis) - hard_c.sum(axis) / plain_c.sum(axis))
