"""What a candidate keeps of the original's worst case."""

import pytest

from flab_deploy.evaluation.claims.perturbed_pairs import robustness_retention
from flab_deploy.records.compare import WorstCaseClaim
from flab_deploy.settings.compare import CompareConfig


def kept(original: dict[str, list[float]], candidate: dict[str, list[float]]) -> WorstCaseClaim:
    found = robustness_retention(
        original, candidate, {name: name for name in original}, CompareConfig()
    )
    assert found is not None
    return found


def test_robustness_kept() -> None:
    original = {str(i): [1.0, float(i % 5 > 0)] for i in range(200)}
    candidate = {str(i): [float(i % 4 > 0), 1.0] for i in range(200)} | {"199": [1.0]}
    found = kept(original, candidate)
    both = [i for i in range(199)]
    before, after = sum(i % 5 > 0 for i in both), sum(i % 4 > 0 for i in both)
    assert (found.num_problems, found.num_forms, found.verdict) == (199, 398, "underpowered")
    assert found.retention == pytest.approx(after / before)
    low, high = found.retention_interval or (1.0, 1.0)
    assert low < after / before < high < 1.2
    assert kept(original, original).retention == 1.0
    assert kept({"a": [0.0]}, {"a": [1.0]}).retention is None
    assert robustness_retention({}, {}, {}, CompareConfig()) is None


def test_with_several_samples_a_problem_counts_by_its_chance() -> None:
    original = {str(i): [1.0, 0.5] for i in range(40)}
    candidate = {str(i): [0.5, 0.5] if i % 2 else [1.0, 0.5] for i in range(40)}
    found = kept(original, candidate)
    assert (found.original_pass_at_1, found.candidate_pass_at_1) == (0.5, 0.375)
    low, high = found.retention_interval or (1.0, 1.0)
    assert found.retention == 0.75 and low < 0.75 < high
