"""The search and the scores on every supported architecture: what is special about each is
honoured.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from flab_deploy.decoder import has_experts, layers, load_model
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.importance.divergence import head_of, kl_per_position
from flab_deploy.importance.layers.journal import SearchJournal
from flab_deploy.importance.layers.order import find_order
from flab_deploy.importance.layers.search import LayerSearch
from flab_deploy.importance.layers.stack import LayerStack
from tests.architectures import NUM_LAYERS, SETTINGS, save_tiny
from tests.importance.plain_search import plain_beam, plain_kl
from tests.importance.test_layer_search import random_batches

# transformers' GPT-BigCode uses what PyTorch is about to give up.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
SMALL = ScoreConfig(
    corpus="reference",
    num_counted=10,
    num_calibration=4,
    batch_size=2,
    max_layers_searched=2,
    held_out="",
)


@pytest.fixture(scope="module", params=SETTINGS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(str(request.param))
    return save_tiny(folder, request.param, tied=False)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> PreTrainedModel:
    model = load_model(checkpoint, torch.float32)
    for name, parameter in model.named_parameters():
        if "norm" not in name and "ln_" not in name and parameter.dim() > 1:
            parameter.data *= 3  # tiny random layers hardly move anything otherwise
    return model


def test_the_search_is_the_plain_search(model: PreTrainedModel) -> None:
    vocabulary = model.config.vocab_size
    batches = [
        replace(b, input_ids=b.input_ids % vocabulary, targets=b.targets % vocabulary)
        for b in random_batches()
    ]
    search = LayerSearch(LayerStack(model), head_of(model), batches, kl_per_position)
    skipped = [
        plain_kl(model, batches, [k for k in range(NUM_LAYERS) if k != layer])
        for layer in range(NUM_LAYERS)
    ]
    found = find_order(search, 2, "greedy", 1, None, SearchJournal(None))
    assert list(found.first_scores) == pytest.approx(skipped, abs=1e-6, rel=1e-5)
    expected = plain_beam(model, batches, 2, 1)
    assert [sorted(path.order) for path in found.by_depth] == [list(drops) for drops, _ in expected]
    assert [path.kl_nats[-1] for path in found.by_depth] == pytest.approx(
        [kl for _, kl in expected], abs=1e-6, rel=1e-5
    )


def test_every_part_is_scored(checkpoint: Path, tmp_path: Path) -> None:
    score(checkpoint, tmp_path / "scores", replace(SMALL, channel_metric="kl_taylor"))
    tensors = load_file(tmp_path / "scores" / "scores.safetensors")
    with_experts = [has_experts(layer) for layer in layers(load_model(checkpoint, torch.float32))]
    assert ("expert_scores" in tensors) == any(with_experts)
    dense = [not expert for expert in with_experts]
    assert bool((tensors["layer_kl"] >= 0).all())
    for name, scored in (
        ("channel_scores", dense),
        ("expert_scores", with_experts),
        ("head_scores", [True] * NUM_LAYERS),
    ):
        if name in tensors:
            assert bool((tensors[name] >= 0).all())
            assert tensors[name].any(1).tolist() == scored
