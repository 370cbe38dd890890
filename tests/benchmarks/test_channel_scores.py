"""What every score of FFN channels is worth: held-out divergence of the reference model cut by it,
uniform width.
"""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.checkpoint import reference_path
from flab_deploy.corpora import load_instructions
from flab_deploy.decoder import load_model, only_channels
from flab_deploy.importance.calibration import kl_measure
from flab_deploy.importance.readers import channel_readers
from flab_deploy.importance.units import best_channels, unit_scores
from flab_deploy.settings.score import UNIT_METRICS
from tests.example_batches import example_batches

SHARES = (0.10, 0.25, 0.50)
DRAWS, NUM_CALIBRATION, NUM_HELD_OUT = 3, 64, 96


def batches(seed: str, first: int, count: int, size: int) -> list[Batch]:
    examples = load_instructions("reference", first + count, seed)[first:]
    return example_batches(reference_path(), examples, size)


def scored(model: PreTrainedModel, draw: int) -> dict[str, torch.Tensor]:
    """Every metric's scores on the draw's own calibration examples, and `kl_taylor` as it would be
    untempered.
    """
    readers = list(channel_readers(model).values())
    examples = batches("score", NUM_CALIBRATION * draw, NUM_CALIBRATION, 4)
    found = {
        metric: unit_scores(model, readers, examples, metric, seed=draw) for metric in UNIT_METRICS
    }
    return {
        **found,
        "kl_taylor at 1": unit_scores(
            model, readers, examples, "kl_taylor", seed=draw, temperature=1.0
        ),
    }


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_held_out_divergence_of_every_channel_score() -> None:
    model = load_model(reference_path(), torch.float32)
    measure = kl_measure(model, batches("held-out channels", 0, NUM_HELD_OUT, 16))
    lost: dict[str, list[list[float]]] = {}
    for draw in range(DRAWS):
        for name, scores in scored(model, draw).items():
            row = []
            for share in SHARES:
                with only_channels(
                    model, best_channels(scores, round((1 - share) * scores.shape[1]))
                ):
                    row.append(measure())
            lost.setdefault(name, []).append(row)
    mean = {name: torch.tensor(rows).mean(0).tolist() for name, rows in lost.items()}
    heads = "".join(f"{-100 * share:>24.0f} %" for share in SHARES)
    print(
        f"\nheld-out KL in nats per token, mean of {DRAWS} draws of {NUM_CALIBRATION} "
        f"examples\n{'':20}{heads}"
    )
    for name, rows in lost.items():
        cells = (
            f"{m:.4f} ({', '.join(f'{row[at]:.4f}' for row in rows)})"
            for at, m in enumerate(mean[name])
        )
        print(f"{name:20}" + "".join(f"{cell:>34}" for cell in cells))
    for at in range(len(SHARES)):
        assert (
            max(mean[name][at] for name in ("activation_squared", "kl_taylor")) < mean["random"][at]
        )
