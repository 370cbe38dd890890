"""What importance is measured on, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import Seed, check_bounds
from flab_deploy.settings.shared.device import DeviceConfig
from flab_deploy.settings.shared.prompt import PromptSettings

SearchMethod = Literal["one_shot", "greedy", "beam"]
UnitMetric = Literal[
    "activation_squared", "wanda", "taylor", "kl_taylor", "first", "last", "middle", "random"
]
"""`first`, `last`, `middle` and `random` go by index alone, as the released code of Flab-Pruner
does: controls.
"""
UNIT_METRICS: tuple[UnitMetric, ...] = get_args(UnitMetric)
LayerMetric = Literal["kl", "perplexity", "token_accuracy", "block_influence", "cosine", "taylor"]


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(PromptSettings, DeviceConfig):
    """What importance is measured on, and how."""

    corpus: str = "auto"
    """Names with commas between them: files of instructions ({"prompt", "completion"}, chat
    messages, Alpaca or ShareGPT), `installed` for the Python code that is installed here,
    `reference` for generated tasks. `auto` is the generated tasks for the reference model and the
    installed code for any other.
    """
    num_counted: Annotated[int, Ge(1)] = 20_000
    """Examples whose tokens are counted."""
    num_calibration: Annotated[int, Ge(1)] = 64
    """Examples that layers, channels and heads are scored on."""
    max_tokens: Annotated[int, Ge(1)] = 512
    """Longer calibration examples are left out."""
    batch_size: Annotated[int, Ge(1)] = 2
    """Calibration examples per forward pass; small ones let the layer search stop candidates
    sooner.
    """
    held_out: str = "reference"
    """JSON-lines file of tasks not to calibrate on, `reference` for the reference model's test
    tasks, '' for none.
    """
    shared_words: Annotated[int, Ge(1)] = 50
    """Examples that share a run of this many words with a held-out task are passed over."""
    self_generated: bool = False
    """Calibrate on the model's own greedy answers to the prompts instead of the corpus's solutions.
    """
    layer_metric: LayerMetric = "kl"
    """What layers are dropped by; the KL after each drop is measured in any case."""
    layer_search: SearchMethod = "greedy"
    """Drop by the first scores (one_shot), measure again after each drop (greedy), or follow
    several stacks (beam).
    """
    beam_width: Annotated[int, Ge(1)] = 3
    """Stacks that a beam search follows."""
    max_layers_searched: Annotated[int, Ge(0)] = 12
    """Layers dropped at most by the search; one layer always stays."""
    channel_metric: UnitMetric = "activation_squared"
    """What FFN channels and key-value heads are scored by. activation_squared takes one forward
    pass and gives the same every time; kl_taylor takes gradients, some three passes, and varies
    with its random draw; first, last, middle and random are controls.
    """
    seed: Seed = 0
    """Of everything drawn at random."""

    def __post_init__(self) -> None:
        """Refuse sizes that measure nothing and searches that a metric does not allow."""
        check_bounds(self)
        if self.layer_search == "beam" and self.layer_metric in (
            "block_influence",
            "cosine",
            "taylor",
        ):
            raise ConfigError(
                f"a beam needs a metric of whole models; {self.layer_metric} allows one_shot and "
                "greedy, or take kl, perplexity or token_accuracy"
            )
