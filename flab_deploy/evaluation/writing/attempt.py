"""One problem, what the model wrote, and how that was judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flab_deploy.corpus import Task
from flab_deploy.evaluation.writing.completion import Completion

Thought = Literal["own", "none", "reference"]
"""Whose plan stands between a chain-of-thought task's words and its code."""


@dataclass(kw_only=True)
class Attempt:
    """One answer to one prompt; it is filled in as the evaluation goes on."""

    task: Task
    perturbation: str | None
    thought: Thought = "own"
    """For chain-of-thought tasks: `own` as the task is, `none` and `reference` to compare with."""
    variant: int = 0
    """Which of several forms that a perturbation method drew; 0 for the first, and for a prompt as
    written.
    """
    sample: int = 0
    completion: str = ""
    num_tokens: int = 0
    truncated: bool = False
    unparsable: bool = False
    verdict: str = ""
    findings: tuple[str, ...] = ()
    """Names of the security rules that the program breaks."""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.verdict == "pass"

    @property
    def nominal(self) -> bool:
        """Whether the task was put as it is."""
        return self.perturbation is None and self.thought == "own"

    def take(self, completion: Completion) -> None:
        """Note what the model wrote."""
        self.completion, self.truncated = completion.text, completion.truncated
        self.num_tokens = completion.num_tokens
