"""bigcode-evaluation-harness: the two places where it leaves a verdict on every problem.

Its `evaluation_results.json` holds aggregates and `--save_generations` answers without verdicts.
The tasks of HumanEvalPack write `logs.json` into the working directory, `{number: [[sample,
{"task_id", "passed", "result", "completion_id"}], ...]}`, which is what the metric `code_eval`
returns beside pass@k; `multiple-*` leaves a `NAME.results.json` per problem in the temporary
directory, with the problem and under `results` the `status` and `exit_code` of each sample, right
if they are `OK` and 0.
"""

from __future__ import annotations

from typing import NoReturn

from flab_deploy.artifacts import json_digest
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.outside.outcomes import PASSED, Harness, OutsideResults, ProblemOutcome
from flab_deploy.evaluation.outside.result_document import ResultDocument, ResultEntry

_NAME = "bigcode-evaluation-harness"
_METRIC = "passed"
_HOW = (
    "verdicts on every problem are kept for tasks such as humanevalsynthesize-python (logs.json) "
    "and multiple-* (*.results.json); --load_generations_path judges saved answers again"
)


def _recognises(document: ResultDocument) -> bool:
    whole = document.whole
    if isinstance(whole, list):
        return bool(whole) and all(isinstance(answers, list) for answers in whole)
    if isinstance(whole, dict) and (_is_log(whole) or _is_aggregate(whole)):
        return True
    return bool(document.entries) and _is_of_multiple(document.entries[0])


def _is_log(whole: dict[str, object]) -> bool:
    return bool(whole) and all(
        name.isdigit() and isinstance(samples, list) for name, samples in whole.items()
    )


def _is_aggregate(whole: dict[str, object]) -> bool:
    config = whole.get("config")
    return isinstance(config, dict) and bool({"n_samples", "metric_output_path"} & config.keys())


def _is_of_multiple(entry: ResultEntry) -> bool:
    return {"name", "language", "tests", "results"} <= entry.value.keys()


def _read(document: ResultDocument) -> OutsideResults:
    whole = document.whole
    if isinstance(whole, list):
        raise ConfigError(f"{document.path} holds answers without verdicts; {_HOW}")
    if isinstance(whole, dict) and _is_log(whole):
        names = sorted(whole, key=int)  # written in the order in which programs ended
        return _results(document, {name: _logged(whole[name], document, name) for name in names})
    if isinstance(whole, dict) and _is_aggregate(whole):
        tasks = ", ".join(name for name in whole if name != "config")
        raise ConfigError(f"{document.path} holds only aggregates ({tasks}); {_HOW}")
    return _of_multiple(document)


def _results(
    document: ResultDocument,
    outcomes: dict[str, ProblemOutcome],
    task: str | None = None,
    texts: dict[str, str] | None = None,
) -> OutsideResults:
    return OutsideResults(
        harness=_NAME,
        path=document.path,
        digest=document.digest,
        task=task,
        data_set=None,
        texts=texts,
        prompts=None,
        metrics={_METRIC: outcomes},
        graded={},
    )


def _logged(samples: object, document: ResultDocument, name: str) -> ProblemOutcome:
    """The outcome of one problem of `logs.json`."""
    where = f"{document.path}: problem {name}"
    endings: dict[object, str] = {}
    for sample in samples if isinstance(samples, list) else []:
        number, said = sample if isinstance(sample, list) and len(sample) == 2 else (None, None)
        if not isinstance(said, dict) or not isinstance(said.get("passed"), bool):
            _fail(where, "a sample has no 'passed' that is true or false")
        if number in endings:
            _fail(where, f"sample {number} stands twice")
        endings[number] = PASSED if said["passed"] else _ending(said.get("result"))
    if not endings:
        _fail(where, "there are no samples")
    return ProblemOutcome.of(list(endings.values()))


def _ending(result: object) -> str:
    """How a wrong sample ended, without what it printed."""
    said = result.partition(":")[0].strip() if isinstance(result, str) else ""
    return said if said and said != "passed" else "failed"


def _of_multiple(document: ResultDocument) -> OutsideResults:
    """The outcomes of a directory with a file per problem."""
    outcomes: dict[str, ProblemOutcome] = {}
    texts: dict[str, str] = {}
    languages = set()
    for entry in document.entries:
        value = entry.value
        if not _is_of_multiple(entry):
            _fail(entry.where, "no problem of multiple-*, as the others are")
        name = str(value["name"])
        if name in outcomes:
            _fail(entry.where, f"problem {name!r} stands twice")
        outcomes[name] = _executed(value["results"], entry.where)
        texts[name] = json_digest([value.get("prompt"), value["tests"]])
        languages.add(str(value["language"]))
    if len(languages) > 1:
        raise ConfigError(
            f"{document.path} mixes the languages {', '.join(sorted(languages))}; put the results "
            "of one language into a directory"
        )
    return _results(document, outcomes, task=f"multiple-{languages.pop()}", texts=texts)


def _executed(samples: object, where: str) -> ProblemOutcome:
    if not isinstance(samples, list) or not samples:
        _fail(where, "there are no samples under 'results'")
    endings = []
    for sample in samples:
        if not isinstance(sample, dict) or not isinstance(sample.get("status"), str):
            _fail(where, "a sample has no 'status'")
        right = sample["status"] == "OK" and sample.get("exit_code") == 0
        endings.append(PASSED if right else sample["status"])
    return ProblemOutcome.of(endings)


def _fail(where: str, message: str) -> NoReturn:
    raise ConfigError(f"{where}: {message}; evaluate the model again")


BIGCODE = Harness(
    name=_NAME,
    files="logs.json of humanevalpack tasks, or a directory of multiple-*'s *.results.json",
    recognises=_recognises,
    read=_read,
)
