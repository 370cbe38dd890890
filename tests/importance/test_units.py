"""Scores of channels and heads: what removing a part really does, and the rules that go by
index.
"""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from flab_deploy.batches import completion_states
from flab_deploy.decoder import down_projection, layers, load_model, only_channels, only_heads
from flab_deploy.errors import UnsupportedModel
from flab_deploy.importance.calibration import kl_measure
from flab_deploy.importance.divergence import head_of
from flab_deploy.importance.readers import channel_readers, head_readers
from flab_deploy.importance.units import unit_scores
from flab_deploy.settings.score import UNIT_METRICS, UnitMetric
from tests.conftest import MakeCheckpoint
from tests.importance.test_layer_search import random_batches

MEASURED: tuple[UnitMetric, ...] = ("activation_squared", "wanda", "taylor", "kl_taylor")
BATCHES = random_batches()


@pytest.fixture
def model(make_checkpoint: MakeCheckpoint) -> PreTrainedModel:
    """A random model whose first layer's channel 7 and key-value group 1 are dead."""
    model = load_model(make_checkpoint("qwen2", tied=False), torch.float32)
    for layer in layers(model):
        down_projection(layer).weight.data *= 10
    first = layers(model)[0]
    down_projection(first).weight.data[:, 7] = 0
    first.self_attn.o_proj.weight.data[:, 16:] = 0
    return model


@pytest.mark.parametrize("metric", MEASURED)
def test_dead_parts_score_zero_and_no_others_do(model: PreTrainedModel, metric: UnitMetric) -> None:
    channels = unit_scores(model, list(channel_readers(model).values()), BATCHES, metric)
    heads = unit_scores(model, head_readers(model), BATCHES, metric)
    assert channels.shape == (5, 64)
    assert heads.shape == (5, 2)
    assert (channels == 0).nonzero().tolist() == [[0, 7]]
    assert (heads == 0).nonzero().tolist() == [[0, 1]]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_activation_squared_is_the_energy_written(model: PreTrainedModel) -> None:
    scores = unit_scores(
        model, list(channel_readers(model).values()), BATCHES, "activation_squared"
    )
    down, seen = down_projection(layers(model)[3]), []
    handle = down.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.no_grad():
        for batch in BATCHES:
            completion_states(model, batch)
    handle.remove()
    read = torch.cat(
        [
            r.flatten(0, 1)[b.attention_mask.flatten().bool()]
            for r, b in zip(seen, BATCHES, strict=True)
        ]
    )  # (P, I)
    written = torch.einsum("pi,di->pid", read, down.weight).square().sum(-1).mean(0)
    torch.testing.assert_close(scores[3], written, rtol=1e-4, atol=0)


def test_kl_taylor_predicts_the_divergence_of_a_dropped_part(model: PreTrainedModel) -> None:
    batches = random_batches(num_examples=64, batch_size=4)
    measure = kl_measure(model, batches)
    predicted = unit_scores(model, head_readers(model), batches, "kl_taylor", temperature=1.0)
    everything = [torch.arange(2)] * 5
    real = torch.zeros(5, 2)
    for layer in range(5):
        for group in range(2):
            kept = [*everything[:layer], torch.tensor([1 - group]), *everything[layer + 1 :]]
            with only_heads(model, kept):
                real[layer, group] = measure()
    alive = real > 1e-5
    ratio = (predicted[alive] / real[alive]).log()
    assert float(ratio.abs().median()) < 0.7
    assert torch.corrcoef(torch.stack([predicted[alive].log(), real[alive].log()]))[0, 1] > 0.8


def test_the_index_rules_are_those_of_the_paper(model: PreTrainedModel) -> None:
    kept = {}
    for metric in ("first", "last", "middle", "random"):
        scores = unit_scores(model, list(channel_readers(model).values()), BATCHES, metric, seed=4)
        kept[metric] = scores[0].topk(10).indices.sort().values.tolist()
        assert torch.equal(
            scores,
            unit_scores(model, list(channel_readers(model).values()), BATCHES, metric, seed=4),
        )
    assert kept["first"] == list(range(10))
    assert kept["last"] == list(range(54, 64))
    assert kept["middle"] == list(range(27, 37))
    assert (
        kept["random"]
        != unit_scores(model, list(channel_readers(model).values()), BATCHES, "random", seed=5)[0]
        .topk(10)
        .indices
    )
    assert {*MEASURED, *kept} == set(UNIT_METRICS)


def test_dropping_low_scores_costs_less_than_dropping_high_ones(model: PreTrainedModel) -> None:
    measure = kl_measure(model, BATCHES)
    for metric in MEASURED:
        order = unit_scores(model, list(channel_readers(model).values()), BATCHES, metric).argsort(
            1
        )
        costs = []
        for kept in (order[:, 16:], order[:, :48]):
            with only_channels(model, list(kept)):
                costs.append(measure())
        assert costs[0] < costs[1]


def test_uneven_groups_are_refused(model: PreTrainedModel) -> None:
    model.config.num_attention_heads = 5
    with pytest.raises(UnsupportedModel, match="5 attention heads cannot be divided among 2"):
        head_readers(model)
    assert head_of(model).scale == 1
