"""Two result files of another harness, paired problem by problem and held against the claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.claims.claim import claim_figures
from flab_deploy.evaluation.claims.noise import noise_of
from flab_deploy.evaluation.claims.pairs import Pair, PromptVerdict, changed_problems, paired
from flab_deploy.evaluation.claims.sentences import answer_sentences
from flab_deploy.evaluation.outside.harnesses import read_results
from flab_deploy.evaluation.outside.matching import (
    check_one_task,
    check_same_problems,
    choose_metric,
    differing,
)
from flab_deploy.evaluation.outside.outcomes import OutsideResults
from flab_deploy.evaluation.outside.result_document import is_result_document
from flab_deploy.records.compare import (
    ComparisonRecord,
    OutsideSource,
    OutsideSources,
    ProblemIdentity,
)
from flab_deploy.settings.compare import CompareConfig


@dataclass(frozen=True, kw_only=True)
class MatchedFiles:
    """Result files that were found to fit each other."""

    original: OutsideResults
    candidate: OutsideResults
    repeat: OutsideResults | None
    """A second evaluation of the original."""
    metric: str
    same_problems: ProblemIdentity

    @property
    def parts(self) -> dict[str, OutsideResults]:
        """The files by their part in a comparison."""
        found = {"original": self.original, "candidate": self.candidate}
        return found if self.repeat is None else {**found, "repeat": self.repeat}


def are_files(paths: Mapping[str, Path], metric: str | None) -> bool:
    """Whether the paths, by their part in a comparison, are result files of other harnesses.

    Raises ConfigError if only some are, or if a metric is chosen and none is; ArtifactError if some
    are and another does not exist.
    """
    files = {role for role, path in paths.items() if is_result_document(path)}
    if not files:
        if metric is not None:
            raise ConfigError(
                f"--metric {metric} is for result files of other harnesses, and these are none; "
                "leave it out"
            )
        return False
    for role, path in paths.items():
        if not path.exists():
            raise ArtifactError(f"there is no {role} at {path}; give an existing result file")
        if role not in files:
            raise ConfigError(
                f"{path} is a directory, {paths[min(files)]} another harness's results; give two "
                "evaluations of `flab evaluate` or two result files"
            )
    return True


def match_files(paths: Mapping[str, Path], metric: str | None) -> MatchedFiles:
    """The result files by their part in a comparison, read and found to fit each other.

    Raises ArtifactError if one cannot be read, ConfigError if one does not hold a verdict on every
    problem, or if they differ in harness, task, metrics or problems.
    """
    first, second = read_results(paths["original"]), read_results(paths["candidate"])
    check_one_task(first, second)
    chosen = choose_metric(first, second, metric)
    same = check_same_problems(first, second, chosen)
    again = read_results(paths["repeat"]) if "repeat" in paths else None
    if again is not None:
        check_one_task(first, again)
        choose_metric(first, again, chosen)
        check_same_problems(first, again, chosen)
        if again.digest == first.digest:
            raise ConfigError(f"{again.path} is the original's first evaluation; make a second one")
    return MatchedFiles(
        original=first, candidate=second, repeat=again, metric=chosen, same_problems=same
    )


def compare_files(found: MatchedFiles, config: CompareConfig) -> ComparisonRecord:
    """The comparison of two result files, as for evaluations of this program; what only those know
    is None.
    """
    pairs = _pairs(found.original, found.candidate, found.metric)
    again = _pairs(found.original, found.repeat, found.metric) if found.repeat else None
    record = ComparisonRecord(
        schema_version=2,
        answer=(),
        original=None,
        candidate=None,
        original_name=name_of_file(found.original),
        candidate_name=name_of_file(found.candidate),
        margin=config.margin,
        alpha=config.alpha,
        confidence=config.confidence,
        suite=None,
        tasks={},
        overall=claim_figures(paired(pairs), config),
        robustness=None,
        lost=changed_problems(pairs, lost=True),
        gained=changed_problems(pairs, lost=False),
        noise=noise_of(again, pairs, config.confidence) if again is not None else None,
        health=None,
        sources=_sources(found),
    )
    return replace(record, answer=tuple(answer_sentences(record)))


def _pairs(original: OutsideResults, candidate: OutsideResults, metric: str) -> list[Pair]:
    return [
        (_verdict(original, metric, task_id), _verdict(candidate, metric, task_id))
        for task_id in original.metrics[metric]
    ]


def _verdict(results: OutsideResults, metric: str, task_id: str) -> PromptVerdict:
    outcome = results.metrics[metric][task_id]
    return PromptVerdict(
        task_id=task_id,
        kind=results.task or results.harness,
        cluster=task_id,
        perturbation=None,
        baseline=None,
        variant=0,
        probe=False,
        passed=outcome.num_right / outcome.num_samples,
        verdict=outcome.ending,
    )


def name_of_file(results: OutsideResults) -> str:
    """File and directory: harnesses give files of different models the same name."""
    path = results.path.resolve()
    return f"{path.parent.name}/{path.name}"


def _sources(found: MatchedFiles) -> OutsideSources:
    first, second = found.original, found.candidate
    others = None
    if first.prompts is not None and second.prompts is not None:
        others = len(differing(first.prompts, second.prompts, list(first.metrics[found.metric])))
    return OutsideSources(
        harness=first.harness,
        task=first.task or second.task,
        metric=found.metric,
        same_problems=found.same_problems,
        num_other_prompts=others,
        original=_source(first, found.metric),
        candidate=_source(second, found.metric),
    )


def _source(results: OutsideResults, metric: str) -> OutsideSource:
    samples = [outcome.num_samples for outcome in results.metrics[metric].values()]
    return OutsideSource(
        file=name_of_file(results),
        sha256=results.digest,
        num_problems=len(samples),
        fewest_samples=min(samples),
        most_samples=max(samples),
    )
