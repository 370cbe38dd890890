"""How well two models predict the same texts: `likelihood.json`, and a line for each text in
`texts.jsonl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from flab_deploy.records.compare import ClaimVerdict
from flab_deploy.records.document import record
from flab_deploy.records.evaluate import Interval

LIKELIHOOD_FILE, TEXTS_FILE = "likelihood.json", "texts.jsonl"
SetName: TypeAlias = Literal["problems", "texts"]
"""Reference solutions of problems, or held-out code."""
SET_LABELS: Mapping[SetName, str] = {"problems": "reference solutions", "texts": "held-out texts"}
"""Sets of texts in a reader's words."""


@record
class TextLine:
    """One text under both models; its prompt is read and not counted."""

    text_id: str
    """Id of the task, or the text's source."""
    set: SetName
    cluster: str
    """What the text stands and falls with: a task's composition, or the file that it is from."""
    cut: bool
    """Whether it was too long."""
    num_bytes: int
    """Of the completion in UTF-8."""
    num_original_tokens: int
    num_candidate_tokens: int
    original_bits: float
    """Negative logarithm to the base 2 of the completion's likelihood; the end of the text is not
    counted.
    """
    candidate_bits: float
    num_compared: int
    """Tokens that begin at the same character for both models, so that both have read the same
    text.
    """
    num_top_1_equal: int
    """Those of them at which both find the same token the likeliest."""
    kl_nats: float
    """KL(original || candidate) over the tokens that both have, summed over the compared ones."""
    dropped_probability: float
    """What the original gives to tokens that the candidate lacks, summed over the compared ones."""


@record
class TokenAgreement:
    """How close the predictions are, token by token."""

    num_tokens: int
    """Tokens that begin at the same character for both models."""
    token_share: float
    """Their share in the original's tokens of all completions."""
    top_1: float
    """Share of them at which both models find the same token the likeliest."""
    top_1_interval: Interval | None
    kl_nats: float
    """Mean KL(original || candidate) over the tokens that both have, in nats."""
    kl_nats_interval: Interval | None
    dropped_probability: float
    """Mean probability that the original gives to tokens that the candidate lacks."""


@record
class BitsFigures:
    """Both models on one set of texts, and the claim that the candidate needs little more."""

    num_texts: int
    num_clusters: int
    num_cut: int
    """Texts that were too long and read in part."""
    num_bytes: int
    original_bits_per_byte: float
    candidate_bits_per_byte: float
    difference: float
    """The candidate's bits per byte minus the original's."""
    difference_interval: Interval | None
    """None where all texts are one cluster, as the other intervals."""
    ratio: float
    """The candidate's bits over the original's."""
    ratio_interval: Interval | None
    non_inferiority_p: float
    """One-sided, against the claim that the candidate needs less than `max_loss` more."""
    verdict: ClaimVerdict
    detectable_loss: float | None
    """The least `max_loss` that texts like these would likely show if there were no loss."""
    num_texts_needed: int | None
    """Texts like these that would likely show the claim if there were no loss."""
    agreement: TokenAgreement | None
    agreement_reason: str | None
    """Why the predictions could not be compared."""


@record
class LikelihoodRecord:
    """A candidate against its original on the same texts."""

    schema_version: Literal[1]
    answer: tuple[str, ...]
    """The findings in sentences."""
    original: str
    """Digest of the model."""
    candidate: str
    original_name: str
    candidate_name: str
    original_dtype: str
    """Precision that it calculated in."""
    candidate_dtype: str
    suite: str | None
    """Name of the problems; None if none were read."""
    max_loss: float
    confidence: float
    max_tokens: int
    """Tokens of a text at most, as both models' contexts allow."""
    num_left_out: int
    """Texts without anything to predict, or with a prompt that is too long."""
    sets: dict[SetName, BitsFigures]
    verdict: ClaimVerdict
    """Shown only if it is shown on every set."""
