"""The sizes that Flab-Pruner's released models were cut to (arXiv 2412.15921, Flab-CQ and
Flab-Nxcode).
"""

from __future__ import annotations

from flab_deploy.decoder import ModelShape
from flab_deploy.errors import PlanError
from flab_deploy.pruning.planning.budget import Sizes

VOCAB_SIZE = 17_176
LAYERS_DROPPED = 4
CHANNELS_DROPPED = 256


def paper_sizes(shape: ModelShape, needed_tokens: int) -> Sizes:
    """The paper's cut of a model: 17,176 tokens, 4 layers and 256 FFN channels fewer, everything
    else whole.

    The sizes are the paper's; which parts go is decided by the divergence that the paper states as
    its objective. Raises PlanError, with every number that stands in the way, if the model is too
    small for that cut.
    """
    wrong = []
    if shape.vocab_size <= VOCAB_SIZE:
        wrong.append(f"it has {shape.vocab_size:,} tokens")
    if needed_tokens > VOCAB_SIZE:
        wrong.append(f"the corpus needs {needed_tokens:,} tokens")
    if shape.num_hidden_layers <= LAYERS_DROPPED:
        wrong.append(f"it has {shape.num_hidden_layers} layers")
    if shape.intermediate_size <= CHANNELS_DROPPED:
        wrong.append(f"it has {shape.intermediate_size:,} FFN channels")
    if wrong:
        raise PlanError(
            f"the paper's cut (to {VOCAB_SIZE:,} tokens, by {LAYERS_DROPPED} layers and "
            f"{CHANNELS_DROPPED} channels) does not fit this model: {', '.join(wrong)}; give a "
            "reduction instead"
        )
    return Sizes(
        num_layers=shape.num_hidden_layers - LAYERS_DROPPED,
        key_value_heads=shape.num_key_value_heads,
        experts=shape.num_experts,
        width=shape.intermediate_size - CHANNELS_DROPPED,
        vocab_size=VOCAB_SIZE,
    )
