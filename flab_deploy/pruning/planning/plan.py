"""The `plan` stage: which tokens, layers, FFN channels and heads stay, decided by one budget.

The plan is one JSON file to review, to diff and to replay; applying it decides nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from flab_deploy.artifacts import (
    Artifact,
    Draft,
    Json,
    file_digest,
    read_json,
    run_stage,
    write_json,
)
from flab_deploy.checkpoint import resolve
from flab_deploy.errors import ConfigError, PlanError
from flab_deploy.pruning.plan_document import PLAN_FILE
from flab_deploy.pruning.planning.cost import figures_of
from flab_deploy.pruning.planning.cut_time import measure_cut_time
from flab_deploy.pruning.planning.latency import time_model
from flab_deploy.pruning.planning.planner import Decision, Planner
from flab_deploy.pruning.planning.scores import open_scores
from flab_deploy.pruning.planning.selection import MeasuredSizes
from flab_deploy.settings.plan import PlanConfig

__all__ = [
    "PlanConfig",
    "Preview",
    "document_of",
    "files_of",
    "plan",
    "preview",
    "read_preview",
    "settings_of",
]
LATENCY_FILE, TIMINGS_FILE = "latency.json", "timings.json"


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A plan that has not been written."""

    document: dict[str, Json]
    """What `plan.json` would hold."""
    cut_time: dict[str, Json]
    """What applying it would take here, as `CutTime` has it."""


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
    checkpoint, scored = resolve(model), open_scores(scores, resolve(model).digest)
    return run_stage(
        out,
        kind="plan",
        module=__name__,
        config=settings_of(config),
        parents={"model": checkpoint.digest, "scores": scored.digest, **files_of(config)},
        work=lambda draft: _write_plan(draft, Planner(checkpoint, scored, config)),
        force=force,
        measurements=(LATENCY_FILE, TIMINGS_FILE),
    )


def preview(model: str | Path, scores: Path, config: PlanConfig = PlanConfig()) -> Preview:
    """The same plan without writing anything. Raises as `plan` does."""
    checkpoint = resolve(model)
    planner = Planner(checkpoint, open_scores(scores, checkpoint.digest), config)
    decision = planner.decide(config)
    return Preview(
        document=document_of(planner, decision),
        cut_time=measure_cut_time(
            checkpoint.path, Path.cwd(), decision.figures.weight_bytes
        ).as_json(),
    )


def read_preview(folder: Path) -> Preview:
    """A plan that has been written, from its artifact directory."""
    document, cut_time = (
        cast("dict[str, Json]", read_json(folder / name)) for name in (PLAN_FILE, TIMINGS_FILE)
    )
    return Preview(document=document, cut_time=cut_time)


