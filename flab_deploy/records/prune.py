"""What `prune` found of the checkpoint that it cut: the figures of its manifest."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.document import record


@record
class ReadingRecord:
    """How two tokenizers read the same documents."""

    num_documents: int
    num_covered: int
    """Documents whose original tokens are all kept; every one of them has to be identical."""
    num_identical: int
    """Documents with the same tokens in the same order."""
    num_lossless: int
    """Documents that decode to their own text, or to what the original makes of it."""
    num_characters: int
    num_tokens_before: int
    num_tokens_after: int


@record
class TokenizerRecord(ReadingRecord):
    """The proof that the smaller tokenizer reads as the original does; the first fields are about
    the plan's corpus.
    """

    num_byte_strings: int
    """Random byte strings, most of them no valid UTF-8."""
    num_byte_strings_lossless: int
    """Of those, how many come back, or are lost by the original too because it has no token for a
    byte.
    """
    num_scalars: int
    """Unicode scalar values tried."""
    num_scalars_lossless: int
    """Of those, how many decode to what the original decodes."""
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
    """Nats per completion token, as the planner counts them: the part of the tokens that went, -log
    of the probability that the original gives to those that stayed, plus KL(original among those ||
    cut).
    """
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
