"""Compare a candidate with its original on the same problems: is "keeps 97 %" shown, not shown, or untestable?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from flab_deploy.artifacts import Artifact, Draft, Json, check_digest, open_artifact, read_json, run_stage, write_json
from flab_deploy.corpus import TASK_KINDS
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.evaluate import REPORT, VERDICTS
from flab_deploy.evaluation.statistics import (
    Paired,
    difference_interval,
    mcnemar_exact,
    non_inferiority_p,
    num_problems_needed,
    retention,
    retention_interval,
)

ClaimVerdict = Literal["shown", "not shown", "underpowered"]
COMPARISON = "comparison.json"


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Which claim is tested."""

    margin: float = 0.97
    """Share of the original's pass rate that the candidate is claimed to keep; above 0."""
    alpha: float = 0.05
    """Chance of calling the claim shown where it is just not true."""
    confidence: float = 0.95
    """Confidence of the intervals."""


@dataclass(frozen=True, kw_only=True)
class _Verdicts:
    """What an evaluation found, ready for pairing."""

    model_digest: str
    suite_digest: str
    nominal: dict[str, dict[str, Any]]
    """Row by task id."""
    perturbed: dict[tuple[str, str], dict[str, Any]]
    """Row by task id and perturbation method, probes aside."""


def compare(
    original: Path, candidate: Path, out: Path, config: CompareConfig = CompareConfig(), *, force: bool = False
) -> Artifact:
    """The comparison of two evaluations, as `comparison.json`.

    Raises ArtifactError if either is missing or was changed, ConfigError if they used different suites.
    """
    if not (0 < config.margin <= 2 and 0 < config.alpha < 1 and 0 < config.confidence < 1):
        raise ConfigError(f"margin, alpha and confidence must be shares above 0, got {asdict(config)}")
    artifacts = {"original": open_artifact(original, "evaluation"), "candidate": open_artifact(candidate, "evaluation")}
    for artifact in artifacts.values():
        check_digest(artifact)

    def work(draft: Draft) -> None:
        found = make_comparison(_read(original), _read(candidate), config)
        write_json(draft.path / COMPARISON, found)
        draft.figures.update(found)

    parents = {role: artifact.digest for role, artifact in artifacts.items()}
    return run_stage(
        out, kind="comparison", module=__name__, parents=parents, config=asdict(config), work=work, force=force
    )


def _read(folder: Path) -> _Verdicts:
    report = cast("dict[str, Any]", read_json(folder / REPORT))
    rows = [json.loads(line) for line in (folder / VERDICTS).read_text(encoding="utf-8").splitlines()]
    probes = {name for name, entry in report["robustness"]["perturbations"].items() if entry["probe"]}
    judged = [row for row in rows if row["verdict"] != "infra_error"]
    perturbed = [row for row in judged if row["perturbation"] is not None and row["perturbation"] not in probes]
    return _Verdicts(
        model_digest=report["model"]["digest"], suite_digest=report["suite"]["digest"],
        nominal={row["task_id"]: row for row in judged if row["perturbation"] is None},
        perturbed={(row["task_id"], row["perturbation"]): row for row in perturbed},
    )  # fmt: skip


def make_comparison(original: _Verdicts, candidate: _Verdicts, config: CompareConfig) -> dict[str, Json]:
    """Both models' verdicts, paired by problem: by kind, over all, and under perturbation."""
    if original.suite_digest != candidate.suite_digest:
        raise ConfigError(
            f"the evaluations used different suites ({original.suite_digest[:12]} and {candidate.suite_digest[:12]}); "
            "evaluate both models with the same tasks, counts, seed and perturbations"
        )
    shared = [task_id for task_id in original.nominal if task_id in candidate.nominal]
    pairs = [(original.nominal[i], candidate.nominal[i]) for i in shared]
    kinds = {kind: [pair for pair in pairs if pair[0]["kind"] == kind] for kind in TASK_KINDS}
    both = [key for key in original.perturbed if key in candidate.perturbed]
    perturbed = [(original.perturbed[key], candidate.perturbed[key]) for key in both]
    return {
        "original": original.model_digest, "candidate": candidate.model_digest, "margin": config.margin,
        "confidence": config.confidence, "suite": original.suite_digest,
        "tasks": {kind: _compare_rows(found, config) for kind, found in kinds.items() if found},
        "overall": _compare_rows(pairs, config),
        "robustness": _compare_rows(perturbed, config) if perturbed else None,
    }  # fmt: skip


def _compare_rows(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], config: CompareConfig) -> dict[str, Json]:
    """Figures for pairs of rows; rows of one composition, or else of one problem, are one cluster."""
    clusters = [before["composition"] or before["task_id"] for before, _ in pairs]
    return compare_pairs([bool(b["passed"]) for b, _ in pairs], [bool(a["passed"]) for _, a in pairs], clusters, config)


def compare_pairs(
    original: Sequence[bool], candidate: Sequence[bool], clusters: Sequence[str], config: CompareConfig
) -> dict[str, Json]:
    """Rates, difference, retention and tests for verdicts on the same problems."""
    paired = Paired.of(original, candidate, clusters)
    only_original = sum(o and not c for o, c in zip(original, candidate, strict=True))
    only_candidate = sum(c and not o for o, c in zip(original, candidate, strict=True))
    before, after = float(paired.original.mean()), float(paired.candidate.mean())
    kept, kept_interval = retention(paired), retention_interval(paired, config.confidence)
    p_value = non_inferiority_p(paired, config.margin) if kept is not None else None
    needed = num_problems_needed(paired, config.margin, config.alpha)
    return {
        "num_problems": paired.num_problems, "original_pass_at_1": before, "candidate_pass_at_1": after,
        "difference": after - before, "difference_interval": list(difference_interval(paired, config.confidence)),
        "retention": kept, "retention_interval": list(kept_interval) if kept_interval else None,
        "num_only_original": only_original, "num_only_candidate": only_candidate,
        "mcnemar_p": mcnemar_exact(only_original, only_candidate), "non_inferiority_p": p_value,
        "verdict": _claim(paired, p_value, kept_interval, needed, config), "num_problems_needed": needed,
    }  # fmt: skip


def _claim(
    paired: Paired,
    p_value: float | None,
    interval: tuple[float, float] | None,
    needed: int | None,
    config: CompareConfig,
) -> ClaimVerdict:
    """`underpowered` if not even an equal model would likely have shown it, and the data does not rule it out."""
    if p_value is None or interval is None:
        return "not shown"
    if p_value < config.alpha:
        return "shown"
    small = needed is not None and paired.num_problems < needed
    return "underpowered" if small and interval[1] >= config.margin else "not shown"
