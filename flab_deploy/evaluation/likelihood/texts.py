"""Which texts both models read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.artifacts import file_digest
from flab_deploy.corpora import AUTO, INSTALLED, REFERENCE, corpus_for, held_out_code
from flab_deploy.corpus import Task, corpus_digest
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.tasks.load import SuiteConfig, load_tasks
from flab_deploy.evaluation.tasks.sources import rows
from flab_deploy.records.likelihood import SetName
from flab_deploy.settings.likelihood import LikelihoodConfig

_FIRST_WORD = re.compile(r"\s*\S+")
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class ScoredText:
    """A text whose second part is predicted."""

    text_id: str
    set: SetName
    cluster: str
    """What the text stands and falls with."""
    prompt: str
    """What is given; the first word where nothing else is, since a first token follows nothing."""
    completion: str
    """What is predicted."""


def load_texts(config: LikelihoodConfig) -> list[ScoredText]:
    """The problems with their own solutions, then the held-out code; some may have nothing to
    predict.

    Raises ArtifactError for a missing file, ConfigError naming file and line for what is no such
    text, or if none has anything to predict.
    """
    problems = [_of_task(task) for task in _tasks(config)] if config.num_problems else []
    texts = held_out_texts(config.texts) if config.texts else []
    found = [*problems, *_spread(texts, config.num_texts)]
    if not any(text.completion for text in found):
        raise ConfigError(
            f"none of the {len(found)} texts has a completion to predict; give problems with "
            "solutions, or texts of more than a word"
        )
    return found


def _spread(texts: list[ScoredText], number: int) -> list[ScoredText]:
    """At most so many texts, from all over the file."""
    if len(texts) <= number:
        return texts
    return [texts[place * len(texts) // number] for place in range(number)]


def texts_for(asked: str, original: Path) -> str:
    """The texts that `auto` stands for; any other name as it is."""
    if asked != AUTO:
        return asked
    return "" if corpus_for(AUTO, original) == REFERENCE else INSTALLED


def texts_digest(texts: str) -> str:
    """SHA-256 of the held-out code. Raises ArtifactError if there is none."""
    return corpus_digest(held_out_code()) if texts == INSTALLED else file_digest(texts_file(texts))


def texts_file(texts: str) -> Path:
    """The file of held-out code. Raises ArtifactError if there is none."""
    path = Path(texts).expanduser()
    if not path.is_file():
        raise ArtifactError(
            f"no texts at {path}; give a JSON-lines file with text, or prompt and completion"
        )
    return path


def _tasks(config: LikelihoodConfig) -> list[Task]:
    number = config.num_problems
    suite = SuiteConfig(
        tasks=config.suite,
        format=config.format,
        num_function_synthesis=number,
        num_output_prediction=number,
        num_chain_of_thought=number,
        num_input_prediction=number,
        num_secure_code=number,
        num_robustness=0,
        perturbations=(),
        seed=config.seed,
    )
    return load_tasks(suite)


def _of_task(task: Task) -> ScoredText:
    cluster = task.composition or task.task_id
    return _text(task.task_id, "problems", cluster, task.prompt, task.canonical_solution)


def held_out_texts(texts: str) -> list[ScoredText]:
    """The held-out code that is installed or in a file. Raises ArtifactError and ConfigError as
    `load_texts`.
    """
    if texts == INSTALLED:
        return [
            _text(one.source, "texts", one.source.partition(":")[0], one.prompt, one.completion)
            for one in held_out_code()
        ]
    path = texts_file(texts)
    found = [_of_row(row, where, path.name) for where, row in rows(str(path))]
    if not found:
        raise ConfigError(f"{path} holds no texts; give at least one row")
    return found


def _of_row(row: dict[str, object], where: str, file: str) -> ScoredText:
    prompt, completion = _parts(row, where)
    source = row.get("source")
    if isinstance(source, str) and source:
        return _text(source, "texts", source.partition(":")[0], prompt, completion)
    name = f"{file}:{where.rpartition(':')[2]}"
    return _text(name, "texts", name, prompt, completion)


def _parts(row: dict[str, object], where: str) -> tuple[str, str]:
    names = ("text",) if "text" in row else ("prompt", "completion")
    values = [row.get(name) for name in names]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, str):
            raise ConfigError(
                f"{where}: field {name!r} is missing or not text; give 'text', or 'prompt' and "
                "'completion'"
            )
    prompt, completion = ("", *values) if len(values) == 1 else values
    return str(prompt), str(completion)


def _text(name: str, group: SetName, cluster: str, prompt: str, completion: str) -> ScoredText:
    if _HALF_A_CHARACTER.search(prompt + completion):
        raise ConfigError(
            f"{name} holds half a character (a lone surrogate), which is no text; remove it"
        )
    if not prompt.strip() and (first := _FIRST_WORD.match(completion)):
        end = first.end()
        prompt, completion = prompt + completion[:end], completion[end:]
    return ScoredText(
        text_id=name, set=group, cluster=cluster, prompt=prompt, completion=completion
    )
