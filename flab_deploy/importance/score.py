"""The `score` stage: importance of every vocabulary entry, layer, FFN channel and attention head of
a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from flab_deploy.artifacts import (
    Artifact,
    Draft,
    code_digest,
    json_digest,
    open_artifact,
    run_stage,
    write_json,
)
from flab_deploy.checkpoint import Checkpoint, read_config, resolve
from flab_deploy.corpus import Instruction, corpus_digest, save_records
from flab_deploy.decoder import model_shape
from flab_deploy.errors import ConfigError
from flab_deploy.home import flab_home
from flab_deploy.importance.measure import Measured, measure
from flab_deploy.importance.ranks import Ranks, joined_ranks
from flab_deploy.importance.tokens import count_tokens
from flab_deploy.reference.corpus import load_instructions
from flab_deploy.settings.score import ScoreConfig
from flab_deploy.tokenizer import load_tokenizer

SCORES_FILE = "scores.safetensors"
SUMMARY_FILE = "scores.json"
CALIBRATION_FILE = "calibration.jsonl"
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def end_of_text_id(path: Path) -> int:
    """The id that ends a completion, from `config.json`. Raises ConfigError if the model declares
    none.
    """
    end = read_config(path).get("eos_token_id")
    first = end[0] if isinstance(end, list) and end else end
    if not isinstance(first, int):
        raise ConfigError(
            f"{path / 'config.json'} declares no eos_token_id; set the token that ends a text"
        )
    return first


def score(
    model: str | Path, out: Path, config: ScoreConfig = ScoreConfig(), *, force: bool = False
) -> Artifact:
    """Score a checkpoint; writes `scores.safetensors`, `scores.json` and `calibration.jsonl`.

    Tensors: token_counts (V,) int64; layer_kl (L,) float32 in nats per token; channel_scores (L,
    I), head_scores (L, key-value heads) and expert_scores (L, E) float32, each where the model has
    such parts. Under `torchrun` the calibration batches are shared out and the first process
    writes. A killed run goes on after the last finished round of the layer search.
    Raises UnsupportedModel for anything but a supported decoder, ConfigError or ArtifactError for a
    bad corpus, ArtifactError naming the tensor for a weight that is not finite.
    """
    checkpoint = resolve(model)
    model_shape(checkpoint.path)
    examples = load_instructions(config.corpus, config.num_counted, "score")
    parents = {"model": checkpoint.digest, "corpus": corpus_digest(examples)}
    key = json_digest({"parents": parents, "config": asdict(config), "code": code_digest(__name__)})
    with joined_ranks() as ranks:
        work = _Work(checkpoint, examples, config, ranks, flab_home() / "journals" / key[:32])
        if ranks.rank > 0:
            if ranks.called():
                work.measured()
        else:
            with ranks.lead() as start:
                run_stage(
                    out,
                    kind="scores",
                    module=__name__,
                    parents=parents,
                    config=asdict(config),
                    force=force,
                    work=lambda draft: work.write(draft, start),
                )
        ranks.wait()
    return open_artifact(out, "scores")


@dataclass(frozen=True)
class _Work:
    """One scoring of one checkpoint; every rank measures, the first one writes."""

    checkpoint: Checkpoint
    examples: list[Instruction]
    config: ScoreConfig
    ranks: Ranks
    journal_path: Path

    def measured(self) -> Measured:
        return measure(
            self.checkpoint.path,
            self.examples,
            end_of_text_id(self.checkpoint.path),
            self.config,
            self.ranks,
            self.journal_path,
        )

    def write(self, draft: Draft, start: Callable[[], None]) -> None:
        path = self.checkpoint.path
        texts = (text for example in self.examples for text in (example.prompt, example.completion))
        counts = count_tokens(load_tokenizer(path), texts, model_shape(path).vocab_size)
        counts[end_of_text_id(path)] += len(self.examples)
        start()
        found = self.measured()
        save_file(
            {"token_counts": torch.from_numpy(counts), **found.tensors()}, draft.path / SCORES_FILE
        )
        save_records(draft.path / CALIBRATION_FILE, found.examples)
        write_json(draft.path / SUMMARY_FILE, _summary(counts, found, self.config))
        draft.figures |= {
            "num_tokens_seen": int((counts > 0).sum()),
            "least_layer_kl_nats": min(found.layers.kl_nats),
            "layers_first_to_drop": list(found.layers.found.path.order),
        }


def _summary(counts: np.ndarray[Any, Any], found: Measured, config: ScoreConfig) -> dict[str, Any]:
    order = found.layers.found
    summary: dict[str, Any] = {
        "num_tokens": int(counts.sum()),
        "token_counts": {
            "num_seen": int((counts > 0).sum()),
            "sorted_counts": np.sort(counts)[::-1].tolist(),
        },
        "layers": [
            {"layer": layer, "kl_nats": kl} for layer, kl in enumerate(found.layers.kl_nats)
        ],
        "layer_search": {
            "metric": config.layer_metric,
            "method": config.layer_search,
            "first_scores": list(order.first_scores),
            **order.path.as_json(),
            "by_depth": [path.as_json() for path in order.by_depth],
        },
        "unit_metric": config.channel_metric,
        "calibration": {
            "num_examples": len(found.examples),
            "num_tokens": found.num_tokens,
            "num_contaminated": found.num_contaminated,
            "self_generated": config.self_generated,
            "digest": corpus_digest(found.examples),
        },
    }
    if found.channels is not None:
        summary["channels"] = _quantiles(found.channels)
    return summary


def _quantiles(channels: Tensor) -> dict[str, Any]:
    quantiles = torch.quantile(channels, torch.tensor(_QUANTILES), dim=1).T  # (L, Q)
    return {
        "num_channels": channels.shape[1],
        "mean_score_by_layer": channels.mean(1).tolist(),
        "quantiles": list(_QUANTILES),
        "quantiles_by_layer": quantiles.tolist(),
    }
