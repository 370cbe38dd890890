"""The words that a chat template puts around messages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateSyntaxError

from flab_deploy.tokenizer.files import TOKENIZER_CONFIG_FILE, settings_of

# Templates print the role of a message, which the message itself brings.
_ROLES = ("system", "user", "assistant", "tool")


def chat_texts(path: Path) -> list[str]:
    """Every literal text of the checkpoint's chat templates and the usual roles; [] if it has no
    template.
    """
    templates = list(_templates(path))
    if not templates:
        return []
    return sorted({*_ROLES, *(text for template in templates for text in _literals(template))})


def _templates(path: Path) -> Iterator[str]:
    yield from _named(settings_of(path, TOKENIZER_CONFIG_FILE).get("chat_template"))
    yield from _named(settings_of(path, "chat_template.json").get("chat_template"))
    for file in sorted(
        [path / "chat_template.jinja", *(path / "additional_chat_templates").glob("*.jinja")]
    ):
        if file.is_file():
            yield file.read_text(encoding="utf-8")


def _named(value: Any) -> Iterator[str]:
    """One template, or the templates of a list of {"name", "template"}."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (str(entry["template"]) for entry in value)


def _literals(template: str) -> Iterator[str]:
    try:
        for _, kind, text in Environment(autoescape=True).lex(template):
            if kind == "data":
                yield text
            elif kind == "string":
                yield str(ast.literal_eval(text))
    except (TemplateSyntaxError, ValueError, SyntaxError):
        yield template  # not for jinja2 alone to read: keep what its whole text needs
