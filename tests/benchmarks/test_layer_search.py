"""The layer search against the plain algorithm, and the divergence's memory against the plain
computation's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.checkpoint import reference_path
from flab_deploy.corpora import load_instructions
from flab_deploy.decoder import layers, load_model, only_layers, output_weight
from flab_deploy.importance.calibration import states_of
from flab_deploy.importance.divergence import head_of, kl_per_position
from flab_deploy.importance.layers.journal import SearchJournal
from flab_deploy.importance.layers.order import find_order
from flab_deploy.importance.layers.search import LayerSearch
from flab_deploy.importance.layers.stack import LayerStack
from tests.example_batches import example_batches

NUM_LAYERS, NUM_DROPPED, NUM_EXAMPLES = 24, 8, 32


def deep_reference() -> PreTrainedModel:
    """24 trained layers: the reference model's own, the inner ones repeated, each copy at half
    strength.

    The halves add up to what the layer did, so that the model still predicts.
    """
    model = load_model(reference_path(), torch.float32)
    own = list(layers(model))
    twice = range(2, 2 + NUM_LAYERS - len(own))
    stack = []
    for index, layer in enumerate(own):
        copies = 2 if index in twice else 1
        for _ in range(copies):
            copy = deepcopy(layer)
            copy.mlp.down_proj.weight.data /= copies
            copy.self_attn.o_proj.weight.data /= copies
            stack.append(copy)
    return with_layers(model, stack)


def random_model() -> PreTrainedModel:
    """24 random layers that all matter about the same: the worst case for stopping candidates
    early.
    """
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen2",
        vocab_size=9216,
        hidden_size=192,
        intermediate_size=448,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=3,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        initializer_range=0.1,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    return model


def with_layers(model: PreTrainedModel, stack: Sequence[nn.Module]) -> PreTrainedModel:
    model.model.layers = nn.ModuleList(stack)
    for index, layer in enumerate(stack):
        layer.self_attn.layer_idx = index
    model.config.num_hidden_layers = len(stack)
    model.config.layer_types = ["full_attention"] * len(stack)
    return model


def calibration(batch_size: int) -> list[Batch]:
    examples = load_instructions("reference", NUM_EXAMPLES, "score")
    return example_batches(reference_path(), examples, batch_size)


def plain_divergence(
    reference: Sequence[Tensor], candidate: Sequence[Tensor], weight: Tensor
) -> float:
    total, count = 0.0, 0
    for p_states, q_states in zip(reference, candidate, strict=True):
        log_p = torch.log_softmax(p_states @ weight.T, dim=-1)
        log_q = torch.log_softmax(q_states @ weight.T, dim=-1)
        total += float((log_p.exp() * (log_p - log_q)).sum())
        count += len(p_states)
    return total / count


@torch.no_grad()
def plain_greedy(
    model: PreTrainedModel, batches: Sequence[Batch], count: int
) -> list[tuple[int, float]]:
    """A full forward pass per candidate and round, the head at completion positions only."""
    original, weight = states_of(model, batches), output_weight(model)
    keep, dropped = list(range(model.config.num_hidden_layers)), []
    for _ in range(count):
        costs = {}
        for layer in keep:
            with only_layers(model, [other for other in keep if other != layer]):
                costs[layer] = plain_divergence(original, states_of(model, batches), weight)
        best = min(costs, key=lambda layer: (costs[layer], layer))
        dropped.append((best, costs[best]))
        keep.remove(best)
    return dropped


def fast_greedy(
    model: PreTrainedModel, batches: Sequence[Batch], count: int
) -> list[tuple[int, float]]:
    search = LayerSearch(LayerStack(model), head_of(model), batches, kl_per_position)
    path = find_order(search, count, "greedy", 1, None, SearchJournal(None)).path
    return list(zip(path.order, path.kl_nats, strict=True))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_flops(size: int = 1536, repeats: int = 8) -> float:
    """Floating-point operations per second of a large float32 matrix product, the best of
    several.
    """
    a = torch.randn(size, size)
    return max(2 * size**3 / seconds(lambda: a @ a) for _ in range(repeats))


@pytest.mark.benchmark
@pytest.mark.parametrize("make", [deep_reference, random_model])
def test_seconds_of_the_plain_search_over_those_of_ours(
    make: Callable[[], PreTrainedModel],
) -> None:
    model = make()
    ours, theirs = calibration(1), calibration(8)
    peak = peak_flops()
    found: list[tuple[int, float]] = []
    expected: list[tuple[int, float]] = []
    fast = seconds(lambda: found.extend(fast_greedy(model, ours, NUM_DROPPED)))
    slow = seconds(lambda: expected.extend(plain_greedy(model, theirs, NUM_DROPPED)))
    with FlopCounterMode(display=False) as counter:
        fast_greedy(model, ours, NUM_DROPPED)
    flop = counter.get_total_flops()
    tokens = sum(int(batch.attention_mask.sum()) for batch in ours)
    difference = max(abs(a[1] - b[1]) for a, b in zip(found, expected, strict=True))
    lines = [
        f"\n{make.__name__}: {NUM_DROPPED} of {NUM_LAYERS} layers dropped, {tokens} tokens, "
        f"{torch.get_num_threads()} threads",
        f"  plain {slow:.1f} s, ours {fast:.1f} s, ratio {slow / fast:.2f}",
        f"  ours takes {fast / (flop / peak):.2f} x the time of its {flop / 1e9:.0f} GFLOP at "
        f"{peak / 1e9:.0f} GFLOP/s",
        f"  dropped {[layer for layer, _ in found]}, largest difference of a KL {difference:.1e}",
    ]
    print("\n".join(lines))
    assert [layer for layer, _ in found] == [layer for layer, _ in expected]
    assert [kl for _, kl in found] == pytest.approx([kl for _, kl in expected], abs=1e-6)
    assert slow / fast >= 3


_MEMORY = """
import sys, torch
from flab_deploy.importance.divergence import Head, kl_per_position, reference_of
torch.manual_seed(0)
P, V, D = 1024, 150_000, 64
p, q, w = torch.randn(P, D), torch.randn(P, D), torch.randn(V, D) / 4
head = Head(weight=w, bias=None, scale=1.0, softcap=None)
kl_per_position(head, reference_of(head, p[:4], torch.zeros(4, dtype=torch.long)), q[None, :4])
def kib(field):
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
open("/proc/self/clear_refs", "w").write("5")  # the peak starts again from what is held now
before = kib("VmRSS")
if sys.argv[1] == "plain":
    log_p, log_q = torch.log_softmax(p @ w.T, -1), torch.log_softmax(q @ w.T, -1)
    kl = float((log_p.exp() * (log_p - log_q)).sum()) / P
else:
    reference = reference_of(head, p, torch.zeros(P, dtype=torch.long))
    kl = float(kl_per_position(head, reference, q[None]).sum()) / P
print((kib("VmHWM") - before) * 1024, kl)
"""


@pytest.mark.benchmark
def test_peak_memory_of_the_divergence_at_150_000_tokens() -> None:
    figures = {}
    for kind in ("plain", "ours"):
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, kind], capture_output=True, text=True, check=True
        )
        figures[kind] = [float(value) for value in done.stdout.split()]
    ratio = figures["ours"][0] / figures["plain"][0]
    print(
        f"\nKL of 1,024 positions at V = 150,000: plain {figures['plain'][0] / 2**20:.0f} MiB, "
        f"ours {figures['ours'][0] / 2**20:.0f} MiB, ratio {ratio:.3f}"
    )
    assert figures["ours"][1] == pytest.approx(figures["plain"][1], rel=1e-5)
    assert ratio <= 0.25
