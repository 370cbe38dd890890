"""What is measured, one job a process: `python -m tests.benchmarks.peers.jobs JOB ARGUMENTS`.

Each prints one line of JSON: seconds from the end of the imports to the end of the work, and the
peak memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.checkpoint import reference_path
from flab_deploy.corpora import load_held_out, load_instructions
from flab_deploy.decoder import backbone, down_projection, layers, load_model
from flab_deploy.importance.calibration import kl_measure
from flab_deploy.importance.readers import channel_readers
from flab_deploy.importance.units import best_channels, unit_scores
from tests.benchmarks.peers.checkpoints import random_ids
from tests.example_batches import example_batches
from tests.pruning.plans import cut

KEPT = 0.75
ROUNDS = 3
_EXAMPLES, _HELD_OUT = 64, 128


def batches_for(source: Path) -> list[Batch]:
    """Random rows for a random model, training tasks for the reference model."""
    if source == reference_path():
        return _tasks(source, _EXAMPLES, held_out=False)
    ids = random_ids()
    flat = torch.arange(ids.numel()).reshape(ids.shape)[:, :-1].flatten()
    batch = Batch(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        positions=flat,
        targets=ids.flatten()[flat + 1],
    )
    return [batch]


def _tasks(source: Path, count: int, *, held_out: bool) -> list[Batch]:
    examples = (
        load_held_out("reference", 0, count)
        if held_out
        else load_instructions("reference", count, "score")
    )
    return example_batches(source, examples, 32)


def ours_ffn(source: Path, out: Path) -> dict[str, Any]:
    """Score on activations, keep the best channels, cut shard by shard."""
    model = load_model(source, torch.float32)
    width = int(model.config.intermediate_size * KEPT)
    scores = unit_scores(
        model, list(channel_readers(model).values()), batches_for(source), "activation_squared"
    )
    keep = tuple(tuple(kept.tolist()) for kept in best_channels(scores, width))
    del model
    return {"result": str(cut(source, out, keep_channels=keep))}


def optipfair_ffn(source: Path, out: Path) -> dict[str, Any]:
    """Its default, peak-to-peak of the weights."""
    return _optipfair(source, out, None)


def optipfair_data_ffn(source: Path, out: Path) -> dict[str, Any]:
    """The same with activations of the data."""
    return _optipfair(
        source,
        out,
        [
            {"input_ids": b.input_ids, "attention_mask": b.attention_mask}
            for b in batches_for(source)
        ],
    )


def _optipfair(
    source: Path, out: Path, data: Sequence[dict[str, torch.Tensor]] | None
) -> dict[str, Any]:
    import optipfair

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    pruned = optipfair.prune_model(
        model,
        pruning_type="MLP_GLU",
        neuron_selection_method="MAW",
        pruning_percentage=100 * (1 - KEPT),
        dataloader=data,
        show_progress=False,
    )
    pruned.to(torch.bfloat16).save_pretrained(out)
    return {"result": str(out)}


def torch_pruning_ffn(source: Path, out: Path) -> dict[str, Any]:
    """Its group magnitude, one dependency group a layer: its whole-model pruner does not end on
    grouped attention.
    """
    import torch_pruning

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    return _torch_pruning(model, torch_pruning.importance.GroupMagnitudeImportance(p=2), out)


def torch_pruning_taylor_ffn(source: Path, out: Path) -> dict[str, Any]:
    """Its first-order Taylor importance, from the gradient of the mean loss on completions."""
    import torch_pruning

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    for batch in batches_for(source):
        logits = model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
        ).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1)[batch.positions], batch.targets
        )
        loss.backward()
    return _torch_pruning(model, torch_pruning.importance.GroupTaylorImportance(), out)


def _torch_pruning(
    model: PreTrainedModel, importance: Callable[[Any], torch.Tensor], out: Path
) -> dict[str, Any]:
    import torch_pruning

    model.config.use_cache = False
    graph = torch_pruning.DependencyGraph().build_dependency(
        model,
        example_inputs=torch.zeros(1, 8, dtype=torch.long),
        output_transform=lambda out: out.logits,
    )
    dropped = model.config.intermediate_size - int(model.config.intermediate_size * KEPT)
    cutter = torch_pruning.prune_linear_out_channels
    for layer in layers(model):
        everything = list(range(model.config.intermediate_size))
        scores = importance(graph.get_pruning_group(layer.mlp.gate_proj, cutter, everything))
        graph.get_pruning_group(
            layer.mlp.gate_proj, cutter, scores.argsort()[:dropped].tolist()
        ).prune()
    model.config.intermediate_size -= dropped
    model.config.use_cache = True
    model.to(torch.bfloat16).save_pretrained(out)
    return {"result": str(out)}


def held_out_kl(source: Path, pruned: Path) -> dict[str, Any]:
    """KL(original || pruned) in nats per completion token on tasks that nothing was scored on."""
    original, smaller = load_model(source, torch.float32), load_model(pruned, torch.float32)
    measure = kl_measure(original, _tasks(source, _HELD_OUT, held_out=True))
    for mine, theirs in zip(layers(original), layers(smaller), strict=True):
        mine.mlp = theirs.mlp
    return {"kl_nats": measure()}


def scoring_overhead(source: Path) -> dict[str, Any]:
    """Seconds of scoring over seconds of the plain forward pass before it: ours, and
    Model-Optimizer's three hooks.
    """
    model = load_model(source, torch.float32)
    batches = batches_for(source)
    ids = batches[0].input_ids

    def plain() -> None:
        with torch.no_grad():
            backbone(model)(input_ids=ids, use_cache=False)

    tools: dict[str, Callable[[], object]] = {
        "ours": lambda: unit_scores(
            model, list(channel_readers(model).values()), batches, "activation_squared"
        ),
        **{
            name: _modelopt(model, name, plain)
            for name in ("L2Norm", "IndependentChannel", "IterativeChannel")
        },
    }
    plain()
    ratios: dict[str, list[float]] = {name: [] for name in tools}
    plain_s = []
    for _ in range(ROUNDS):
        for name, tool in tools.items():
            before_s, tool_s = _seconds(plain), _seconds(tool)
            plain_s.append(before_s)
            ratios[name].append(tool_s / before_s)
    return {"plain_s": median(plain_s), "ratios": ratios}


def _modelopt(model: PreTrainedModel, name: str, forward: Callable[[], None]) -> Callable[[], None]:
    from modelopt.torch.prune.importance_hooks import base_hooks

    def hook_for(linear: torch.nn.Module) -> Any:
        if name == "L2Norm":
            return base_hooks.L2NormHook()
        if name == "IndependentChannel":
            return base_hooks.IndependentChannelContributionHook(linear)
        kwargs = {"validation_full_iters": 1, "clear_gpu_memory": False, "calibration_method": None}
        return base_hooks.IterativeChannelContributionHook(linear, kwargs)

    def run() -> None:
        hooks = [
            (down_projection(layer), hook_for(down_projection(layer))) for layer in layers(model)
        ]
        handles = [linear.register_forward_hook(hook) for linear, hook in hooks]
        forward()
        for handle, (_, hook) in zip(handles, hooks, strict=True):
            handle.remove()
            hook.accumulate()

    return run


def ours_layers(source: Path, out: Path) -> dict[str, Any]:
    """Layers 10 to 13 go, checkpoint to checkpoint."""
    return {"result": str(cut(source, out, keep_layers=(*range(10), *range(14, 24))))}


def mergekit_layers(source: Path, out: Path) -> dict[str, Any]:
    """The same two slices, passed through with the same shard size."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    parts = [
        {"sources": [{"model": str(source), "layer_range": span}]} for span in ([0, 10], [14, 24])
    ]
    config = MergeConfiguration.model_validate(
        {"slices": parts, "merge_method": "passthrough", "dtype": "bfloat16"}
    )
    run_merge(
        config, str(out), MergeOptions(out_shard_size=400_000_000, quiet=True, copy_tokenizer=True)
    )
    return {"result": str(out)}


