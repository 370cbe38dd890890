"""Instruction files in the forms of the field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flab_deploy.corpora import load_held_out, load_instructions
from flab_deploy.corpora.forms import load_instruction_file
from flab_deploy.corpus import Instruction
from flab_deploy.errors import ArtifactError, ConfigError

PLAIN = {"prompt": "def f():", "completion": "\n    return 1\n", "source": "a.py:1"}
CHAT = {
    "prompt": "as some files repeat it",
    "messages": [
        {"role": "system", "content": "Be brief.\n"},
        {"role": "user", "content": "  One?"},
        {"role": "assistant", "content": "1"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": "?"}],
        },
        {"role": "assistant", "content": "\n2\n\n"},
        {"role": "user", "content": "Thanks."},
    ],
}
ALPACA = {"instruction": "Add.", "input": "1, 2", "output": "3", "text": "all of it"}
SHARE_GPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}


def written(folder: Path, *rows: object, name: str = "rows.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("row", "prompt", "completion"),
    [
        (PLAIN, PLAIN["prompt"], PLAIN["completion"]),
        (CHAT, "Be brief.\n\n  One?\n\n1\n\nTwo?", "\n\n2\n"),
        (ALPACA, "Add.\n\n1, 2", "\n\n3\n"),
        ({**ALPACA, "input": ""}, "Add.", "\n\n3\n"),
        ({"instruction": "Add.", "output": "3"}, "Add.", "\n\n3\n"),
        (SHARE_GPT, "Hi", "\n\nHo\n"),
    ],
    ids=["plain", "chat", "alpaca", "empty input", "no input", "sharegpt"],
)
def test_every_form_is_read(
    tmp_path: Path, row: dict[str, object], prompt: str, completion: str
) -> None:
    form = "code" if "completion" in row else "words"
    wanted = [Instruction(prompt=prompt, completion=completion, prompt_form=form)] * 2
    assert load_instruction_file(written(tmp_path, row, row)) == wanted
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps([row, row], indent=2))
    assert load_instruction_file(listed) == wanted
    assert load_instructions(str(listed), 1, "any") == wanted[:1]


def chat(*turns: tuple[object, object]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (chat(("user", "Hi")), "a chat without an answer of the assistant; leave it out"),
        (chat(), "a chat without an answer of the assistant"),
        (chat(("assistant", "Hi")), "there is no question; leave that line out"),
        (chat(("user", "Hi"), ("assistant", " \n")), "there is no answer; leave that line out"),
        (chat(("robot", "Hi")), "role is 'robot'; known are system, developer, user"),
        (chat(("user", None)), "field 'content' is missing or not text"),
        (chat((None, "Hi")), "field 'role' is missing or not text"),
        (chat(("user", [{"type": "image"}])), "field 'content' holds more than text"),
        (chat(("user", ["Hi"])), "field 'content' holds more than text"),
        ({"messages": "Hi"}, "field 'messages' is not a list of objects"),
        ({"messages": ["Hi"]}, "field 'messages' is not a list of objects"),
        ({"conversations": [{"value": "Hi"}]}, "field 'from' is missing or not text"),
        ({**ALPACA, "output": 3}, "field 'output' is missing or not text"),
        ({**ALPACA, "input": 3}, "field 'input' is missing or not text"),
        ({"instruction": "Add."}, "field 'output' is missing or not text"),
        ({"prompt": "a"}, "field 'completion' is missing or not text"),
        ({"prompt": "a", "completion": 3}, "field 'completion' is missing or not text"),
        ({"question": "a"}, "no form of instructions has these fields. Known are prompts with"),
        (["a"], "expected a JSON object, found list"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_by_file_and_line(
    tmp_path: Path, row: object, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_instruction_file(written(tmp_path, row))
    assert f"rows.jsonl:1: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (PLAIN, SHARE_GPT, "ShareGPT after prompts with completions; split the file"),
        (CHAT, ALPACA, "Alpaca after chat messages; split the file"),
        (SHARE_GPT, PLAIN, "prompts with completions after ShareGPT; split the file"),
        (PLAIN, {"text": "a"}, "field 'prompt' is missing or not text"),
    ],
)
def test_a_file_that_mixes_forms_is_refused(
    tmp_path: Path, first: object, second: object, message: str
) -> None:
    file = written(tmp_path, first, second)
    with pytest.raises(ConfigError, match=rf"rows\.jsonl:2: {message}"):
        load_instruction_file(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no records; give at least one JSON line"),
        ("\n\n", "holds no records"),
        ('{"prompt": ', r"rows\.json:1: not valid JSON"),
        ("[]", "holds no records"),
        ('[{"prompt": "a", "completion": "b"},\n3]', r"rows\.json:2: expected a JSON object"),
        ('[\n{"prompt": "a", "completion": "b"}', r"rows\.json:2: no comma and no end"),
        ('[{"prompt": "a", "completion": "b"},\n', r"rows\.json:2: not valid JSON"),
    ],
)
def test_an_empty_or_broken_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_instruction_file(tmp_path / "rows.json")


def test_a_missing_file_and_one_of_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no corpus at .*none; give a file, `reference` or"):
        load_instruction_file(tmp_path / "none")
    (tmp_path / "rows.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_instruction_file(tmp_path / "rows.jsonl")


def test_rows_that_were_not_counted_are_held_out_of_mixed_files_too(tmp_path: Path) -> None:
    def rows(letter: str) -> list[dict[str, str]]:
        return [{"prompt": f"{letter}{n}", "completion": "c"} for n in range(4)]

    one = str(written(tmp_path, *rows("a"), name="one.jsonl"))
    two = str(written(tmp_path, *rows("b"), name="two.jsonl"))
    both = f"{one}, {two}"
    assert [e.prompt for e in load_instructions(both, 3, "any")] == ["a0", "b0", "a1"]
    assert [e.prompt for e in load_held_out(one, 3, 9)] == ["a3"]
    assert [e.prompt for e in load_held_out(both, 3, 9)] == ["a3", "b3"]
