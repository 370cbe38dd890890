"""Which texts two models are compared on token by token, and what the candidate is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from flab_deploy.errors import ConfigError
from flab_deploy.settings.compare import CompareConfig
from flab_deploy.settings.evaluate import EvaluateConfig, FormatName
from flab_deploy.settings.shared.bounds import Seed, check_bounds
from flab_deploy.settings.shared.device import DeviceConfig
from flab_deploy.settings.shared.prompt import PromptSettings


@dataclass(frozen=True, kw_only=True)
class LikelihoodConfig(PromptSettings, DeviceConfig):
    """Which texts both models read, and how many more bits the candidate may need for them."""

    suite: str = EvaluateConfig.suite
    """Problems whose own solutions are read: `reference`, a file of tasks (.jsonl, .jsonl.gz,
    .json, .parquet), or `hub:ORG/NAME@REVISION#CONFIG/SPLIT`.
    """
    format: FormatName | None = None
    """One of flab, humaneval, codeharmony, mbpp, evalplus, cruxeval, securityeval; recognised by
    the fields if None.
    """
    texts: str = "auto"
    """`installed` for the installed functions that no training on such code sees, or a file of
    held-out code (.jsonl, .jsonl.gz, .json, .parquet), with `text`, or `prompt` and `completion`,
    and perhaps `source`, whose part before `:` is the file that it is from. None if empty; `auto`
    is none for the reference model and `installed` for any other.
    """
    num_problems: Annotated[int, Ge(0)] = 500
    """Problems of each kind, at most; 0 reads the held-out code alone."""
    num_texts: Annotated[int, Ge(1)] = 1000
    """Texts of held-out code, at most; taken at equal distances from all over the file."""
    max_tokens: Annotated[int, Ge(16)] = 1024
    """Tokens of a text, its prompt included; longer ones are cut, at the same character for both
    models.
    """
    batch_tokens: Annotated[int, Ge(1)] = 4096
    """Tokens that are read together, padding included."""
    max_loss: Annotated[float, Gt(0), Le(1)] = 0.05
    """Share of the original's bits per byte that the candidate may need in addition: the claim
    that is tested.
    """
    confidence: Annotated[float, Gt(0.5), Lt(1)] = CompareConfig.confidence
    """Confidence of the intervals, and of the one-sided test."""
    seed: Seed = 0
    """Seed of the generated tasks."""

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to read."""
        check_bounds(self)
        if self.num_problems == 0 and not self.texts:
            raise ConfigError(
                "num_problems is 0 and no texts are given, so there is nothing to read; give one "
                "of them"
            )