def mergekit_durable_layers(source: Path, out: Path) -> dict[str, Any]:
    """The same, then on the disk and hashed, as ours is when it returns."""
    found = mergekit_layers(source, out)
    for file in sorted(out.iterdir()):
        with file.open("rb+") as stream:
            hashlib.file_digest(stream, "sha256")
            os.fsync(stream.fileno())
    return found


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_bytes() -> int:
    """The greatest resident size of this process so far."""
    (line,) = (
        text
        for text in Path("/proc/self/status").read_text().splitlines()
        if text.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    job.__name__: job
    for job in (
        ours_ffn,
        optipfair_ffn,
        optipfair_data_ffn,
        torch_pruning_ffn,
        torch_pruning_taylor_ffn,
        held_out_kl,
        scoring_overhead,
        ours_layers,
        mergekit_layers,
        mergekit_durable_layers,
    )
}


def main(name: str, *paths: str) -> None:
    """Run one job and print what it gives."""
    for module in {
        "mergekit": ["mergekit.merge"],
        "optipfai": ["optipfair"],
        "torch_pr": ["torch_pruning"],
    }.get(name[:8], []):
        __import__(module)
    started = time.perf_counter()
    with _quiet():
        result = JOBS[name](*map(Path, paths))
    result |= {"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes()}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
