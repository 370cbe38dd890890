"""EvalPlus: what `evalplus.evaluate` leaves beside the samples.

Since 0.2.1 the file holds `{"date", "hash", "eval": {task_id: [{"task_id", "solution",
"base_status", "plus_status", ...}]}}` with the statuses `pass`, `fail` and `timeout`; releases up
to 0.2.0 wrote `{task_id: {"nfiles" or "files", "base": [[status, details], ...], "plus": [...]}}`
with `success`, `failed` and `timed out`. A sample counts under `plus` only if it passes the base
tests too, as EvalPlus counts. `hash` is the MD5 of the problem file.
"""

from __future__ import annotations

from collections.abc import Iterator

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.outside.outcomes import PASSED, Harness, OutsideResults, ProblemOutcome
from flab_deploy.evaluation.outside.result_document import ResultDocument

_PASSED = (PASSED, "success")
_Statuses = tuple[str, str | None]
"""Of one sample: under the base tests and under the additional ones, None if those did not run."""


def _recognises(document: ResultDocument) -> bool:
    whole = document.whole
    if isinstance(whole, dict) and "eval" in whole:
        return True
    first = document.entries[0].value if document.entries else {}
    return "task_id" in first and bool({"solution", "completion"} & first.keys())


def _read(document: ResultDocument) -> OutsideResults:
    path, whole = document.path, document.whole
    if not isinstance(whole, dict) or "eval" not in whole:
        raise ConfigError(
            f"{path} holds answers without verdicts; judge them with `evalplus.evaluate --samples "
            "FILE` and give the eval_results.json that it writes"
        )
    problems = whole["eval"]
    if not isinstance(problems, dict) or not problems:
        raise ConfigError(f"{path}: field 'eval' holds no problem; evaluate the model again")
    statuses = {
        task_id: list(_statuses(found, f"{path}: {task_id}")) for task_id, found in problems.items()
    }
    base = {
        name: ProblemOutcome.of([first for first, _ in samples])
        for name, samples in statuses.items()
    }
    more = {task_id for task_id, found in statuses.items() for _, plus in found if plus is not None}
    if more and (without := [name for name in statuses if name not in more]):
        raise ConfigError(
            f"{path} mixes metrics: {without[0]} has no verdict under the additional tests, "
            f"{min(more)} has; evaluate all problems alike"
        )
    plus = {
        name: ProblemOutcome.of([_both(first, second) for first, second in samples])
        for name, samples in statuses.items()
    }
    names = {name.partition("/")[0] for name in statuses if "/" in name}
    digest = whole.get("hash")
    return OutsideResults(
        harness=EVALPLUS.name,
        path=path,
        digest=document.digest,
        task=names.pop() if len(names) == 1 else None,
        data_set=digest if isinstance(digest, str) else None,
        texts=None,
        prompts=None,
        metrics={"base": base, "plus": plus} if more else {"base": base},
        graded={},
    )


def _both(base: str, plus: str | None) -> str:
    """How a sample ended under both kinds of tests."""
    return base if base != PASSED else plus or "not run"


def _statuses(found: object, where: str) -> Iterator[_Statuses]:
    """The statuses of each sample of one problem."""
    if isinstance(found, dict):
        yield from _older(found, where)
        return
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{where} has no samples; evaluate the model again")
    for sample in found:
        if not isinstance(sample, dict) or "base_status" not in sample:
            raise ConfigError(f"{where}: a sample has no 'base_status'; evaluate the model again")
        plus = sample.get("plus_status")
        yield (
            _status(sample["base_status"], where, "base_status"),
            None if plus is None else _status(plus, where, "plus_status"),
        )


def _older(found: dict[str, object], where: str) -> Iterator[_Statuses]:
    """The statuses of each sample as releases up to 0.2.0 wrote them."""
    base, plus = found.get("base"), found.get("plus") or []
    if not isinstance(base, list) or not base or not isinstance(plus, list):
        raise ConfigError(f"{where} has no samples under 'base'; evaluate the model again")
    if plus and len(plus) != len(base):
        raise ConfigError(
            f"{where} has {len(base)} samples under 'base' and {len(plus)} under 'plus'; "
            "evaluate the model again"
        )
    for number, first in enumerate(base):
        second = _status(_head(plus[number]), where, "plus") if plus else None
        yield _status(_head(first), where, "base"), second


def _head(result: object) -> object:
    """The status of a pair of status and details."""
    return result[0] if isinstance(result, list) and result else result


def _status(value: object, where: str, field: str) -> str:
    if value is None:  # the judge's process ended without a word
        return "not run"
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {field!r} is {value!r}, not a status such as 'pass'")
    return PASSED if value in _PASSED else value


EVALPLUS = Harness(
    name="EvalPlus",
    files="*eval_results.json of `evalplus.evaluate`",
    recognises=_recognises,
    read=_read,
)