def settings_of(config: PlanConfig) -> dict[str, Json]:
    """The configuration as JSON."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(config).items()
    }


def files_of(config: PlanConfig) -> dict[str, str]:
    """Digests of the files that a configuration names. Raises ConfigError if one cannot be read."""
    found = {}
    for name in ("keep_tokens", "latency_model"):
        file = getattr(config, name)
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
    document = document_of(planner, decision)
    write_json(draft.path / PLAN_FILE, document)
    if planner.latency:
        write_json(
            draft.path / LATENCY_FILE,
            {**planner.latency.as_json(), **_realised_latency(planner, decision)},
        )
    cut_time = measure_cut_time(planner.path, draft.path, decision.figures.weight_bytes)
    write_json(draft.path / TIMINGS_FILE, cut_time.as_json())
    draft.figures |= {
        "predicted_kl_nats": decision.measured[0].kl_nats,
        **decision.figures.as_json(),
        "budget": document["budget"],
        "contribution": document["contribution"],
    }


def document_of(planner: Planner, decision: Decision) -> dict[str, Json]:
    """What `plan.json` holds: the kept parts, the budget, what was weighed and what is
    predicted.
    """
    chosen = decision.measured[0]
    before = figures_of(planner.shape, planner.precision, planner.config)
    found: dict[str, Any] = {
        **decision.plan.as_json(),
        "budget": _budget(planner, decision),
        "before": planner.shape.as_json(),
        "after": decision.shape.as_json(),
        "figures": {"before": before.as_json(), "after": decision.figures.as_json()},
        "predicted_kl_nats": chosen.kl_nats,
        "predicted_kl_parts_nats": {
            "structure": chosen.structure_kl,
            "vocabulary": chosen.vocabulary_kl,
        },
        "contribution": _contribution(planner, decision),
        "num_tokens_needed": planner.needed_tokens,
        "unseen_token_share": planner.unseen_token_share,
        "candidates": [_candidate(planner, measured) for measured in decision.measured],
        "curves": decision.curves.as_json() if decision.curves else None,
    }
    lists = (
        "keep_layers",
        "keep_channels",
        "keep_key_value_heads",
        "keep_experts",
        "keep_token_ids",
    )
    return {key: value for key, value in found.items() if key not in lists} | {
        key: found[key] for key in lists
    }


def _budget(planner: Planner, decision: Decision) -> dict[str, Json]:
    if decision.limit is None:
        return {"metric": "paper"}
    before, after = planner.cost(planner.shape), planner.cost(decision.shape)
    return {
        "metric": planner.config.metric,
        "reduction": 1 - decision.limit / before,
        "before": before,
        "limit": decision.limit,
        "after": after,
    }


def _candidate(planner: Planner, measured: MeasuredSizes) -> dict[str, Json]:
    sizes, shape = measured.sizes, planner.room.shape(measured.sizes)
    return {
        "num_layers": sizes.num_layers,
        "intermediate_size": sizes.width,
        "vocab_size": sizes.vocab_size,
        "num_key_value_heads": sizes.key_value_heads,
        "num_experts": sizes.experts,
        "num_parameters": shape.num_parameters,
        "kl_nats": measured.kl_nats,
    }


def _contribution(planner: Planner, decision: Decision) -> dict[str, Json]:
    """Parameters removed by vocabulary, by whole layers, and in the layers that stay by FFN width,
    heads, experts.
    """
    before, after = planner.shape, decision.shape
    layers = (before.num_hidden_layers - after.num_hidden_layers) * planner.room.layer_parameters
    dense = after.num_hidden_layers - after.num_expert_layers
    ffn = (
        (before.intermediate_size - after.intermediate_size) * before.parameters_per_channel * dense
    )
    heads = (
        before.num_key_value_heads - after.num_key_value_heads
    ) * before.parameters_per_key_value_head
    experts = (
        (before.num_experts - after.num_experts)
        * before.parameters_per_expert
        * after.num_expert_layers
    )
    parts = {
        "vocabulary": (before.vocab_size - after.vocab_size) * before.parameters_per_token,
        "layers": layers,
        "ffn": ffn,
        "heads": heads * after.num_hidden_layers,
        "experts": experts,
    }
    optional = {"heads", "experts"}
    return {name: removed for name, removed in parts.items() if removed or name not in optional}


def _realised_latency(planner: Planner, decision: Decision) -> dict[str, Json]:
    """Predicted times before and after the cut beside measured ones, of random models of both
    sizes.

    Models that would take more than half of the free memory are not measured.
    """
    model, tokens = planner.latency, planner.config.context_tokens
    if model is None:
        raise PlanError("latency is predicted for latency budgets only; give metric latency")
    found: dict[str, Json] = {}
    for role, shape in (("before", planner.shape), ("after", decision.shape)):
        predicted = {"decode_ms": model.decode_ms(shape), "prefill_ms": model.prefill_ms(shape)}
        fits = (
            planner.precision.bytes_of(shape.num_parameters) < psutil.virtual_memory().available / 2
        )
        realised = dict(time_model(planner.path, shape, tokens)) if fits else None
        found[role] = {"predicted": dict(predicted), "realised": cast("Json", realised)}
    return found
