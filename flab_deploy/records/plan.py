"""What `plan` decided: `plan.json`, and what applying it would take: `timings.json`.

`plan.json` is written and read by `flab_deploy.pruning.plan_document` in one form since schema 2;
its bytes are its digest, so fields that a plan does not need are left out of it, not null.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from flab_deploy.records.document import STRICT, record
from flab_deploy.settings.plan import Metric

PLAN_FILE, TIMINGS_FILE, LATENCY_FILE = "plan.json", "timings.json", "latency.json"


@with_config(STRICT)
class Contribution(TypedDict):
    """Parameters removed by each kind of cut; heads and experts only where some were."""

    vocabulary: int
    layers: int
    ffn: int
    heads: NotRequired[int]
    experts: NotRequired[int]


@record
class PlanCorpus:
    """Whose token sequences must stay what they were."""

    name: str
    """`reference`, or the corpus' files."""
    num_counted: int
    """Examples that the tokens were counted on."""
    every_text_identical: bool
    """Whether each of those texts must read as before."""


@record
class PaperBudget:
    """The paper's own sizes in place of a budget."""

    metric: Literal["paper"]


@record
class Budget:
    """How far to cut, in the metric's own unit."""

    metric: Metric
    reduction: float
    """Share of `before` that must go at least."""
    before: int | float
    limit: int | float
    """What may stay."""
    after: int | float


@record
class ShapeRecord:
    """Sizes of a decoder, under the names of Hugging Face's configurations."""

    model_type: str
    vocab_size: int
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool
    num_parameters: int
    parameters_per_channel: int
    parameters_per_key_value_head: int
    parameters_per_token: int
    num_experts: int
    num_experts_per_tok: int
    num_expert_layers: int
    parameters_per_expert: int
    shared_expert_parameters: int


@record
class CostRecord:
    """What a model of one shape costs."""

    num_parameters: int
    weight_bytes: int
    kv_bytes_per_token: int
    forward_flops_per_token: int
    serving_memory_bytes: int


@record
class CostsRecord:
    """Costs before and after the cut."""

    before: CostRecord
    after: CostRecord


@record
class PredictedParts:
    """Predicted divergence by its causes, in nats per token."""

    structure: float
    vocabulary: float


@record
class CandidateRecord:
    """One way to make the cut whose divergence was measured; the first of them was chosen."""

    num_layers: int
    intermediate_size: int
    vocab_size: int
    num_key_value_heads: int
    num_experts: int
    num_parameters: int
    kl_nats: float


@record
class CurveRecord:
    """Divergence along one axis with everything else whole."""

    sizes: tuple[int, ...]
    kl_nats: tuple[float, ...]


@record
class CurvesRecord:
    """Divergence along every axis that the planner may cut."""

    width: CurveRecord
    key_value_heads: CurveRecord
    experts: CurveRecord
    vocabulary: CurveRecord


@record
class PlanRecord:
    """The plan of a cut with its reasons."""

    schema_version: Literal[2]
    source: str
    """Digest of the checkpoint it was made for."""
    corpus: PlanCorpus
    vocab_multiple: int
    write_factors: tuple[float, ...]
    budget: Annotated[Budget | PaperBudget, Field(discriminator="metric")]
    before: ShapeRecord
    after: ShapeRecord
    figures: CostsRecord
    predicted_kl_nats: float
    """Nats per calibration token."""
    predicted_kl_parts_nats: PredictedParts
    contribution: Contribution
    num_tokens_needed: int
    """Vocabulary entries that the corpus needs."""
    unseen_token_share: float
    """Estimated share of other text's tokens that the corpus never shows."""
    candidates: tuple[CandidateRecord, ...]
    curves: CurvesRecord | None
    """None where nothing was weighed."""
    keep_layers: tuple[int, ...]
    keep_channels: tuple[tuple[int, ...], ...]
    keep_key_value_heads: tuple[tuple[int, ...], ...]
    keep_experts: tuple[tuple[int, ...], ...]
    keep_token_ids: tuple[int, ...]


@record
class CutTimeRecord:
    """What applying a plan takes on this machine."""

    schema_version: Literal[1]
    disk_bytes: int
    """Size of the cut model's weights."""
    free_bytes: int
    copy_bytes_per_s: int
    seconds: float


@record
class LineRecord:
    """Milliseconds by size, linear between measured points and beyond them."""

    sizes: tuple[int, ...]
    ms: tuple[float, ...]


@record
class TermsRecord:
    """The parts of one kind of time."""

    fixed_ms: float
    layer_ms: LineRecord
    heads_ms: LineRecord
    vocabulary_ms: LineRecord


@record
class Times:
    """Decoding one token and reading a prompt, in milliseconds."""

    decode_ms: float
    prefill_ms: float


@record
class PredictedTimes:
    """What the latency model says, and what a random model of that size took."""

    predicted: Times
    realised: Times | None
    """None where the model would have taken more than half of the free memory."""


@record
class LatencyRecord:
    """The latency model of a machine, and how it was met: `latency.json`."""

    schema_version: Literal[1]
    context_tokens: int
    threads: int
    decode: TermsRecord
    prefill: TermsRecord
    before: PredictedTimes
    after: PredictedTimes


@record
class SweepPlan:
    """One point of the front."""

    reduction: float
    budget: Budget
    before: ShapeRecord
    after: ShapeRecord
    figures: CostsRecord
    predicted_kl_nats: float
    predicted_kl_parts_nats: PredictedParts
    contribution: Contribution
    candidates: tuple[CandidateRecord, ...]
    keep_layers: tuple[int, ...]


@record
class SweepRecord:
    """One plan per budget: `sweep.json`."""

    schema_version: Literal[1]
    metric: Metric
    plans: tuple[SweepPlan, ...]


@record
class PlanPreviewRecord:
    """What `flab plan --dry-run --json` prints: the plan, and what applying it would take."""

    schema_version: Literal[1]
    plan: PlanRecord
    cut: CutTimeRecord
