"""lm-evaluation-harness: the sample logs of `--log_samples`, `samples_TASK_DATE.jsonl`.

A line holds `doc_id`, `doc`, `target`, `arguments`, `resps`, `filtered_resps` and each metric under
its own name. There is a line per problem and filter; which filter is said under `filter`, and the
metrics' names under `metrics`, since 0.4.6. Since 0.4.3 there are `doc_hash`, `prompt_hash` and
`target_hash`; releases before that wrote one list in place of lines. Metrics are named as the
harness prints them, `METRIC,FILTER`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flab_deploy.artifacts import json_digest
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.outside.outcomes import PASSED, Harness, OutsideResults, ProblemOutcome
from flab_deploy.evaluation.outside.result_document import ResultDocument, ResultEntry

_WRONG = "wrong"
_FILE_NAME = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT[\d.-]+)?\.jsonl?")
_SHARE = re.compile(r"pass(@|_at_)1")
"""Metrics that give the share of a problem's samples that is right."""
_OWN_FIELDS = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics")
    + ("doc_hash", "prompt_hash", "target_hash")
)


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """One line: what became of one problem under one filter."""

    where: str
    doc_id: str
    filter: str | None
    num_answers: int
    """Answers that the filter left of the first request."""
    metrics: Mapping[str, object]


def _recognises(document: ResultDocument) -> bool:
    whole = document.whole
    if isinstance(whole, dict) and "results" in whole and {"configs", "versions"} & whole.keys():
        return True
    first = document.entries[0].value if document.entries else {}
    return "doc_id" in first


def _read(document: ResultDocument) -> OutsideResults:
    path = document.path
    if isinstance(document.whole, dict) and "doc_id" not in document.whole:
        raise ConfigError(
            f"{path} holds only aggregates; evaluate with `lm_eval --log_samples` and give the "
            "samples_TASK_*.jsonl that it writes beside this file"
        )
    samples = [_sample(entry) for entry in document.entries]
    metrics: dict[str, dict[str, ProblemOutcome]] = {}
    graded: dict[str, str] = {}
    for name, group in _by_filter(samples).items():
        _check_alike(group)
        for metric in group[0].metrics:
            key = metric if name is None else f"{metric},{name}"
            outcomes = {one.doc_id: _outcome(metric, one) for one in group}
            whole = {doc_id: found for doc_id, found in outcomes.items() if found is not None}
            if len(whole) == len(outcomes):
                metrics[key] = whole
            else:
                odd = next(one for one in group if outcomes[one.doc_id] is None)
                graded[key] = f"{_short(odd.metrics[metric])} at {odd.where}"
    named = _FILE_NAME.fullmatch(path.name)
    return OutsideResults(
        harness=LM_EVAL.name,
        path=path,
        digest=document.digest,
        task=named["task"] if named else None,
        data_set=None,
        texts=_texts(document.entries),
        prompts=_digests(document.entries, "prompt_hash"),
        metrics=metrics,
        graded=graded,
    )


def _sample(entry: ResultEntry) -> _Sample:
    value, named = entry.value, entry.value.get("metrics")
    doc_id, answers = value.get("doc_id"), value.get("filtered_resps")
    if not isinstance(doc_id, int | str) or isinstance(doc_id, bool):
        raise ConfigError(f"{entry.where}: field 'doc_id' is {doc_id!r}; every line needs its own")
    names = (
        named if isinstance(named, list) else [name for name in value if name not in _OWN_FIELDS]
    )
    if missing := [name for name in names if name not in value]:
        raise ConfigError(
            f"{entry.where}: metric {missing[0]!r} has no value; log the samples again"
        )
    if not names:
        raise ConfigError(f"{entry.where}: there is no metric; evaluate without --predict_only")
    first = answers[0] if isinstance(answers, list) and answers else None
    found = value.get("filter")
    return _Sample(
        where=entry.where,
        doc_id=str(doc_id),
        filter=found if isinstance(found, str) else None,
        num_answers=len(first) if isinstance(first, list) else 1,
        metrics={name: value[name] for name in names},
    )


def _by_filter(samples: Iterable[_Sample]) -> dict[str | None, list[_Sample]]:
    """The samples of each filter. Raises ConfigError if one has a problem twice."""
    groups: dict[str | None, list[_Sample]] = {}
    first: dict[tuple[str | None, str], str] = {}
    for one in samples:
        key = one.filter, one.doc_id
        if key in first:
            why = (
                "lines of before 0.4.6 do not say their filter; log the samples with a later one"
                if one.filter is None
                else "keep the lines of one evaluation"
            )
            raise ConfigError(
                f"{one.where}: doc_id {one.doc_id} stands twice, first at {first[key]}; {why}"
            )
        first[key] = one.where
        groups.setdefault(one.filter, []).append(one)
    return groups


def _check_alike(group: Sequence[_Sample]) -> None:
    """Raise ConfigError unless all lines have the same metrics."""
    names = group[0].metrics.keys()
    for one in group:
        if one.metrics.keys() != names:
            raise ConfigError(
                f"{one.where} mixes metrics: it has {', '.join(one.metrics)}, {group[0].where} has "
                f"{', '.join(names)}; keep the lines of one evaluation"
            )


def _outcome(metric: str, sample: _Sample) -> ProblemOutcome | None:
    """What a metric's value says of a problem; None if that is neither pass nor fail."""
    value = sample.metrics[metric]
    if value in ("True", "False"):  # how the harness writes a truth value of NumPy
        value = value == "True"
    if not isinstance(value, int | float):
        return None
    several = sample.num_answers if _SHARE.fullmatch(metric) else 1
    right = round(several * value) if 0 <= value <= 1 else -1
    if right < 0 or abs(several * value - right) > 1e-6:
        return None
    return ProblemOutcome.of([PASSED] * right + [_WRONG] * (several - right))


def _texts(entries: Sequence[ResultEntry]) -> Mapping[str, str] | None:
    """Digest of each problem, from the problem itself if it was logged."""
    if all("doc" in entry.value for entry in entries):
        return {str(entry.value["doc_id"]): json_digest(entry.value["doc"]) for entry in entries}
    return _digests(entries, "doc_hash")


def _digests(entries: Sequence[ResultEntry], field: str) -> Mapping[str, str] | None:
    """A field with a digest by problem; None where a line has none."""
    if not all(isinstance(entry.value.get(field), str) for entry in entries):
        return None
    return {str(entry.value["doc_id"]): str(entry.value[field]) for entry in entries}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


LM_EVAL = Harness(
    name="lm-evaluation-harness",
    files="samples_TASK_*.jsonl of `lm_eval --log_samples`",
    recognises=_recognises,
    read=_read,
)
