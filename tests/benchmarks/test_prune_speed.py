"""The cut against a plain copy of the same files, interleaved."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from statistics import median

import pytest

from flab_deploy.checkpoint import reference_path
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.pruning import plan, prune

ROUNDS = 5


@pytest.mark.benchmark
def test_seconds_of_a_cut_over_seconds_of_a_copy(tmp_path: Path) -> None:
    score(
        "reference",
        tmp_path / "scores",
        ScoreConfig(corpus="reference", num_counted=200, num_calibration=8),
    )
    plan("reference", tmp_path / "scores", tmp_path / "plan")
    ratios = []
    for index in range(ROUNDS):
        started = time.perf_counter()
        shutil.copytree(reference_path(), tmp_path / f"copy-{index}")
        copied = time.perf_counter()
        prune("reference", tmp_path / "plan", tmp_path / f"pruned-{index}")
        ratios.append((time.perf_counter() - copied) / (copied - started))
    print(
        f"\ncut / copy of the reference model: median {median(ratios):.1f}, {min(ratios):.1f} "
        f"to {max(ratios):.1f}"
    )
