"""JSON schemas of what verbs print with `--json` and of the files that stages write.

`python -m flab_deploy.records.schemas` writes them anew after a record has changed;
`flab schema NAME` prints one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flab_deploy.records.bench import BenchRecord, LoadPlanRecord, RequestLine
from flab_deploy.records.compare import ComparisonRecord
from flab_deploy.records.document import schema_of
from flab_deploy.records.evaluate import EvaluationRecord, EvaluationTimings, VerdictLine
from flab_deploy.records.export import ExportRecord
from flab_deploy.records.footprint import FootprintRecord
from flab_deploy.records.likelihood import LikelihoodRecord, TextLine
from flab_deploy.records.plan import (
    CutTimeRecord,
    LatencyRecord,
    PlanPreviewRecord,
    PlanRecord,
    SweepFigures,
    SweepRecord,
)
from flab_deploy.records.printed.audit import AuditRecord, MethodAuditRecord
from flab_deploy.records.printed.corpus import CorpusFigures
from flab_deploy.records.printed.outputs import (
    BenchOutput,
    CompareOutput,
    Deployment,
    EngineOutput,
    EvaluateOutput,
    ExportOutput,
    FootprintOutput,
    ImportOutput,
    JudgeOutput,
    LikelihoodOutput,
    PlanOutput,
    PruneOutput,
    RecoverOutput,
    ReportOutput,
    RunOutput,
    ScoreOutput,
)
from flab_deploy.records.printed.power import PowerRecord
from flab_deploy.records.report import ReportRecord
from flab_deploy.records.run import ManifestRecord, RunRecord
from flab_deploy.records.scores import ScoresRecord

FOLDER = Path(__file__).parents[1] / "schemas"
SCHEMAS: Mapping[str, Any] = {
    # What verbs print with --json, by the verb's name.
    "run": RunOutput,
    "import": ImportOutput,
    "corpus": CorpusFigures,
    "score": ScoreOutput,
    "plan": PlanOutput,
    "plan-preview": PlanPreviewRecord,
    "plan-sweep": SweepFigures,
    "prune": PruneOutput,
    "recover": RecoverOutput,
    "evaluate": EvaluateOutput,
    "judge": JudgeOutput,
    "compare": CompareOutput,
    "likelihood": LikelihoodOutput,
    "power": PowerRecord,
    "audit": AuditRecord,
    "audit-methods": MethodAuditRecord,
    "footprint": FootprintOutput,
    "export": ExportOutput,
    "bench": BenchOutput,
    "report": ReportOutput,
    "deploy": Deployment,
    "engines": tuple[EngineOutput, ...],
    # Files in the directories that stages write.
    "run-file": RunRecord,
    "scores-file": ScoresRecord,
    "plan-file": PlanRecord,
    "plan-timings-file": CutTimeRecord,
    "plan-latency-file": LatencyRecord,
    "plan-sweep-file": SweepRecord,
    "evaluation-file": EvaluationRecord,
    "evaluation-timings-file": EvaluationTimings,
    "verdicts-line": VerdictLine,
    "comparison-file": ComparisonRecord,
    "likelihood-file": LikelihoodRecord,
    "texts-line": TextLine,
    "footprint-file": FootprintRecord,
    "parity-file": ExportRecord,
    "bench-file": BenchRecord,
    "report-file": ReportRecord,
    "manifest-file": ManifestRecord,
    "bench-load-file": LoadPlanRecord,
    "requests-line": RequestLine,
}


def schema_file(name: str) -> Path:
    """Where the schema `name` lies in the package."""
    return FOLDER / f"{name}.json"


def summary_of(name: str) -> str:
    """One line about what the schema `name` describes."""
    return str(described(name)["description"]).splitlines()[0]


def described(name: str) -> dict[str, Any]:
    """The schema `name`, made from its record."""
    found = schema_of(SCHEMAS[name])
    about = found.get("description")
    if about is None:  # a list, which has no docstring of its own
        (item,) = found["$defs"].values()
        about = f"A list. {item['description']}"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"flab-deploy {name}",
        **{key: value for key, value in found.items() if key != "title"},
        "description": about,
    }


def schema_text(name: str) -> str:
    """The schema `name` as the text of its file."""
    return json.dumps(described(name), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every schema into the package, and remove those of records that are gone."""
    FOLDER.mkdir(exist_ok=True)
    for stale in set(FOLDER.glob("*.json")) - {schema_file(name) for name in SCHEMAS}:
        stale.unlink()
    for name in SCHEMAS:
        schema_file(name).write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
