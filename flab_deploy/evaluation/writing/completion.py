"""What is asked of a model that writes, and what it answers; the same for every place a model can
run.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from flab_deploy.artifacts import json_digest
from flab_deploy.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What a model wrote after one prompt."""

    text: str
    """Decoded new tokens, without the end-of-text token."""
    ids: tuple[int, ...]
    """New token ids, without the end-of-text token; empty where a server does not tell them."""
    truncated: bool
    """Whether the limit of new tokens, or the model's context, cut it off."""
    num_tokens: int
    """New tokens, as the place that wrote them counts."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion to write."""

    ids: tuple[int, ...]
    """Token ids of the prompt."""
    sample: int = 0
    """Which of several samples of the same prompt."""

    @property
    def key(self) -> str:
        """SHA-256 of prompt and sample number."""
        return json_digest([list(self.ids), self.sample])


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """How text is generated."""

    batch_size: int = 512
    """Prompts continued together, or requests under way at a time; fewer where their cache would
    exceed 1 GiB.
    """
    max_new_tokens: int = 128
    """New tokens per prompt, at most."""
    stop_at_newline: bool = False
    """Whether a completion ends with its first line."""
    temperature: float = 0.0
    """0 takes the most likely token; above, tokens are drawn from the distribution at that
    temperature.
    """
    top_p: float = 1.0
    """Share of the probability that tokens are drawn from, the most likely first; in (0, 1]."""
    seed: int = 0
    """Seed of the drawing; a completion depends on it, its prompt and sample number alone."""

    def __post_init__(self) -> None:
        """Refuse settings under which nothing can be written."""
        if self.batch_size < 1 or self.max_new_tokens < 1:
            raise ConfigError(
                f"batch_size={self.batch_size} and max_new_tokens={self.max_new_tokens} must "
                "be at least 1"
            )
        if not (0 <= self.temperature <= 10 and 0 < self.top_p <= 1):
            raise ConfigError(
                f"temperature={self.temperature} must be in [0, 10] and top_p={self.top_p} in "
                "(0, 1]"
            )

    def draws(self, request: Request) -> Random:
        """The random source of one completion, the same in every process and batch."""
        return Random(hashlib.sha256(f"{self.seed}|{request.key}".encode()).digest())


OnDone = Callable[[Sequence[int], Sequence[Completion]], None]
"""Told the positions of requests and their completions as soon as these are written."""
NO_LIMIT = sys.maxsize
