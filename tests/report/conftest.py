"""Synthetic runs: one complete, one that stopped after the first evaluation."""

from pathlib import Path

import pytest

from tests.report.synthetic_run import write_complete, write_start


@pytest.fixture
def complete_run(tmp_path: Path) -> Path:
    """A run with every stage, to change at will."""
    return write_complete(tmp_path / "complete")


@pytest.fixture
def partial_run(tmp_path: Path) -> Path:
    """A run that was stopped after the original was evaluated."""
    run = tmp_path / "partial"
    write_start(run)
    return run
