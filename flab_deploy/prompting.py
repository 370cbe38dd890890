"""The one place where a prompt becomes tokens: as the model's own tokenizer and servers have it.

A text begins with what the model's tokenizer puts before it, such as Gemma's `<bos>`. A chat model
is asked for code through its template, and its answer is begun with the code to go on with, so that
what it writes continues the prompt as a base model's completion does. Prompt and completion are
encoded on their own and joined as ids, as in generation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flab_deploy.corpus import Instruction
from flab_deploy.decoder import load_tokenizer
from flab_deploy.errors import ConfigError, first_line
from flab_deploy.settings.shared.prompt import PromptSettings
from flab_deploy.tokenizer import TOKENIZER_FILE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ASKED = "Continue this Python code. Answer with the whole code in one block.\n\n```python\n{}\n```"
_FENCE = "```python\n"
_CLOSED = "\n```"


@dataclass(frozen=True)
class Prompting:
    """How the model at `path` is prompted."""

    path: Path
    settings: PromptSettings = PromptSettings()

    @cached_property
    def is_chat(self) -> bool:
        """Whether prompts go through the chat template. Raises ConfigError if a chat is asked for
        and there is no template.
        """
        if self.settings.prompt_style == "plain":
            return False
        found = bool(tokenizer_of(self.path).chat_template)
        if self.settings.prompt_style == "chat" and not found:
            raise ConfigError(
                f"prompt_style is chat, but {self.path} has no chat template; take plain or auto"
            )
        return found

    def prompt(self, code: str) -> str:
        """The text that the model is to continue, for code that is to be continued.

        Raises ConfigError if the chat template refuses it.
        """
        if not self.is_chat:
            return code
        asked = {"role": "user", "content": _ASKED.format(code)}
        return self.chat([asked, {"role": "assistant", "content": _FENCE + code}])

    def example(self, example: Instruction) -> Instruction:
        """The same example as this model is given it."""
        if not self.is_chat:
            return example
        if example.prompt_form == "words":
            asked = self.chat([{"role": "user", "content": example.prompt}])
            return replace(example, prompt=asked, completion=example.completion.strip())
        return replace(
            example, prompt=self.prompt(example.prompt), completion=example.completion + _CLOSED
        )

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """The text of a conversation: one that the assistant began to answer, or is to answer.

        Raises ConfigError if the template refuses it.
        """
        system = self.settings.system_prompt
        first = [{"role": "system", "content": system}] if system else []
        begun = messages[-1]["role"] == "assistant"
        render: Any = tokenizer_of(self.path).apply_chat_template
        try:
            text = render(
                [*first, *messages],
                tokenize=False,
                continue_final_message=begun,
                add_generation_prompt=not begun,
                **_variables(self.settings.template_variables),
            )
        except Exception as error:  # templates raise what they like
            raise ConfigError(
                f"the chat template of {self.path} refuses a conversation ({first_line(error)}); "
                "take --prompt-style plain, or another system prompt"
            ) from None
        return str(text)


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[tuple[int, ...]]:
    """Token ids of each text with what the tokenizer puts before it, which is not put there twice;
    () for an empty text.
    """
    begin = begin_ids(tokenizer)
    return [
        ids if not ids or ids[: len(begin)] == begin else (*begin, *ids)
        for ids in encode_completions(tokenizer, texts)
    ]


def encode_completions(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[tuple[int, ...]]:
    """Token ids of each text as it stands."""
    if not texts:
        return []
    return [tuple(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def begin_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that the tokenizer begins every text with; usually one or none."""
    whole, bare = (
        tuple(tokenizer("x", add_special_tokens=special)["input_ids"]) for special in (True, False)
    )
    at = next((n for n in range(len(whole)) if whole[n : n + len(bare)] == bare), 0)
    return whole[:at]


def tokenizer_of(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that transformers and servers load for the checkpoint; kept, for one with a
    vocabulary of 262,144 takes seconds to load.
    """
    file = path / TOKENIZER_FILE
    return _loaded(path, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=4)
def _loaded(path: Path, _written_ns: int) -> PreTrainedTokenizerBase:
    return load_tokenizer(path)


def _variables(texts: Sequence[str]) -> dict[str, object]:
    """Variables of a template by name; a value that is JSON stands for what it says."""
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.isidentifier() and equals):
            raise ConfigError(
                f"template_variables has {text!r}; give NAME=VALUE such as enable_thinking=false"
            )
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
