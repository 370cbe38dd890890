"""The `score` stage: importance of every vocabulary entry, layer, FFN channel and attention head of
a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from flab_deploy.artifacts import (
    Artifact,
    Draft,
    code_digest,
    json_digest,
    open_artifact,
    run_stage,
)
from flab_deploy.batches import end_of_text_id
from flab_deploy.checkpoint import Checkpoint, resolve
from flab_deploy.corpora import corpus_for, load_instructions
from flab_deploy.corpus import Instruction, corpus_digest, save_records
from flab_deploy.decoder import choose_device, model_shape
from flab_deploy.home import flab_home
from flab_deploy.importance.measure import Measured, measure
from flab_deploy.importance.ranks import Ranks, joined_ranks
from flab_deploy.importance.tokens import count_tokens
from flab_deploy.prompting import Prompting, begin_ids, tokenizer_of
from flab_deploy.records.document import as_json, write_record
from flab_deploy.records.scores import (
    SCORES_FILE,
    CalibrationRecord,
    ChannelScores,
    LayerScore,
    LayerSearchRecord,
    ScoresFigures,
    ScoresRecord,
    TokenCounts,
)
from flab_deploy.settings.score import ScoreConfig
from flab_deploy.tokenizer import load_tokenizer

TENSORS_FILE, CALIBRATION_FILE = "scores.safetensors", "calibration.jsonl"
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def score(
    model: str | Path, out: Path, config: ScoreConfig = ScoreConfig(), *, force: bool = False
) -> Artifact:
    """Score a checkpoint; writes `scores.safetensors`, `scores.json` and `calibration.jsonl`.

    Tensors: token_counts (V,) int64; layer_kl (L,) float32 in nats per token; channel_scores (L,
    I), head_scores (L, key-value heads) and expert_scores (L, E) float32, each where the model has
    such parts. Under `torchrun` the calibration batches are shared out and the first process
    writes. A killed run goes on after the last finished round of the layer search.
    Raises UnsupportedModel for anything but a supported decoder, ConfigError or ArtifactError for a
    bad corpus, ConfigError for a device that is not there, ArtifactError naming the tensor for a
    weight that is not finite.
    """
    choose_device(config.device)
    checkpoint = resolve(model)
    model_shape(checkpoint.path)
    config = replace(config, corpus=corpus_for(config.corpus, checkpoint.path))
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

    def texts(self) -> Iterator[str]:
        """The corpus, and what is put around it for a chat model."""
        prompting = Prompting(self.checkpoint.path, self.config)
        for example in self.examples:
            yield example.prompt
            yield example.completion
            if prompting.is_chat:
                asked = prompting.example(example)
                yield asked.prompt
                yield asked.completion

    def write(self, draft: Draft, start: Callable[[], None]) -> None:
        path = self.checkpoint.path
        counts = count_tokens(load_tokenizer(path), self.texts(), model_shape(path).vocab_size)
        counts[[*begin_ids(tokenizer_of(path)), end_of_text_id(path)]] += len(self.examples)
        start()
        found = self.measured()
        save_file(
            {"token_counts": torch.from_numpy(counts), **found.tensors()}, draft.path / TENSORS_FILE
        )
        save_records(draft.path / CALIBRATION_FILE, found.examples)
        summary = _summary(counts, found, self.config)
        write_record(draft.path / SCORES_FILE, summary)
        draft.figures |= as_json(
            ScoresFigures(
                num_tokens_seen=summary.token_counts.num_seen,
                least_layer_kl_nats=min(layer.kl_nats for layer in summary.layers),
                layers_first_to_drop=summary.layer_search.order,
            )
        )


def _summary(counts: NDArray[np.int64], found: Measured, config: ScoreConfig) -> ScoresRecord:
    order = found.layers.found
    return ScoresRecord(
        schema_version=1,
        num_tokens=int(counts.sum()),
        token_counts=TokenCounts(
            num_seen=int((counts > 0).sum()), sorted_counts=tuple(np.sort(counts)[::-1].tolist())
        ),
        layers=tuple(
            LayerScore(layer=layer, kl_nats=kl) for layer, kl in enumerate(found.layers.kl_nats)
        ),
        layer_search=LayerSearchRecord(
            metric=config.layer_metric,
            method=config.layer_search,
            first_scores=order.first_scores,
            order=order.path.order,
            scores=order.path.scores,
            kl_nats=order.path.kl_nats,
            by_depth=order.by_depth,
        ),
        unit_metric=config.channel_metric,
        calibration=CalibrationRecord(
            num_examples=len(found.examples),
            num_tokens=found.num_tokens,
            num_contaminated=found.num_contaminated,
            self_generated=config.self_generated,
            digest=corpus_digest(found.examples),
        ),
        channels=None if found.channels is None else _channel_scores(found.channels),
    )


def _channel_scores(channels: Tensor) -> ChannelScores:
    quantiles = torch.quantile(channels, torch.tensor(_QUANTILES), dim=1).T  # (L, Q)
    return ChannelScores(
        num_channels=channels.shape[1],
        mean_score_by_layer=tuple(channels.mean(1).tolist()),
        quantiles=_QUANTILES,
        quantiles_by_layer=tuple(tuple(row) for row in quantiles.tolist()),
    )
