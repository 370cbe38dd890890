"""Statistics of paired evaluations; one concept per module.

`paired` holds what two models achieve on the same problems, `clusters` which problems stand and
fall together. On these rest intervals (`rates` of one model, `intervals` of two, `score` the
algebra), tests (`mcnemar`, `noninferiority` with `trinomial`, `multiplicity`), the `planning` of a
suite's size, and the `metrics` of functional correctness; `totals` are of texts, not of verdicts.
A new statistic is a function here, exported below, and a test against a reference or a simulation.
"""

from flab_deploy.evaluation.statistics.clusters import cluster_index, design_effect
from flab_deploy.evaluation.statistics.intervals import (
    bootstrap_retention_interval,
    difference_interval,
    retention_interval,
)
from flab_deploy.evaluation.statistics.mcnemar import clustered_mcnemar, mcnemar_exact, more_lost_p
from flab_deploy.evaluation.statistics.multiplicity import benjamini_hochberg, holm
from flab_deploy.evaluation.statistics.noninferiority import non_inferiority_p
from flab_deploy.evaluation.statistics.paired import Counts, Paired, retention
from flab_deploy.evaluation.statistics.planning import (
    assumptions_from,
    needed_for_clusters,
    power,
    problems_needed,
    strictest_margin,
)
from flab_deploy.evaluation.statistics.rates import (
    clustered_wilson_interval,
    mean_interval,
    pass_at_k_interval,
    wilson_interval,
)
from flab_deploy.evaluation.statistics.totals import TotalsRatio, below_p, detectable_excess
from flab_deploy.settings.compare import Assumptions

__all__ = [
    "Assumptions",
    "Counts",
    "Paired",
    "TotalsRatio",
    "assumptions_from",
    "below_p",
    "benjamini_hochberg",
    "bootstrap_retention_interval",
    "cluster_index",
    "clustered_mcnemar",
    "clustered_wilson_interval",
    "design_effect",
    "detectable_excess",
    "difference_interval",
    "holm",
    "mcnemar_exact",
    "mean_interval",
    "needed_for_clusters",
    "more_lost_p",
    "non_inferiority_p",
    "pass_at_k_interval",
    "power",
    "problems_needed",
    "retention",
    "retention_interval",
    "strictest_margin",
    "wilson_interval",
]
