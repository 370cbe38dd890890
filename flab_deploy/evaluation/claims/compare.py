"""Compare a candidate with its original on the same problems: is "keeps 97 %" shown, not shown, or
untestable?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.corpus import ALL_TASK_KINDS
from flab_deploy.evaluation.claims.claim import claim_figures
from flab_deploy.evaluation.claims.noise import flips, noise_floor
from flab_deploy.evaluation.claims.pairs import Judged, Pair, pair_prompts, paired, read_evaluation
from flab_deploy.evaluation.claims.perturbed_pairs import robustness_figures
from flab_deploy.evaluation.claims.sentences import answer_sentences
from flab_deploy.evaluation.statistics import holm
from flab_deploy.records.compare import (
    COMPARISON_FILE,
    BothHealth,
    ChangedProblem,
    ComparisonRecord,
    NoiseRecord,
    TaskClaim,
)
from flab_deploy.records.document import as_json, write_record
from flab_deploy.settings.compare import CompareConfig


def compare(
    original: Path,
    candidate: Path,
    out: Path,
    config: CompareConfig = CompareConfig(),
    *,
    repeat: Path | None = None,
    force: bool = False,
) -> Artifact:
    """The comparison of two evaluations, as `comparison.json`; `repeat` is a second evaluation of
    the original.

    Raises ArtifactError if one is missing, was changed or cannot be read, ConfigError if they used
    different suites or `repeat` is not of the original.
    """
    judged = {"original": read_evaluation(original), "candidate": read_evaluation(candidate)}
    if repeat is not None:
        judged["repeat"] = read_evaluation(repeat)

    def work(draft: Draft) -> None:
        found = make_comparison(
            judged["original"], judged["candidate"], config, judged.get("repeat")
        )
        write_record(draft.path / COMPARISON_FILE, found)
        draft.figures.update(as_json(found))

    parents = {role: found.artifact.digest for role, found in judged.items()}
    return run_stage(
        out,
        kind="comparison",
        module=__name__,
        parents=parents,
        config=asdict(config),
        work=work,
        force=force,
    )


def make_comparison(
    original: Judged, candidate: Judged, config: CompareConfig, repeat: Judged | None = None
) -> ComparisonRecord:
    """Both models' verdicts, paired by problem: by kind, over all, and under perturbation; what was
    lost; health.

    Raises ConfigError as `compare` does.
    """
    pairs = pair_prompts(original, candidate)
    nominal = [pair for pair in pairs if pair[0].perturbation is None]
    before, after = original.report, candidate.report
    families = {name: method.family for name, method in before.robustness.perturbations.items()}
    found = ComparisonRecord(
        schema_version=1,
        answer=(),
        original=before.model.digest,
        candidate=after.model.digest,
        original_name=before.model.name,
        candidate_name=after.model.name,
        margin=config.margin,
        alpha=config.alpha,
        confidence=config.confidence,
        suite=before.suite.digest,
        tasks=_by_kind(nominal, config),
        overall=claim_figures(paired(nominal), config),
        robustness=robustness_figures(pairs, families, config),
        lost=_changed(nominal, lost=True),
        gained=_changed(nominal, lost=False),
        noise=_noise(original, candidate, repeat, nominal, config),
        health=BothHealth(original=before.health, candidate=after.health),
    )
    return replace(found, answer=tuple(answer_sentences(found)))


def _by_kind(nominal: Sequence[Pair], config: CompareConfig) -> dict[str, TaskClaim]:
    """The claim per task kind; `holm_p` holds for calling it shown of *some* kind, the plain
    p-value of *each*.
    """
    kinds = {kind: [pair for pair in nominal if pair[0].kind == kind] for kind in ALL_TASK_KINDS}
    claims = {kind: claim_figures(paired(pairs), config) for kind, pairs in kinds.items() if pairs}
    p_values = {
        kind: found.non_inferiority_p
        for kind, found in claims.items()
        if found.non_inferiority_p is not None
    }
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {
        kind: TaskClaim(**vars(found), holm_p=adjusted.get(kind)) for kind, found in claims.items()
    }


def _changed(nominal: Sequence[Pair], *, lost: bool) -> tuple[ChangedProblem, ...]:
    """Problems that only one of the models solves, with how the other's answer ended."""
    found = [
        (b, a) if lost else (a, b)
        for b, a in nominal
        if (b.passed > a.passed if lost else a.passed > b.passed)
    ]
    return tuple(
        ChangedProblem(task_id=right.task_id, kind=right.kind, verdict=wrong.verdict)
        for right, wrong in found
    )


def _noise(
    original: Judged,
    candidate: Judged,
    repeat: Judged | None,
    nominal: Sequence[Pair],
    config: CompareConfig,
) -> NoiseRecord | None:
    """The noise floor from a repeated evaluation, or from the pair itself if both are of one model;
    else None.
    """
    if repeat is not None:
        return noise_floor(original, repeat, nominal, config.confidence)
    same = original.report.model.digest == candidate.report.model.digest
    if same and original.artifact.path.resolve() != candidate.artifact.path.resolve():
        return flips(nominal, config.confidence)
    return None
