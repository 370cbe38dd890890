"""The fast search against the plain one: a full forward pass per candidate and round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.batches import Batch, make_batches
from flab_deploy.decoder import load_model
from flab_deploy.importance.divergence import Head, Reference, head_of, kl_per_position
from flab_deploy.importance.layers.journal import SearchJournal
from flab_deploy.importance.layers.order import find_order
from flab_deploy.importance.layers.search import LayerSearch
from flab_deploy.importance.layers.stack import LayerStack
from flab_deploy.settings.score import SearchMethod
from tests.conftest import MakeCheckpoint
from tests.importance.plain_search import plain_beam, plain_kl


def random_batches(num_examples: int = 8, batch_size: int = 2) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(10, 24, (num_examples,), generator=generator).tolist()
    encoded = [(torch.randint(0, 700, (n,), generator=generator).tolist(), n // 3) for n in lengths]
    return make_batches(encoded, batch_size)


def search_of(
    model: PreTrainedModel, batches: Sequence[Batch], cache_bytes: int = 1 << 30
) -> LayerSearch:
    return LayerSearch(
        LayerStack(model), head_of(model), batches, kl_per_position, cache_bytes=cache_bytes
    )


@pytest.fixture(scope="module")
def uneven(make_checkpoint: MakeCheckpoint) -> PreTrainedModel:
    """A random model whose layers matter very differently, as those of trained ones do."""
    model = load_model(make_checkpoint("qwen2", tied=False), torch.float32)
    for layer, factor in zip(model.model.layers, (9.0, 0.5, 3.0, 0.2, 5.0), strict=True):
        layer.mlp.down_proj.weight.data *= 10 * factor
        layer.self_attn.o_proj.weight.data *= 10 * factor
    return model


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama", "mistral"])
def test_every_first_cost_is_the_plain_kl(make_checkpoint: MakeCheckpoint, model_type: str) -> None:
    model = load_model(make_checkpoint(model_type, tied=False), torch.float32)
    batches = random_batches()
    expected = [plain_kl(model, batches, [k for k in range(5) if k != layer]) for layer in range(5)]
    assert search_of(model, batches).all_costs() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("method", "width"), [("greedy", 1), ("beam", 2)])
def test_the_search_finds_what_the_plain_search_finds(
    uneven: PreTrainedModel, method: SearchMethod, width: int
) -> None:
    batches = random_batches()
    expected = plain_beam(uneven, batches, 3, width)
    for cache_bytes in (0, 100_000, 1 << 30):
        found = find_order(
            search_of(uneven, batches, cache_bytes), 3, method, width, None, SearchJournal(None)
        )
        assert [sorted(path.order) for path in found.by_depth] == [
            sorted(drops) for drops, _ in expected
        ]
        assert [path.kl_nats[-1] for path in found.by_depth] == pytest.approx(
            [kl for _, kl in expected], abs=1e-6
        )


def test_candidates_are_stopped_early_and_the_best_is_still_found(uneven: PreTrainedModel) -> None:
    batches = random_batches(num_examples=16, batch_size=1)
    measured = 0

    def counted(head: Head, reference: Reference, states: Tensor) -> Tensor:
        nonlocal measured
        measured += len(states)
        return kl_per_position(head, reference, states)

    search = LayerSearch(LayerStack(uneven), head_of(uneven), batches, counted)
    search.all_costs()
    measured = 0
    best = search.best([search.whole])[0]
    costs = [plain_kl(uneven, batches, [k for k in range(5) if k != layer]) for layer in range(5)]
    assert best.layer == min(range(5), key=costs.__getitem__)
    assert best.cost == pytest.approx(min(costs), abs=1e-6)
    assert measured < 0.6 * 5 * len(batches)


def test_one_shot_drops_by_the_first_costs_and_measures_each_drop(uneven: PreTrainedModel) -> None:
    batches = random_batches()
    found = find_order(search_of(uneven, batches), 3, "one_shot", 1, None, SearchJournal(None))
    first = found.first_scores
    assert list(found.path.order) == sorted(range(5), key=lambda layer: first[layer])[:3]
    kept = [layer for layer in range(5) if layer not in found.path.order]
    assert found.path.kl_nats[-1] == pytest.approx(plain_kl(uneven, batches, kept), abs=1e-6)


def test_a_killed_search_goes_on_where_it_was(uneven: PreTrainedModel, tmp_path: Path) -> None:
    batches = random_batches()
    whole = find_order(
        search_of(uneven, batches), 4, "greedy", 1, None, SearchJournal(tmp_path / "whole")
    )
    rounds = (tmp_path / "whole-0-of-1.jsonl").read_text().splitlines(keepends=True)
    assert len(rounds) == 5
    for finished in range(5):
        torn = "".join(rounds[:finished]) + rounds[finished][:7]
        (tmp_path / f"torn{finished}-0-of-1.jsonl").write_text(torn)
        journal = SearchJournal(tmp_path / f"torn{finished}")
        assert len(journal) == finished
        resumed = find_order(search_of(uneven, batches), 4, "greedy", 1, None, journal)
        assert resumed == whole
