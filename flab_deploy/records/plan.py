"""What `plan` decided: `plan.json`, and what applying it would take: `timings.json`.

The bytes of `plan.json` are its digest: what the planner writes has every field in the order of
`PlanRecord`. A plan may also be edited or written by hand; of such a plan
`flab_deploy.pruning.plan_document` reads only what stays.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from flab_deploy.records.document import STRICT, record
from flab_deploy.settings.plan import Metric

PLAN_FILE, TIMINGS_FILE, LATENCY_FILE = "plan.json", "timings.json", "latency.json"
SWEEP_FILE = "sweep.json"


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
    """Rows of the embedding."""
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    """FFN channels of a layer without experts; 0 if every layer has experts."""
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool
    num_parameters: int
    """Exact count over all tensors of the checkpoint."""
    parameters_per_channel: int
    """What one FFN channel less saves in a layer."""
    parameters_per_key_value_head: int
    """What one key-value head less, with its query heads, saves in a layer; 0 if heads cannot be
    cut.
    """
    parameters_per_token: int
    """What one token less saves."""
    num_experts: int
    """Experts of a layer that has them; 0 for a model without."""
    num_experts_per_tok: int
    """Experts that each token runs through."""
    num_expert_layers: int
    """Layers with experts."""
    parameters_per_expert: int
    """What one expert less saves in a layer."""
    shared_expert_parameters: int
    """Parameters of the expert that every token runs through, in one layer."""


@record
class CostRecord:
    """What a model of one shape costs; computed, not measured."""

    num_parameters: int
    weight_bytes: int
    """Bytes of all tensors, in the checkpoint's own precision."""
    kv_bytes_per_token: int
    """Keys and values of one token in all layers, in the checkpoint's own precision."""
    forward_flops_per_token: int
    """At the plan's context."""
    serving_memory_bytes: int
    """Weights, KV cache of the plan's `batch_size` full contexts, and one float32 row of logits
    for each sequence.
    """


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
    """Increasing; the last is the uncut size."""
    kl_nats: tuple[float, ...]
    """Nats per token, never rising with size; the last is 0."""


@record
class CurvesRecord:
    """Divergence along every axis that the planner may cut besides depth, which is measured step
    by step.
    """

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
class PlanFigures(CostRecord):
    """The figures that `plan` shows, of the cut model."""

    predicted_kl_nats: float
    """Nats per calibration token."""
    budget: Annotated[Budget | PaperBudget, Field(discriminator="metric")]
    contribution: Contribution


@record
class CutTimeRecord:
    """What applying a plan takes on this machine: `timings.json`."""

    schema_version: Literal[1]
    disk_bytes: int
    """Size of the cut model's weights."""
    free_bytes: int
    """Bytes free where they would be written."""
    copy_bytes_per_s: int
    """Measured speed of copying some of the source's weights there, synced to disk."""
    seconds: float
    """Predicted time of the cut: the whole source read, the smaller model written."""


@record
class LineRecord:
    """Milliseconds by size, linear between measured points and beyond them."""

    sizes: tuple[int, ...]
    """Increasing."""
    ms: tuple[float, ...]
    """Never falling."""


@record
class TermsRecord:
    """The parts of one kind of time."""

    fixed_ms: float
    """Whatever the sizes."""
    layer_ms: LineRecord
    """One layer by FFN width, with all its heads."""
    heads_ms: LineRecord
    """One layer of full width by key-value heads, with the query heads that read them."""
    vocabulary_ms: LineRecord
    """What the vocabulary takes, relative to the smallest measured."""


@record
class Times:
    """Decoding one token and reading a prompt, in milliseconds."""

    decode_ms: float
    """One token of one sequence, after a prompt."""
    prefill_ms: float
    """Reading that prompt."""


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
class SweepPoint:
    """The plan of one budget in short."""

    reduction: float
    num_parameters: int
    num_hidden_layers: int
    intermediate_size: int
    num_key_value_heads: int
    vocab_size: int
    predicted_kl_nats: float


@record
class SweepFigures:
    """The figures that a sweep shows."""

    plans: tuple[SweepPoint, ...]


@record
class PlanPreviewRecord:
    """A plan with what applying it would take here: what `flab plan --dry-run --json` prints."""

    schema_version: Literal[1]
    plan: PlanRecord
    cut: CutTimeRecord
