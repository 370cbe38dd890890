"""What Prune&Comp is worth on the reference model: held-out divergence with layers dropped, with
and without it.
"""

from __future__ import annotations

import pytest
import torch

from flab_deploy.checkpoint import reference_path
from flab_deploy.decoder import load_model, only_layers, scaled_writes
from flab_deploy.importance.calibration import kl_measure
from flab_deploy.importance.divergence import head_of, kl_per_position
from flab_deploy.importance.layers.compensation import growth, write_factors
from flab_deploy.importance.layers.journal import SearchJournal
from flab_deploy.importance.layers.order import find_order
from flab_deploy.importance.layers.search import LayerSearch
from flab_deploy.importance.layers.stack import LayerStack
from tests.benchmarks.test_channel_scores import batches

DROPPED = (2, 4, 6)
CONTROLS = ((5, 9), (3, 6, 9, 11), (7, 8, 9, 10))


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_held_out_divergence_with_and_without_compensation() -> None:
    model = load_model(reference_path(), torch.float32)
    examples = batches("score", 0, 64, 2)
    search = LayerSearch(LayerStack(model), head_of(model), examples, kl_per_position)
    order = find_order(search, max(DROPPED), "greedy", 1, None, SearchJournal(None)).path.order
    grown, everything = growth(model, examples), range(model.config.num_hidden_layers)
    measure = kl_measure(model, batches("held-out channels", 0, 96, 16))
    print(f"\ngrowth by layer: {', '.join(f'{times:.3g}' for times in grown)}")
    for dropped in (*(order[:count] for count in DROPPED), *CONTROLS):
        keep = [layer for layer in everything if layer not in dropped]
        with only_layers(model, keep):
            plain = measure()
            with scaled_writes(model, write_factors(grown, keep)):
                compensated = measure()
        print(f"without layers {dropped}: {plain:.4f} nats, compensated {compensated:.4f}")
        assert 0 < plain < 1 and 0 < compensated < 1
