"""Reading a run directory: which stages are there, and what their records say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flab_deploy.artifacts import MANIFEST, Artifact, check_digest, json_digest
from flab_deploy.errors import ArtifactError
from flab_deploy.records.bench import BENCH_FILE, BenchRecord
from flab_deploy.records.compare import COMPARISON_FILE, ComparisonRecord
from flab_deploy.records.document import as_json, read_record, record_of
from flab_deploy.records.evaluate import REPORT_FILE, EvaluationRecord
from flab_deploy.records.export import PARITY_FILE, ExportRecord
from flab_deploy.records.footprint import FOOTPRINT_FILE, FootprintRecord
from flab_deploy.records.manifest import ManifestRecord
from flab_deploy.records.plan import PLAN_FILE, PlanRecord
from flab_deploy.records.prune import PruneRecord
from flab_deploy.records.recover import RecoverRecord
from flab_deploy.records.report import FinalModel
from flab_deploy.records.run import RUN_FILE, RunRecord
from flab_deploy.records.scores import SCORES_FILE, ScoresRecord
from flab_deploy.report.discover import find_stages

T = TypeVar("T")
MODELS = ("original", "pruned", "recovered")
"""Models that a run evaluates."""

STAGES: Mapping[str, tuple[type[object], str | None]] = {
    "scores": (ScoresRecord, SCORES_FILE),
    "plan": (PlanRecord, PLAN_FILE),
    "pruned": (PruneRecord, None),
    "recovered": (RecoverRecord, None),
    "evaluate-original": (EvaluationRecord, REPORT_FILE),
    "evaluate-pruned": (EvaluationRecord, REPORT_FILE),
    "evaluate-recovered": (EvaluationRecord, REPORT_FILE),
    "compare-pruned": (ComparisonRecord, COMPARISON_FILE),
    "compare-recovered": (ComparisonRecord, COMPARISON_FILE),
    "footprint": (FootprintRecord, FOOTPRINT_FILE),
    "export": (ExportRecord, PARITY_FILE),
    "bench": (BenchRecord, BENCH_FILE),
}
"""Stages of a run in order, with what each says and in which file (None: in its manifest)."""


@dataclass(frozen=True, kw_only=True)
class RunContents:
    """A run directory as read once; a stage whose record is None was not run."""

    artifacts: dict[str, Artifact]
    """Finished stages by name."""
    manifests: dict[str, ManifestRecord]
    """What each of them says of itself."""
    scores: ScoresRecord | None
    plan: PlanRecord | None
    pruned: PruneRecord | None
    recovered: RecoverRecord | None
    evaluate_original: EvaluationRecord | None
    evaluate_pruned: EvaluationRecord | None
    evaluate_recovered: EvaluationRecord | None
    compare_pruned: ComparisonRecord | None
    compare_recovered: ComparisonRecord | None
    footprint: FootprintRecord | None
    export: ExportRecord | None
    bench: BenchRecord | None
    record: RunRecord | None
    """What was asked of the run; None if it left no `run.json`."""

    @property
    def evaluations(self) -> dict[str, EvaluationRecord]:
        """What was found of each model that was judged."""
        found = (self.evaluate_original, self.evaluate_pruned, self.evaluate_recovered)
        return {model: one for model, one in zip(MODELS, found, strict=True) if one is not None}

    @property
    def comparisons(self) -> dict[str, ComparisonRecord]:
        """What was found of each model that was compared with the original."""
        found = (self.compare_pruned, self.compare_recovered)
        return {model: one for model, one in zip(MODELS[1:], found, strict=True) if one is not None}

    @property
    def final(self) -> FinalModel:
        """The slimmed model: the recovered one, or the pruned one where that is as far as the run
        got.
        """
        judged = {*self.evaluations, *self.comparisons}
        return "pruned" if "pruned" in judged and "recovered" not in judged else "recovered"

    def has(self, stage: str) -> bool:
        """Whether the stage was run to its end."""
        return stage in self.artifacts

    def digest(self) -> str:
        """SHA-256 over everything the report is made from, measurements included."""
        records = {name: getattr(self, name.replace("-", "_")) for name in self.artifacts}
        said = {**records, "record": self.record}
        return json_digest(
            {
                "manifests": {name: as_json(found) for name, found in self.manifests.items()},
                "records": {name: as_json(found) for name, found in said.items() if found},
            }
        )


def read_run(path: Path) -> RunContents:
    """The run at `path`.

    Raises ArtifactError if there is none, if one of its documents was changed, or if one is
    damaged or lacks a field, which it names.
    """
    if not path.is_dir():
        raise ArtifactError(f"no run at {path}; give the --out directory of `flab run`")
    artifacts = find_stages(path, STAGES)
    if not artifacts:
        raise ArtifactError(
            f"{path} holds no finished stage; start one with `flab run --out {path}`"
        )
    manifests = {
        name: record_of(ManifestRecord, found.manifest, str(found.path / MANIFEST))
        for name, found in artifacts.items()
    }
    records = {
        name.replace("-", "_"): _said(cls, file, artifacts.get(name))
        for name, (cls, file) in STAGES.items()
    }
    asked = path / RUN_FILE
    return RunContents(
        artifacts=artifacts,
        manifests=manifests,
        record=read_record(RunRecord, asked) if asked.is_file() else None,
        **records,  # type: ignore[arg-type]
    )


def _said(cls: type[T], file: str | None, artifact: Artifact | None) -> T | None:
    """A stage's record, or None if it was not run."""
    if artifact is None:
        return None
    if file is None:
        return record_of(cls, artifact.figures, str(artifact.path / MANIFEST))
    if file != PARITY_FILE:  # `flab verify` reads through exported weights
        check_digest(artifact)
    return read_record(cls, artifact.path / file)
