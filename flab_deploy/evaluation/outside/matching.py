"""Whether two result files can be paired: one harness, one task, one metric, the same problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.outside.outcomes import OutsideResults
from flab_deploy.records.compare import ProblemIdentity


def check_one_task(original: OutsideResults, candidate: OutsideResults) -> None:
    """Raise ConfigError unless both files are of one harness, task and data set."""
    if original.harness != candidate.harness:
        raise ConfigError(
            f"{original.path} is of {original.harness}, {candidate.path} of {candidate.harness}; "
            "compare two files of one harness"
        )
    named = {
        "task": (original.task, candidate.task),
        "data set": (original.data_set, candidate.data_set),
    }
    for said, (first, second) in named.items():
        if first is not None and second is not None and first != second:
            raise ConfigError(
                f"the files are of different {said}s: {original.path} of {first}, "
                f"{candidate.path} of {second}; evaluate both models on one"
            )


def choose_metric(original: OutsideResults, candidate: OutsideResults, asked: str | None) -> str:
    """The metric to compare by: the one asked for, or the only one that says pass or fail.

    A name without its filter is enough where one filter has it. Raises ConfigError that lists what
    there is if that does not settle it, or if the metric asked for is graded.
    """
    sides = original, candidate
    fit = [name for name in original.metrics if name in candidate.metrics]
    found = [name for name in fit if asked in (None, name, name.partition(",")[0])]
    would_do = f"choose --metric {' or '.join(fit)}" if fit else "no metric of both is pass or fail"
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"the files hold several metrics{f' called {asked}' if asked else ''}; "
            f"choose --metric {' or '.join(found)}"
        )
    for side in sides:
        for name, value in side.graded.items():
            if asked in (None, name, name.partition(",")[0]):
                raise ConfigError(
                    f"metric {name} of {side.path} is graded, not pass or fail ({value}); "
                    f"{would_do}"
                )
    lacking = [side for side in sides if asked and not _has(side, asked)]
    if lacking:
        raise ConfigError(f"{lacking[0].path} has no metric {asked}; {would_do}")
    lists = [", ".join([*side.metrics, *side.graded]) for side in sides]
    raise ConfigError(
        f"the files share no metric: {original.path} has {lists[0]}, {candidate.path} {lists[1]}; "
        "evaluate both models alike"
    )


def _has(side: OutsideResults, asked: str) -> bool:
    names = [*side.metrics, *side.graded]
    return any(asked in (name, name.partition(",")[0]) for name in names)


def check_same_problems(
    original: OutsideResults, candidate: OutsideResults, metric: str
) -> ProblemIdentity:
    """What shows that both files are on the same problems.

    Raises ConfigError that counts and names an example if one file lacks problems of the other, or
    problems of one id have different texts.
    """
    missing = []
    for holder, other in ((original, candidate), (candidate, original)):
        held = other.metrics[metric]
        if lacking := [name for name in holder.metrics[metric] if name not in held]:
            number = f"{len(lacking):,} of the problems of {holder.path}"
            missing.append(f"{other.path} lacks {number} (such as {lacking[0]})")
    if missing:
        raise ConfigError(f"{', and '.join(missing)}; evaluate both models on the same problems")
    if original.texts is not None and candidate.texts is not None:
        names = list(original.metrics[metric])
        if changed := differing(original.texts, candidate.texts, names):
            raise ConfigError(
                f"{original.path} and {candidate.path} differ in the text of {len(changed):,} of "
                f"{len(names):,} problems (such as {changed[0]}); evaluate both on the same ones"
            )
        return "texts"
    known = original.data_set is not None and candidate.data_set is not None
    return "data set" if known else "ids"


def differing(
    first: Mapping[str, str], second: Mapping[str, str], names: Sequence[str]
) -> list[str]:
    """The ids under which two mappings say different things."""
    return [name for name in names if first.get(name) != second.get(name)]
