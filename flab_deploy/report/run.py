"""Reading a run directory: which stages are there, and what their records say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flab_deploy.artifacts import MANIFEST, check_digest, json_digest, open_artifact
from flab_deploy.errors import ArtifactError
from flab_deploy.records.bench import BENCH_FILE, BenchRecord
from flab_deploy.records.compare import COMPARISON_FILE, ComparisonRecord
from flab_deploy.records.document import as_json, read_record, record_of
from flab_deploy.records.evaluate import REPORT_FILE, EvaluationRecord
from flab_deploy.records.export import PARITY_FILE, ExportRecord
from flab_deploy.records.footprint import FOOTPRINT_FILE, FootprintRecord
from flab_deploy.records.likelihood import LIKELIHOOD_FILE, LikelihoodRecord
from flab_deploy.records.plan import PLAN_FILE, PlanRecord
from flab_deploy.records.prune import PruneRecord
from flab_deploy.records.recover import RecoverRecord
from flab_deploy.records.report import FinalModel
from flab_deploy.records.run import RUN_FILE, ManifestRecord, RunRecord
from flab_deploy.records.scores import SCORES_FILE, ScoresRecord

T = TypeVar("T")
_Finished = tuple[Path, ManifestRecord]
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
    "likelihood-pruned": (LikelihoodRecord, LIKELIHOOD_FILE),
    "likelihood-recovered": (LikelihoodRecord, LIKELIHOOD_FILE),
    "footprint": (FootprintRecord, FOOTPRINT_FILE),
    "export": (ExportRecord, PARITY_FILE),
    "bench": (BenchRecord, BENCH_FILE),
}
"""Stages of a run in order, with what each says and in which file (None: in its manifest)."""


@dataclass(frozen=True, kw_only=True)
class RunContents:
    """A run directory as read once; a stage whose record is None was not run."""

    manifests: dict[str, ManifestRecord]
    """What each finished stage says of itself, by name."""
    scores: ScoresRecord | None
    plan: PlanRecord | None
    pruned: PruneRecord | None
    recovered: RecoverRecord | None
    evaluate_original: EvaluationRecord | None
    evaluate_pruned: EvaluationRecord | None
    evaluate_recovered: EvaluationRecord | None
    compare_pruned: ComparisonRecord | None
    compare_recovered: ComparisonRecord | None
    likelihood_pruned: LikelihoodRecord | None
    likelihood_recovered: LikelihoodRecord | None
    footprint: FootprintRecord | None
    export: ExportRecord | None
    bench: BenchRecord | None
    record: RunRecord | None
    """What was asked of the run; None if it left no `run.json`."""

    @property
    def evaluations(self) -> dict[str, EvaluationRecord]:
        """What was found of each model that was judged."""
        found = (self.evaluate_original, self.evaluate_pruned, self.evaluate_recovered)
        return {model: one for model, one in zip(MODELS, found, strict=True) if one}

    @property
    def comparisons(self) -> dict[str, ComparisonRecord]:
        """What was found of each model that was compared with the original."""
        found = (self.compare_pruned, self.compare_recovered)
        return {model: one for model, one in zip(MODELS[1:], found, strict=True) if one}

    @property
    def likelihoods(self) -> dict[str, LikelihoodRecord]:
        """What was found of each model that read the same texts as the original."""
        found = (self.likelihood_pruned, self.likelihood_recovered)
        return {model: one for model, one in zip(MODELS[1:], found, strict=True) if one}

    @property
    def final(self) -> FinalModel:
        """The slimmed model: the recovered one, or the pruned one if the run got no further."""
        judged = {*self.evaluations, *self.comparisons, *self.likelihoods}
        return "pruned" if "pruned" in judged and "recovered" not in judged else "recovered"

    def digest(self) -> str:
        """SHA-256 over everything the report is made from, measurements included."""
        records = {name: getattr(self, _field(name)) for name in self.manifests}
        said = {**records, "record": self.record} if self.record else records
        parts = (self.manifests, said)
        return json_digest([{name: as_json(one) for name, one in part.items()} for part in parts])


def read_run(path: Path) -> RunContents:
    """The run at `path`.

    Raises ArtifactError if there is none, if one of its documents was changed, or if one is
    damaged or lacks a field, which it names.
    """
    if not path.is_dir():
        raise ArtifactError(f"no run at {path}; give the --out directory of `flab run`")
    folders = _find_stages(path)
    if not folders:
        raise ArtifactError(
            f"{path} holds no finished stage; start one with `flab run --out {path}`"
        )
    records = {
        _field(name): _said(cls, file, *folders[name]) if name in folders else None
        for name, (cls, file) in STAGES.items()
    }
    asked = path / RUN_FILE
    return RunContents(
        manifests={name: manifest for name, (_, manifest) in folders.items()},
        record=read_record(RunRecord, asked) if asked.is_file() else None,
        **records,  # type: ignore[arg-type]
    )


def _field(stage: str) -> str:
    return stage.replace("-", "_")


def _said(cls: type[T], file: str | None, folder: Path, manifest: ManifestRecord) -> T:
    if file is None:
        return record_of(cls, dict(manifest.figures), str(folder / MANIFEST))
    if file != PARITY_FILE:  # `flab verify` reads through exported weights
        check_digest(open_artifact(folder))
    return read_record(cls, folder / file)


def _find_stages(path: Path) -> dict[str, _Finished]:
    """Finished stages by name, in order.

    A comparison with its two evaluations, and a reading of the same texts, are also found under
    names of the user's own, as `flab evaluate`, `flab compare` and `flab likelihood` leave them.
    Raises ArtifactError if there are several such comparisons or readings.
    """
    folders = sorted(folder for folder in path.iterdir() if (folder / MANIFEST).is_file())
    every = {one.name: (one, read_record(ManifestRecord, one / MANIFEST)) for one in folders}
    found = {name: every[name] for name in STAGES if name in every}
    if not any(name.startswith("compare-") for name in found):
        found |= _by_kind(path, every)
    if not any(name.startswith("likelihood-") for name in found):
        recovered = not {"compare-recovered", "evaluate-recovered"}.isdisjoint(found)
        slot = "likelihood-recovered" if recovered else "likelihood-pruned"
        reading = _only_one(path, every, "likelihood", "readings")
        found |= {slot: reading} if reading else {}
    return {name: found[name] for name in STAGES if name in found}


def _by_kind(path: Path, every: Mapping[str, _Finished]) -> dict[str, _Finished]:
    comparison = _only_one(path, every, "comparison", "comparisons")
    if comparison is None:
        return {}
    parents = comparison[1].parents
    judged = {one[1].digest: one for one in every.values() if one[1].kind == "evaluation"}
    recovered = every.get("evaluate-recovered")
    same = recovered is not None and recovered[1].digest == parents.get("candidate")
    slot = "recovered" if same else "pruned"
    roles = {"evaluate-original": "original", f"evaluate-{slot}": "candidate"}
    pair = {name: judged.get(parents.get(role, "")) for name, role in roles.items()}
    return {f"compare-{slot}": comparison, **{name: one for name, one in pair.items() if one}}


def _only_one(
    path: Path, every: Mapping[str, _Finished], kind: str, several: str
) -> _Finished | None:
    """The artifact of a kind, if there is one. Raises ArtifactError if there are several."""
    found = [one for one in every.values() if one[1].kind == kind]
    if len(found) > 1:
        listed = ", ".join(folder.name for folder, _ in found)
        verb = "compare" if kind == "comparison" else kind
        raise ArtifactError(
            f"{path} holds several {several} ({listed}); name them {verb}-pruned and "
            f"{verb}-recovered, or keep one in the directory"
        )
    return found[0] if found else None
