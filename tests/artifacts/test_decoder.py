from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flab_deploy.decoder import (
    forward_flops_per_token,
    layer_parameters,
    load_model,
    model_shape,
    only_channels,
    only_layers,
)
from tests.conftest import MakeCheckpoint


@pytest.mark.parametrize("tied", [True, False])
def test_the_shape_counts_every_parameter(make_checkpoint: MakeCheckpoint, tied: bool) -> None:
    path = make_checkpoint(tied=tied)
    shape = model_shape(path)
    model = load_model(path, torch.float32)
    assert shape.num_parameters == sum(p.numel() for p in model.parameters())
    assert shape.tie_word_embeddings == tied


def test_flops_follow_from_the_matrices(tiny_checkpoint: Path) -> None:
    shape = model_shape(tiny_checkpoint)
    model = load_model(tiny_checkpoint, torch.float32)
    weights = sum(
        p.numel() for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n
    )
    head = shape.vocab_size * shape.hidden_size
    scores = 2 * shape.num_attention_heads * shape.head_dim * 10 * shape.num_hidden_layers
    assert forward_flops_per_token(shape, 10) == 2 * (weights + head + scores)


def test_all_layers_and_channels_give_the_same_logits(tiny_checkpoint: Path) -> None:
    model = load_model(tiny_checkpoint, torch.float32)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits
        with only_layers(model, range(5)), only_channels(model, [torch.arange(64)] * 5):
            assert torch.equal(model(input_ids=ids, use_cache=False).logits, before)
        with only_layers(model, [0, 1, 3, 4]):
            assert not torch.allclose(model(input_ids=ids, use_cache=False).logits, before)
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, before)


def test_the_size_after_a_cut_is_exact(tiny_checkpoint: Path) -> None:
    shape = model_shape(tiny_checkpoint)
    after = shape.resized(
        vocab_size=500,
        num_hidden_layers=3,
        intermediate_size=48,
        layer_parameters=layer_parameters(tiny_checkpoint),
    )
    lost = (shape.vocab_size - 500) * 32 + 2 * layer_parameters(tiny_checkpoint) + 16 * 3 * 32 * 3
    assert after.num_parameters == shape.num_parameters - lost
