"""The `score` stage: importance of every vocabulary entry, layer and FFN channel of a checkpoint."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from flab_deploy.artifacts import Artifact, Draft, run_stage, write_json
from flab_deploy.checkpoint import Checkpoint, read_config, resolve
from flab_deploy.corpus import Instruction, corpus_digest
from flab_deploy.decoder import load_model, model_shape
from flab_deploy.errors import ConfigError
from flab_deploy.importance.calibration import encode, kl_measure, make_batches
from flab_deploy.importance.channels import channel_scores
from flab_deploy.importance.layers import skip_scores
from flab_deploy.importance.tokens import count_tokens
from flab_deploy.reference.corpus import load_instructions
from flab_deploy.tokenizer import load_tokenizer

logger = logging.getLogger(__name__)
SCORES_FILE = "scores.safetensors"
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """What importance is measured on."""

    corpus: str = "reference"
    """JSON-lines file of {"prompt", "completion"}, or `reference` for generated training tasks."""
    num_counted: int = 20_000
    """Examples whose tokens are counted."""
    num_calibration: int = 64
    """Examples that layers and channels are scored on."""
    max_tokens: int = 512
    """Longer calibration examples are left out."""
    batch_size: int = 32
    """Calibration examples per forward pass."""

    def __post_init__(self) -> None:
        """Refuse sizes that measure nothing."""
        for name in ("num_counted", "num_calibration", "max_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give a positive number")


def end_of_text_id(path: Path) -> int:
    """The id that ends a completion, from `config.json`. Raises ConfigError if the model declares none."""
    end = read_config(path).get("eos_token_id")
    first = end[0] if isinstance(end, list) and end else end
    if not isinstance(first, int):
        raise ConfigError(f"{path / 'config.json'} declares no eos_token_id; set the token that ends a text")
    return first


def score(model: str | Path, out: Path, config: ScoreConfig = ScoreConfig(), *, force: bool = False) -> Artifact:  # noqa: B008
    """Score a checkpoint; writes `scores.safetensors` and `scores.json`.

    Tensors: token_counts (V,) int64, layer_kl (L,) float32 in nats per token, channel_scores (L, I) float32.
    Raises UnsupportedModel for anything but a supported decoder, ConfigError or ArtifactError for a bad corpus.
    """
    checkpoint = resolve(model)
    model_shape(checkpoint.path)
    examples = load_instructions(config.corpus, config.num_counted, "score")
    parents = {"model": checkpoint.digest, "corpus": corpus_digest(examples)}
    return run_stage(
        out, kind="scores", module=__name__, parents=parents, config=asdict(config), force=force,
        work=lambda draft: _write_scores(draft, checkpoint, examples, config),
    )  # fmt: skip


def _write_scores(draft: Draft, checkpoint: Checkpoint, examples: list[Instruction], config: ScoreConfig) -> None:
    path = checkpoint.path
    texts = (text for example in examples for text in (example.prompt, example.completion))
    counts = count_tokens(load_tokenizer(path), texts, model_shape(path).vocab_size)
    counts[end_of_text_id(path)] += len(examples)
    model = load_model(path, torch.float32)
    encoded = encode(path, examples[: config.num_calibration], end_of_text_id(path), config.max_tokens)
    batches = make_batches(encoded, config.batch_size)
    logger.info("score: channels and %d layers on %d examples", model.config.num_hidden_layers, len(encoded))
    channels = channel_scores(model, batches)
    kl = skip_scores(model, kl_measure(model, batches), range(model.config.num_hidden_layers))
    tensors = {
        "token_counts": torch.from_numpy(counts),
        "layer_kl": torch.tensor([kl[layer] for layer in sorted(kl)]),
        "channel_scores": channels,
    }
    save_file(tensors, draft.path / SCORES_FILE)
    num_tokens = sum(len(batch.positions) for batch in batches)
    summary = _summary(counts, kl, channels)
    summary["calibration"] = {"num_examples": len(encoded), "num_tokens": num_tokens, "digest": corpus_digest(examples)}
    write_json(draft.path / "scores.json", summary)
    draft.figures |= {"num_tokens_seen": int((counts > 0).sum()), "least_layer_kl_nats": min(kl.values())}


def _summary(counts: np.ndarray[Any, Any], kl: dict[int, float], channels: torch.Tensor) -> dict[str, Any]:
    quantiles = torch.quantile(channels, torch.tensor(_QUANTILES), dim=1).T  # (L, Q)
    return {
        "num_tokens": int(counts.sum()),
        "token_counts": {"num_seen": int((counts > 0).sum()), "sorted_counts": np.sort(counts)[::-1].tolist()},
        "layers": [{"layer": layer, "kl_nats": kl[layer]} for layer in sorted(kl)],
        "channels": {
            "num_channels": channels.shape[1], "mean_score_by_layer": channels.mean(1).tolist(),
            "quantiles": list(_QUANTILES), "quantiles_by_layer": quantiles.tolist(),
        },
    }  # fmt: skip
