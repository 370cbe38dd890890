"""Perturbations of the wrapper: what a chat template or an editor puts before the code.

A wrapper is text before the program and no part of it: programs are judged without it, and a
completion ends where it closes the code fence that the wrapper opened.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import NamedTuple

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import Form
from flab_deploy.evaluation.perturb.registry import FUNCTIONS, perturbation

FENCE = "```"


class _Wrapper(NamedTuple):
    name: str
    description: str
    text: str


_WRAPPERS = (
    _Wrapper(
        "chat_instruction",
        "An instruction before the code.",
        "Complete the following Python function.\n\n",
    ),
    _Wrapper(
        "chat_request",
        "A request for help before the code.",
        "I need help with some code. Can you finish this Python function for me?\n\n",
    ),
    _Wrapper("chat_fenced", "An opened code fence before the code.", "```python\n"),
    _Wrapper(
        "chat_instruction_fenced",
        "An instruction and an opened code fence.",
        "Complete the following Python function.\n\n```python\n",
    ),
    _Wrapper(
        "chat_alpaca",
        "The headings of Alpaca's template.",
        "### Instruction:\nComplete the Python function below.\n\n### Response:\n```python\n",
    ),
    _Wrapper(
        "chat_magicoder",
        "The headings of Magicoder's template.",
        "@@ Instruction\nComplete the Python function below.\n\n@@ Response\n```python\n",
    ),
    _Wrapper(
        "chat_question_answer",
        "A question, and the beginning of its answer.",
        "Question: How would you complete this Python function?\n\nAnswer:\n```python\n",
    ),
    _Wrapper(
        "chat_markup",
        "A turn of the user and the beginning of the model's, marked up as in ChatML.",
        "<|im_start|>user\nComplete this Python function.<|im_end|>\n"
        "<|im_start|>assistant\n```python\n",
    ),
    _Wrapper(
        "chat_system",
        "Words about who is asked, as in a system prompt.",
        "You are a careful programmer who writes correct Python and says nothing else.\n\n",
    ),
    _Wrapper(
        "chat_turns",
        "A turn of the user and the beginning of the model's, in plain words.",
        "User: Complete this Python function.\nAssistant: Here is the whole function:\n\n"
        "```python\n",
    ),
    _Wrapper(
        "chat_chinese",
        "An instruction in Chinese.",
        "\u8bf7\u8865\u5168\u4e0b\u9762\u7684 Python \u51fd\u6570\u3002\n\n",
    ),
    _Wrapper(
        "chat_german",
        "An instruction in German.",
        "Vervollst\u00e4ndige die folgende Python-Funktion.\n\n",
    ),
)


def _add(wrapper: _Wrapper) -> None:
    @perturbation(
        name=wrapper.name,
        description=wrapper.description,
        family="chat",
        promise="same_tree",
        kinds=FUNCTIONS,
        wrapper=wrapper.text,
    )
    def rewrite(form: Form, rng: Random) -> Task | None:
        return replace(form.task, prompt=wrapper.text + form.task.prompt)


for _wrapper in _WRAPPERS:
    _add(_wrapper)


def unfenced(completion: str) -> str:
    """The completion up to the line that closes a code fence, if one does."""
    lines = completion.split("\n")
    closing = next(
        (at for at, line in enumerate(lines) if at and line.startswith(FENCE)), len(lines)
    )
    return "\n".join(lines[:closing]) + ("\n" if closing < len(lines) else "")
