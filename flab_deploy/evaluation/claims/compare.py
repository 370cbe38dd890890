"""Compare a candidate with its original on the same problems: is "keeps 97 %" shown, not shown, or
untestable?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.corpus import ALL_TASK_KINDS
from flab_deploy.evaluation.claims.claim import claim_figures
from flab_deploy.evaluation.claims.files import are_files, compare_files, match_files, name_of_file
from flab_deploy.evaluation.claims.noise import flips, noise_floor
from flab_deploy.evaluation.claims.pairs import (
    Judged,
    Pair,
    changed_problems,
    pair_prompts,
    paired,
    read_evaluation,
)
from flab_deploy.evaluation.claims.perturbed_pairs import robustness_figures
from flab_deploy.evaluation.claims.sentences import answer_sentences
from flab_deploy.evaluation.statistics import holm
from flab_deploy.records.compare import (
    COMPARISON_FILE,
    BothHealth,
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
    metric: str | None = None,
    force: bool = False,
) -> Artifact:
    """The comparison of two evaluations, as `comparison.json`; `repeat` is a second evaluation of
    the original.

    All may be result files of another harness instead, of which `metric` chooses one of several
    metrics. Raises ArtifactError if one is missing, was changed or cannot be read, ConfigError if
    they used different problems, `repeat` is not of the original, or a file does not hold a verdict
    on every problem.
    """
    paths = {"original": original, "candidate": candidate}
    if repeat is not None:
        paths["repeat"] = repeat
    settings = asdict(config)
    make: Callable[[], ComparisonRecord]
    if are_files(paths, metric):
        files = match_files(paths, metric)
        parents = {part: found.digest for part, found in files.parts.items()}
        settings["metric"] = files.metric
        settings["files"] = [name_of_file(found) for found in files.parts.values()]
        make = partial(compare_files, files, config)
    else:
        judged = {part: read_evaluation(path) for part, path in paths.items()}
        parents = {part: found.artifact.digest for part, found in judged.items()}
        both = judged["original"], judged["candidate"]
        make = partial(make_comparison, *both, config, judged.get("repeat"))

    def work(draft: Draft) -> None:
        found = make()
        write_record(draft.path / COMPARISON_FILE, found)
        draft.figures.update(as_json(found))

    return run_stage(
        out,
        kind="comparison",
        module=__name__,
        parents=parents,
        config=settings,
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
        schema_version=2,
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
        lost=changed_problems(nominal, lost=True),
        gained=changed_problems(nominal, lost=False),
        noise=_noise(original, candidate, repeat, nominal, config),
        health=BothHealth(original=before.health, candidate=after.health),
        sources=None,
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
