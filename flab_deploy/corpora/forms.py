"""Instruction files in the forms of the field: prompts with completions, chat messages, Alpaca,
ShareGPT.

A file holds one form, as JSON lines or as one JSON list. Of a chat, the last answer is what is
learnt, and all that was said before it is the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from flab_deploy.corpus import Instruction, json_object
from flab_deploy.errors import ArtifactError, ConfigError

_Fields: TypeAlias = Mapping[str, object]
_BETWEEN = "\n\n"
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_call": "assistant",
    "observation": "tool",
}
"""What the forms call those who speak, and who they are."""


class _Form(NamedTuple):
    name: str
    needs: tuple[str, ...]
    """Fields that a row of this form has."""
    read: Callable[[_Fields, str], Instruction]


def load_instruction_file(path: Path) -> list[Instruction]:
    """The instructions of a file of any of the forms, in file order; unknown fields are ignored.

    Prompts of chats and of Alpaca end without white space; a blank line at the start of the
    completion then parts the two. Raises ArtifactError if the file is missing, ConfigError naming
    file and line for a line that cannot be read, is of another form than those before it, or holds
    no answer, and for a file without any.
    """
    found: list[Instruction] = []
    form: _Form | None = None
    for where, row in _rows(path):
        seen = _form_of(row, form, where)
        if form is not None and seen is not form:
            raise ConfigError(
                f"{where}: {seen.name} after {form.name}; split the file, one form in each"
            )
        form = seen
        found.append(form.read(row, where))
    if not found:
        raise ConfigError(f"{path} holds no records; give at least one JSON line")
    return found


def _rows(path: Path) -> Iterator[tuple[str, _Fields]]:
    if not path.is_file():
        raise ArtifactError(f"no corpus at {path}; give a file, `reference` or `installed`")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8; save it as UTF-8") from None
    if text.lstrip().startswith("[") and path.suffix == ".json":
        yield from _items(text, path)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", json_object(line, f"{path}:{number}")


def _items(text: str, path: Path) -> Iterator[tuple[str, _Fields]]:
    """The objects of a JSON list, each with the line it starts on."""
    decoder = json.JSONDecoder()
    at, line = _next(text, text.index("[") + 1), 1
    before = 0
    while text[at : at + 1] != "]":
        line += text.count("\n", before, at)
        before, where = at, f"{path}:{line}"
        try:
            item, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: not valid JSON ({str(error)[:80]}); fix it") from None
        if not isinstance(item, dict):
            raise ConfigError(f"{where}: expected a JSON object, found {type(item).__name__}")
        yield where, item
        at = _next(text, at)
        if text[at : at + 1] == ",":
            at = _next(text, at + 1)
        elif text[at : at + 1] != "]":
            raise ConfigError(f"{where}: no comma and no end after this object; fix the list")


def _next(text: str, at: int) -> int:
    """Where the next character stands that is no white space."""
    while text[at : at + 1].isspace():
        at += 1
    return at


def _form_of(row: _Fields, before: _Form | None, where: str) -> _Form:
    whole = [form for form in _FORMS if all(name in row for name in form.needs)]
    begun = [form for form in _FORMS if form.needs[0] in row]
    if whole or begun:
        return (whole or begun)[0]
    if before is not None:
        raise ConfigError(f"{where}: field {before.needs[0]!r} is missing or not text")
    known = "; ".join(f"{form.name}: {', '.join(form.needs)}" for form in _FORMS)
    raise ConfigError(f"{where}: no form of instructions has these fields. Known are {known}")


def _text(row: _Fields, name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: field {name!r} is missing or not text")
    return value


def _plain(row: _Fields, where: str) -> Instruction:
    return Instruction(
        prompt=_text(row, "prompt", where), completion=_text(row, "completion", where)
    )


def _alpaca(row: _Fields, where: str) -> Instruction:
    given = [_text(row, "instruction", where)]
    if row.get("input") is not None:
        given.append(_text(row, "input", where))
    return _answered(given, _text(row, "output", where), where)


def _messages(row: _Fields, where: str) -> Instruction:
    return _chat(row["messages"], "messages", "role", "content", where)


def _share_gpt(row: _Fields, where: str) -> Instruction:
    return _chat(row["conversations"], "conversations", "from", "value", where)


def _chat(turns: object, field: str, speaker: str, said: str, where: str) -> Instruction:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ConfigError(f"{where}: field {field!r} is not a list of objects")
    read = [(_role(turn, speaker, where), _content(turn, said, where)) for turn in turns]
    answers = [at for at, (role, _) in enumerate(read) if role == "assistant"]
    if not answers:
        raise ConfigError(f"{where}: a chat without an answer of the assistant; leave it out")
    return _answered([text for _, text in read[: answers[-1]]], read[answers[-1]][1], where)


def _role(turn: _Fields, name: str, where: str) -> str:
    role = _text(turn, name, where)
    if role not in _ROLES:
        raise ConfigError(f"{where}: {name} is {role!r}; known are {', '.join(_ROLES)}")
    return _ROLES[role]


def _content(turn: _Fields, name: str, where: str) -> str:
    """What is said, as text or as a list of parts that are all text."""
    parts = turn.get(name)
    if not isinstance(parts, list):
        return _text(turn, name, where)
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in parts):
        raise ConfigError(f"{where}: field {name!r} holds more than text; leave it out")
    return "".join(_text(part, "text", where) for part in parts)


def _answered(given: Sequence[str], answer: str, where: str) -> Instruction:
    prompt = _BETWEEN.join(text.strip("\n").rstrip() for text in given if text.strip())
    if not prompt or not answer.strip():
        missing = "answer" if prompt else "question"
        raise ConfigError(f"{where}: there is no {missing}; leave that line out")
    completion = answer.strip("\n").rstrip()
    return Instruction(prompt=prompt, completion=f"{_BETWEEN}{completion}\n", prompt_form="words")


_FORMS = (
    _Form("prompts with completions", ("prompt", "completion"), _plain),
    _Form("chat messages", ("messages",), _messages),
    _Form("ShareGPT", ("conversations",), _share_gpt),
    _Form("Alpaca", ("instruction", "output"), _alpaca),
)
