"""What `prune` found of the checkpoint that it cut: the figures of its manifest."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.document import record


@record
class ReadingRecord:
    """How two tokenizers read the same documents."""

    num_documents: int
    num_covered: int
    """Documents whose tokens were all kept."""
    num_identical: int
    """Documents that both read as the same tokens."""
    num_lossless: int
    """Documents that come back from their tokens unchanged."""
    num_characters: int
    num_tokens_before: int
    num_tokens_after: int


@record
class TokenizerRecord:
    """The proof that the smaller tokenizer reads as the original does."""

    num_documents: int
    num_covered: int
    num_identical: int
    num_lossless: int
    num_characters: int
    num_tokens_before: int
    num_tokens_after: int
    num_byte_strings: int
    num_byte_strings_lossless: int
    num_scalars: int
    """Unicode scalar values tried."""
    num_scalars_lossless: int
    held_out: ReadingRecord | None
    """Documents that no token was counted on."""


@record
class PredictedRecord:
    """What the planner predicted; None for what a plan written by hand does not say."""

    num_parameters: int | None
    weight_bytes: int | None
    kl_nats: float | None
    """Nats per calibration token."""


@record
class ReopenedRecord:
    """What opening the cut checkpoint in a fresh process showed."""

    checked: bool
    reason: str | None
    """Why it was not opened."""
    num_generated: int | None
    max_abs_logit_difference: float | None
    """Between the source and the cut on kept tokens; None unless only the vocabulary was cut."""


@record
class RealisedRecord:
    """Divergence of the finished cut on held-out examples."""

    kl_nats: float | None
    """Nats per completion token."""
    num_tokens: int | None
    """Completion tokens that it is a mean over."""
    reason: str | None
    """Why there is none."""


@record
class PruneRecord:
    """The pruned checkpoint."""

    schema_version: Literal[1]
    num_parameters: int
    vocab_size: int
    num_hidden_layers: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    num_experts: int
    warnings: tuple[str, ...]
    """What engines will not like about the new sizes."""
    tokenizer: TokenizerRecord
    predicted: PredictedRecord
    weight_bytes: int
    reopened: ReopenedRecord
    realised: RealisedRecord | None
    """None if the checkpoint was not reopened."""
