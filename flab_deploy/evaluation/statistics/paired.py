"""Two models on the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics.clusters import (
    Floats,
    Ints,
    cluster_index,
    design_effect,
    fewest_effective,
    num_clusters,
)


class Counts(NamedTuple):
    """Problems by who solves them."""

    both: int
    only_original: int
    only_candidate: int
    neither: int


@dataclass(frozen=True, kw_only=True)
class Paired:
    """What two models achieve on the same problems: 0 or 1, or the share of several samples that is
    right.
    """

    original: Floats
    """The original's share of right answers per problem, (P,) in [0, 1]."""
    candidate: Floats
    """The candidate's share of right answers per problem, (P,) in [0, 1]."""
    cluster: Ints
    """Cluster index of each problem, (P,), from 0."""

    @classmethod
    def of(
        cls,
        original: Sequence[float],
        candidate: Sequence[float],
        clusters: Sequence[str] | None = None,
    ) -> Paired:
        """Paired results; without `clusters`, or where a name is empty, each problem is its own
        cluster.

        Raises ConfigError if the lengths differ or there are no problems.
        """
        names = [""] * len(original) if clusters is None else list(clusters)
        if not len(original) == len(candidate) == len(names) or len(original) == 0:
            raise ConfigError(
                f"paired verdicts need equal lengths above zero, got {len(original)}, "
                f"{len(candidate)} and {len(names)}"
            )
        return cls(
            original=np.asarray(original, dtype=np.float64),
            candidate=np.asarray(candidate, dtype=np.float64),
            cluster=cluster_index(names),
        )

    @property
    def num_problems(self) -> int:
        """How many problems both models tried."""
        return len(self.original)

    @cached_property
    def num_clusters(self) -> int:
        """How many clusters the problems fall into."""
        return num_clusters(self.cluster)

    @cached_property
    def binary(self) -> bool:
        """Whether every problem has one verdict per model, so that counts say it all."""
        values = np.concatenate([self.original, self.candidate])
        return bool(np.isin(values, (0.0, 1.0)).all())

    @property
    def independent(self) -> bool:
        """Whether each problem is a cluster of its own."""
        return self.num_clusters == self.num_problems

    @cached_property
    def counts(self) -> Counts:
        """Problems by who solves them; of several samples, more than half must be right."""
        before, after = self.original > 0.5, self.candidate > 0.5
        return Counts(
            both=int((before & after).sum()),
            only_original=int((before & ~after).sum()),
            only_candidate=int((~before & after).sum()),
            neither=int((~before & ~after).sum()),
        )

    def contrast(self, weight: float) -> Floats:
        """Candidate minus `weight` times original per problem, (P,)."""
        return self.candidate - weight * self.original

    def design_effect(self, weight: float) -> float:
        """How much clusters inflate the variance of the mean contrast; at least 1."""
        return design_effect(self.contrast(weight), self.cluster)


def retention(paired: Paired) -> float | None:
    """Candidate's pass rate over the original's; None if the original solves nothing."""
    total = paired.original.sum()
    return float(paired.candidate.sum() / total) if total else None


def solved_clusters(paired: Paired) -> float:
    """How many independent problems the original would solve if all problems of a cluster were
    alike.
    """
    return fewest_effective(paired.cluster) * float(paired.original.mean())
