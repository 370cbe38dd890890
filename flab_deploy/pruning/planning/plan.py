"""The `plan` stage: which tokens, layers, FFN channels and heads stay, decided by one budget.

The plan is one JSON file to review, to diff and to replay; applying it decides nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import psutil

from flab_deploy.artifacts import Artifact, Draft, file_digest, run_stage
from flab_deploy.checkpoint import resolve
from flab_deploy.decoder import ModelShape, choose_device
from flab_deploy.errors import ConfigError
from flab_deploy.pruning.planning.cost import figures_of
from flab_deploy.pruning.planning.cut_time import measure_cut_time
from flab_deploy.pruning.planning.latency import LatencyModel, time_model
from flab_deploy.pruning.planning.planner import Decision, Planner
from flab_deploy.pruning.planning.scores import open_scores
from flab_deploy.pruning.planning.selection import MeasuredSizes
from flab_deploy.records.document import as_json, read_record, write_record
from flab_deploy.records.plan import (
    LATENCY_FILE,
    PLAN_FILE,
    TIMINGS_FILE,
    Budget,
    CandidateRecord,
    Contribution,
    CostsRecord,
    CutTimeRecord,
    LatencyRecord,
    PaperBudget,
    PlanCorpus,
    PlanFigures,
    PlanPreviewRecord,
    PlanRecord,
    PredictedParts,
    PredictedTimes,
)
from flab_deploy.settings.plan import PlanConfig


def plan(
    model: str | Path,
    scores: Path,
    out: Path,
    config: PlanConfig = PlanConfig(),
    *,
    force: bool = False,
) -> Artifact:
    """Plan the least divergent cut that meets the budget; writes `plan.json`, and `latency.json`
    for that metric.

    Raises PlanError if the scores belong to another model or no cut meets the budget, ConfigError
    for flags that contradict the model.
    """
    choose_device(config.device)
    checkpoint, scored = resolve(model), open_scores(scores, resolve(model).digest)
    return run_stage(
        out,
        kind="plan",
        module=__name__,
        config=asdict(config),
        parents={"model": checkpoint.digest, "scores": scored.digest, **files_of(config)},
        work=lambda draft: _write_plan(draft, Planner(checkpoint, scored, config)),
        force=force,
        measurements=(LATENCY_FILE, TIMINGS_FILE),
    )


def preview(
    model: str | Path, scores: Path, config: PlanConfig = PlanConfig()
) -> PlanPreviewRecord:
    """The same plan without writing anything. Raises as `plan` does."""
    checkpoint = resolve(model)
    planner = Planner(checkpoint, open_scores(scores, checkpoint.digest), config)
    decision = planner.decide(config)
    return PlanPreviewRecord(
        schema_version=1,
        plan=plan_record(planner, decision),
        cut=measure_cut_time(checkpoint.path, Path.cwd(), decision.figures.weight_bytes),
    )


def read_preview(folder: Path) -> PlanPreviewRecord:
    """A plan that has been written, from its artifact directory."""
    return PlanPreviewRecord(
        schema_version=1,
        plan=read_record(PlanRecord, folder / PLAN_FILE),
        cut=read_record(CutTimeRecord, folder / TIMINGS_FILE),
    )


def files_of(config: PlanConfig) -> dict[str, str]:
    """Digests of the files that a configuration names. Raises ConfigError if one cannot be read."""
    found = {}
    for name, file in (
        ("keep_tokens", config.keep_tokens),
        ("latency_model", config.latency_model),
    ):
        if file is not None:
            try:
                found[name] = file_digest(Path(file))
            except OSError as error:
                raise ConfigError(
                    f"cannot read {name} {file}: {error.strerror or error}; give a file"
                ) from None
    return found


def _write_plan(draft: Draft, planner: Planner) -> None:
    decision = planner.decide(planner.config)
    found = plan_record(planner, decision)
    write_record(draft.path / PLAN_FILE, found)
    if planner.latency:
        latency = _latency_record(planner, planner.latency, decision)
        write_record(draft.path / LATENCY_FILE, latency)
    cut_time = measure_cut_time(planner.path, draft.path, decision.figures.weight_bytes)
    write_record(draft.path / TIMINGS_FILE, cut_time)
    draft.figures |= as_json(plan_figures(found))


def plan_figures(found: PlanRecord) -> PlanFigures:
    """What is shown of a plan."""
    return PlanFigures(
        **vars(found.figures.after),
        predicted_kl_nats=found.predicted_kl_nats,
        budget=found.budget,
        contribution=found.contribution,
    )


def plan_record(planner: Planner, decision: Decision) -> PlanRecord:
    """What `plan.json` holds: the kept parts, the budget, what was weighed and what is
    predicted.
    """
    plan, chosen = decision.plan, decision.measured[0]
    before = figures_of(planner.shape, planner.precision, planner.config)
    return PlanRecord(
        schema_version=2,
        source=plan.source,
        corpus=PlanCorpus(
            name=plan.corpus,
            num_counted=plan.num_counted,
            every_text_identical=plan.every_text_identical,
        ),
        vocab_multiple=plan.vocab_multiple,
        write_factors=plan.write_factors,
        budget=_budget(planner, decision),
        before=planner.shape,
        after=decision.shape,
        figures=CostsRecord(before=before, after=decision.figures),
        predicted_kl_nats=chosen.kl_nats,
        predicted_kl_parts_nats=PredictedParts(
            structure=chosen.structure_kl, vocabulary=chosen.vocabulary_kl
        ),
        contribution=_contribution(planner, decision),
        num_tokens_needed=planner.needed_tokens,
        unseen_token_share=planner.unseen_token_share,
        candidates=tuple(_candidate(planner, measured) for measured in decision.measured),
        curves=decision.curves,
        keep_layers=plan.keep_layers,
        keep_channels=plan.keep_channels,
        keep_key_value_heads=plan.keep_key_value_heads,
        keep_experts=plan.keep_experts,
        keep_token_ids=plan.keep_token_ids,
    )


def _budget(planner: Planner, decision: Decision) -> Budget | PaperBudget:
    if decision.limit is None:
        return PaperBudget(metric="paper")
    before, after = planner.cost(planner.shape), planner.cost(decision.shape)
    return Budget(
        metric=planner.config.metric,
        reduction=1 - decision.limit / before,
        before=before,
        limit=decision.limit,
        after=after,
    )


def _candidate(planner: Planner, measured: MeasuredSizes) -> CandidateRecord:
    sizes, shape = measured.sizes, planner.room.shape(measured.sizes)
    return CandidateRecord(
        num_layers=sizes.num_layers,
        intermediate_size=sizes.width,
        vocab_size=sizes.vocab_size,
        num_key_value_heads=sizes.key_value_heads,
        num_experts=sizes.experts,
        num_parameters=shape.num_parameters,
        kl_nats=measured.kl_nats,
    )


def _contribution(planner: Planner, decision: Decision) -> Contribution:
    """Parameters removed by vocabulary, by whole layers, and in the layers that stay by FFN width,
    heads, experts.
    """
    before, after = planner.shape, decision.shape
    layers = (before.num_hidden_layers - after.num_hidden_layers) * planner.room.layer_parameters
    dense = after.num_hidden_layers - after.num_expert_layers
    channels = before.intermediate_size - after.intermediate_size
    found: Contribution = {
        "vocabulary": (before.vocab_size - after.vocab_size) * before.parameters_per_token,
        "layers": layers,
        "ffn": channels * before.parameters_per_channel * dense,
    }
    heads = before.num_key_value_heads - after.num_key_value_heads
    if removed := heads * before.parameters_per_key_value_head * after.num_hidden_layers:
        found["heads"] = removed
    experts = before.num_experts - after.num_experts
    if removed := experts * before.parameters_per_expert * after.num_expert_layers:
        found["experts"] = removed
    return found


def _latency_record(planner: Planner, model: LatencyModel, decision: Decision) -> LatencyRecord:
    """The latency model, and its times before and after the cut beside measured ones."""
    return LatencyRecord(
        schema_version=1,
        context_tokens=model.context_tokens,
        threads=model.threads,
        decode=model.decode,
        prefill=model.prefill,
        before=_times(planner, model, planner.shape),
        after=_times(planner, model, decision.shape),
    )


def _times(planner: Planner, model: LatencyModel, shape: ModelShape) -> PredictedTimes:
    """Predicted times beside those of a random model of that shape, unless it would take more than
    half of the free memory.
    """
    size, free = planner.precision.bytes_of(shape.num_parameters), psutil.virtual_memory().available
    fits = size < free / 2
    realised = time_model(planner.path, shape, planner.config) if fits else None
    return PredictedTimes(predicted=model.times(shape), realised=realised)
