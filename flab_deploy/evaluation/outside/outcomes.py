"""What every harness's result file comes down to: by metric and problem, samples and right ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.evaluation.outside.result_document import ResultDocument

PASSED = "pass"


@dataclass(frozen=True, kw_only=True)
class ProblemOutcome:
    """What became of one problem under one metric."""

    num_samples: int
    num_right: int
    ending: str
    """How the first wrong sample ended, in the harness's words; `pass` if all are right."""

    @classmethod
    def of(cls, endings: Sequence[str]) -> ProblemOutcome:
        """The outcome of samples that ended so, the right ones with `pass`."""
        wrong = [ending for ending in endings if ending != PASSED]
        return cls(
            num_samples=len(endings),
            num_right=len(endings) - len(wrong),
            ending=wrong[0] if wrong else PASSED,
        )


Outcomes = Mapping[str, ProblemOutcome]
"""By the problem's id."""


@dataclass(frozen=True, kw_only=True)
class OutsideResults:
    """One result file of a harness."""

    harness: str
    path: Path
    digest: str
    """SHA-256 of the file."""
    task: str | None
    """The harness's name of the problem set; None where neither file nor file name says it."""
    data_set: str | None
    """The harness's digest of the problem set; None where the file has none."""
    texts: Mapping[str, str] | None
    """Digest of each problem's text by id; None where the file does not hold the texts."""
    prompts: Mapping[str, str] | None
    """Digest of what the model was asked, by problem's id; None where the file does not say it."""
    metrics: Mapping[str, Outcomes]
    """Metrics that say pass or fail, by name."""
    graded: Mapping[str, str]
    """Other metrics by name, with a value that is neither, and where it stands."""


@dataclass(frozen=True, kw_only=True)
class Harness:
    """How the files of one harness are known and read."""

    name: str
    files: str
    """Its result files, in words."""
    recognises: Callable[[ResultDocument], bool]
    """Whether a document is of this harness, be it of use or not."""
    read: Callable[[ResultDocument], OutsideResults]
    """What a document of this harness says. Raises ConfigError that names file and place where that
    is not the verdict on every problem.
    """
