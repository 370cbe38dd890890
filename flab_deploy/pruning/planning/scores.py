"""The scores of one model, read back and checked against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from flab_deploy.artifacts import MANIFEST, Artifact, open_artifact
from flab_deploy.corpus import Instruction, load_records
from flab_deploy.decoder import ModelShape
from flab_deploy.errors import ArtifactError, PlanError
from flab_deploy.importance.score import CALIBRATION_FILE, TENSORS_FILE
from flab_deploy.records.document import read_record, record_of
from flab_deploy.records.scores import SCORES_FILE, ScoresRecord
from flab_deploy.settings.score import ScoreConfig

_TOKEN_COUNTS, _LAYER_KL, _CHANNELS, _HEADS, _EXPERTS = (
    "token_counts",
    "layer_kl",
    "channel_scores",
    "head_scores",
    "expert_scores",
)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Importance of a model's parts; low = safe to drop."""

    token_counts: NDArray[np.int64]
    """(V,)."""
    layer_kl: Tensor
    """(L,) nats per token with that layer skipped."""
    channels: Tensor | None
    """(L, I); None for a model whose layers all have experts."""
    heads: Tensor | None
    """(L, number of key-value heads); None if heads were not scored."""
    experts: Tensor | None
    """(L, E); None if there are none."""
    dropped_by_depth: tuple[tuple[tuple[int, ...], float], ...]
    """For 1, 2, ... layers dropped: which, and the KL in nats per token."""
    calibration: list[Instruction]
    """The examples that everything but the tokens was scored on."""
    config: ScoreConfig
    """What the scores were made with."""


def open_scores(folder: Path, source: str) -> Artifact:
    """The scores artifact at `folder`. Raises PlanError if it scores another checkpoint than
    `source`.
    """
    scored = open_artifact(folder, "scores")
    parents = scored.manifest["parents"]
    model = str(parents["model"]) if isinstance(parents, dict) else ""
    if model != source:
        raise PlanError(
            f"{folder} scores another model ({model[:12]}, not {source[:12]}); score it first"
        )
    return scored


def read_scores(scored: Artifact, shape: ModelShape) -> Scores:
    """The scores in an artifact. Raises ArtifactError if another version wrote them, or a table is
    missing or has another size than the model's.
    """
    summary = read_record(ScoresRecord, scored.path / SCORES_FILE)
    file = scored.path / TENSORS_FILE
    tensors = load_file(file)
    tables = {
        _TOKEN_COUNTS: (shape.vocab_size,),
        _LAYER_KL: (shape.num_hidden_layers,),
        _CHANNELS: (shape.num_hidden_layers, shape.intermediate_size),
        _HEADS: (shape.num_hidden_layers, shape.num_key_value_heads),
        _EXPERTS: (shape.num_hidden_layers, shape.num_experts),
    }
    needed = {_TOKEN_COUNTS, _LAYER_KL} | ({_CHANNELS} if shape.intermediate_size else set())
    for name, size in tables.items():
        if name not in tensors and name in needed:
            raise ArtifactError(f"{file} has no {name}; score the model again")
        if name in tensors and 0 not in size and tuple(tensors[name].shape) != size:
            raise ArtifactError(
                f"{file} has {name} {tuple(tensors[name].shape)}, the model needs {size}; "
                "score again"
            )
        if name in tensors and not bool(tensors[name].isfinite().all()):
            raise ArtifactError(
                f"{file} has values in {name} that are not finite; score the model again"
            )
    return Scores(
        token_counts=tensors[_TOKEN_COUNTS].numpy(),
        layer_kl=tensors[_LAYER_KL],
        channels=tensors.get(_CHANNELS) if shape.intermediate_size else None,
        heads=tensors.get(_HEADS),
        experts=tensors.get(_EXPERTS) if shape.num_experts else None,
        dropped_by_depth=_dropped_by_depth(summary),
        calibration=load_records(scored.path / CALIBRATION_FILE, Instruction),
        config=record_of(ScoreConfig, scored.manifest["config"], str(scored.path / MANIFEST)),
    )


def _dropped_by_depth(found: ScoresRecord) -> tuple[tuple[tuple[int, ...], float], ...]:
    return tuple(
        (tuple(sorted(path.order)), path.kl_nats[-1]) for path in found.layer_search.by_depth
    )
