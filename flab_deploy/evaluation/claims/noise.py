"""The noise floor: how often one and the same model changes its verdict between two evaluations.

Greedy answers depend on batch size, precision and machine, so a model compared with itself does not
always agree with itself. A candidate that disagrees no more often than that cannot be
told apart from the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.claims.pairs import Judged, Pair, pair_prompts, paired
from flab_deploy.evaluation.statistics import mean_interval, more_lost_p
from flab_deploy.records.compare import NoiseRecord


def noise_floor(
    original: Judged, repeat: Judged, pairs: Sequence[Pair], confidence: float
) -> NoiseRecord:
    """How often a second evaluation of the original differs from the first, and whether `pairs`
    differ more often.

    Raises ConfigError if `repeat` is of another model or suite, or is the first evaluation itself.
    """
    first, second = original.report.model.digest, repeat.report.model.digest
    if second != first:
        raise ConfigError(
            f"{repeat.artifact.path} evaluates another model ({second[:12]}) than the "
            f"original ({first[:12]}); evaluate the original twice"
        )
    if repeat.artifact.path.resolve() == original.artifact.path.resolve():
        raise ConfigError(
            f"{repeat.artifact.path} is the original's first evaluation; make a second one"
        )
    again = [pair for pair in pair_prompts(original, repeat) if pair[0].perturbation is None]
    return noise_of(again, pairs, confidence)


def noise_of(again: Sequence[Pair], pairs: Sequence[Pair], confidence: float) -> NoiseRecord:
    """How often two evaluations of the original, `again`, differ, and whether `pairs` differ more
    often.
    """
    found = flips(again, confidence)
    flipped = {before.task_id for before, after in again if before.passed != after.passed}
    differs = {before.task_id for before, after in pairs if before.passed != after.passed}
    p_value = more_lost_p(len(differs - flipped), len(flipped - differs))
    return replace(found, num_disagreements=len(differs), more_disagreements_p=p_value)


def flips(pairs: Sequence[Pair], confidence: float) -> NoiseRecord:
    """Problems on which two evaluations of one model differ: how many, their share and its
    interval.
    """
    both = paired(pairs)
    changed = abs(both.contrast(1.0)) > 0
    values = changed.astype(float)
    return NoiseRecord(
        num_problems=both.num_problems,
        num_flips=int(changed.sum()),
        flip_rate=float(values.mean()),
        interval=mean_interval(values, both.cluster, confidence),
        difference=float(both.contrast(1.0).mean()),
        num_disagreements=None,
        more_disagreements_p=None,
    )
