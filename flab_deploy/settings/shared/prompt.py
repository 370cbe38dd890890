"""How a model is prompted, for every stage that gives it text.

Annotations are evaluated here at once: the settings that inherit these fields lie in other modules,
where their names mean nothing.
"""

from dataclasses import dataclass
from typing import Literal

PromptStyle = Literal["auto", "chat", "plain"]


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """How a model is prompted."""

    prompt_style: PromptStyle = "auto"
    """`chat` asks through the model's chat template and begins its answer with the given code,
    `plain` gives the code alone, `auto` is chat for a model that has a template.
    """
    system_prompt: str = ""
    """What the chat's system message says; empty for none but the template's own."""
    template_variables: tuple[str, ...] = ()
    """Variables of the chat template such as enable_thinking=false."""
