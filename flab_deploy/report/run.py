"""Reading a run directory: which stages are there, and what their documents say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flab_deploy.artifacts import Artifact, Json, check_digest, json_digest, read_json
from flab_deploy.errors import ArtifactError
from flab_deploy.report.discover import find_stages

DOCUMENTS: dict[str, str | None] = {
    "scores": "scores.json",
    "plan": "plan.json",
    "pruned": None,
    "recovered": None,
    "evaluate-original": "report.json",
    "evaluate-pruned": "report.json",
    "evaluate-recovered": "report.json",
    "compare-pruned": "comparison.json",
    "compare-recovered": "comparison.json",
    "footprint": "footprint.json",
    "export": "parity.json",
    "bench": "bench.json",
}
"""Stages of a run in order, each with the document it leaves (None: its manifest says all)."""

MODELS = ("original", "pruned", "recovered")
"""Models that a run evaluates."""

_RUN_RECORD = "run.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory as read once; nothing here touches the disk again."""

    path: Path
    """The directory."""
    artifacts: dict[str, Artifact]
    """Finished stages by name; a stage that is not here was not run."""
    documents: dict[str, Json]
    """Each finished stage's document; the figures of its manifest where it leaves none."""
    record: Json
    """Content of `run.json` (command, machine, configuration), or None if the run left none."""

    def has(self, stage: str) -> bool:
        """Whether the stage was run to its end."""
        return stage in self.artifacts

    def get(self, stage: str, *keys: str | int) -> Json:
        """A value of a stage's document, or None if the stage or the value is missing."""
        return pick(self.documents.get(stage), *keys)

    def number(self, stage: str, *keys: str | int) -> float | None:
        """A number of a stage's document, or None if it is missing or not a number."""
        return as_number(self.get(stage, *keys))

    @property
    def final(self) -> Literal["pruned", "recovered"]:
        """The slimmed model: the recovered one, or the pruned one where that is as far as the run
        got.
        """
        judged = any(self.has(f"{stage}-pruned") for stage in ("evaluate", "compare"))
        recovered = any(self.has(name) for name in ("evaluate-recovered", "compare-recovered"))
        return "pruned" if judged and not recovered else "recovered"

    def digest(self) -> str:
        """SHA-256 over everything the report is made from, measurements included."""
        manifests = {name: artifact.manifest for name, artifact in self.artifacts.items()}
        return json_digest(
            {"manifests": manifests, "documents": self.documents, "record": self.record}
        )


def read_run(path: Path) -> Run:
    """The run at `path`. Raises ArtifactError if there is none, or if a document is damaged or was
    changed.
    """
    if not path.is_dir():
        raise ArtifactError(f"no run at {path}; give the --out directory of `flab run`")
    artifacts = find_stages(path, DOCUMENTS)
    if not artifacts:
        raise ArtifactError(
            f"{path} holds no finished stage; start one with `flab run --out {path}`"
        )
    documents: dict[str, Json] = {}
    for name, artifact in artifacts.items():
        document = DOCUMENTS[name]
        if (
            document is not None and name != "export"
        ):  # `flab verify` reads through exported weights
            check_digest(artifact)
        documents[name] = (
            artifact.figures if document is None else read_json(artifact.path / document)
        )
    record = read_json(path / _RUN_RECORD) if (path / _RUN_RECORD).is_file() else None
    return Run(path=path, artifacts=artifacts, documents=documents, record=record)


def pick(value: Json, *keys: str | int) -> Json:
    """What lies under `keys` in nested objects and lists, or None if any step is missing."""
    for key in keys:
        if isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def as_number(value: Json) -> float | None:
    """The value as a number, or None; true and false are not numbers."""
    return None if isinstance(value, bool) or not isinstance(value, int | float) else value


def numbers(value: Json) -> list[float]:
    """The numbers of a list, in order; anything else is left out."""
    found = [as_number(item) for item in value] if isinstance(value, list) else []
    return [item for item in found if item is not None]


def objects(value: Json) -> list[dict[str, Json]]:
    """The objects of a list, in order; anything else is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mapping(value: Json) -> dict[str, Json]:
    """The value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def interval(value: Json) -> tuple[float, float] | None:
    """A pair of numbers, or None."""
    found = numbers(value)
    return (found[0], found[1]) if len(found) == 2 else None
