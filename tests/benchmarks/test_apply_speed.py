"""Applying a plan to a checkpoint of 7 B shape against `cp` of the same files, interleaved, from a
cold page cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from math import prod
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from flab_deploy.checkpoint import INDEX, resolve, weight_files
from flab_deploy.pruning import PrunePlan
from tests.conftest import train_tiny_tokenizer
from tests.pruning.plans import as_document, planned_bytes, planned_parameters, write_plan

LAYERS, HIDDEN, FFN, VOCABULARY, KEY_VALUE = 32, 4096, 14336, 32768, 1024
PRUNE = (
    "import sys; from pathlib import Path; from flab_deploy.pruning import prune; "
    "prune(*map(Path, sys.argv[1:]))"
)
MOST_RSS_BYTES = 1.5e9
ROUNDS = 2
SCALE = float(os.environ.get("FLAB_BENCH_SCALE", "1"))
"""Share of the layers to build, for a quick look; the bars hold at 1."""


def shapes(num_layers: int) -> dict[str, tuple[int, ...]]:
    inside = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (KEY_VALUE, HIDDEN),
        "self_attn.v_proj": (KEY_VALUE, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (FFN, HIDDEN),
        "mlp.up_proj": (FFN, HIDDEN),
        "mlp.down_proj": (HIDDEN, FFN),
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
    }
    layers = {
        f"model.layers.{n}.{name}.weight": shape
        for n in range(num_layers)
        for name, shape in inside.items()
    }
    tables = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }
    return {**tables, **layers, "model.norm.weight": (HIDDEN,)}


def write_shard(file: Path, tensors: dict[str, tuple[int, ...]], block: bytes) -> None:
    header, end = {}, 0
    for name, shape in tensors.items():
        start, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for at in range(0, end, len(block)):
            stream.write(block[: min(len(block), end - at)])
        os.fsync(stream.fileno())


def make_checkpoint(folder: Path, num_layers: int) -> None:
    folder.mkdir()
    train_tiny_tokenizer(folder, 700)
    config = {
        "model_type": "mistral",
        "architectures": ["MistralForCausalLM"],
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": num_layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": False,
        "eos_token_id": 700,
        "bos_token_id": None,
        "dtype": "bfloat16",
        "sliding_window": None,
    }
    (folder / "config.json").write_text(json.dumps(config))
    # Bit patterns of bfloat16 weights between 2^-7 and 2^-5, either sign.
    random = np.random.default_rng(0)
    bits = random.integers(0x3C00, 0x3D00, 32 << 20, dtype=np.uint16)
    block = (bits | random.integers(0, 2, 32 << 20, dtype=np.uint16) << 15).tobytes()
    names = list(shapes(num_layers).items())
    count = 4
    per_shard = -(-len(names) // count)
    weight_map = {}
    for number in range(count):
        tensors = dict(names[number * per_shard : (number + 1) * per_shard])
        file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        write_shard(folder / file, tensors, block)
        weight_map |= dict.fromkeys(tensors, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def plan_of(source: Path, folder: Path, num_layers: int) -> PrunePlan:
    random = np.random.default_rng(1)
    rest = np.sort(random.permutation(np.arange(702, VOCABULARY))[:26_000])
    keep = [layer for layer in range(num_layers) if layer % 8 != 4]
    channels = tuple(tuple(np.sort(random.permutation(FFN)[:12_288]).tolist()) for _ in keep)
    (folder / "corpus.jsonl").write_text('{"prompt": "~", "completion": "!"}\n')
    return PrunePlan(
        source=resolve(source).digest,
        keep_token_ids=(*range(702), *rest.tolist()),
        keep_layers=tuple(keep),
        keep_channels=channels,
        vocab_multiple=64,
        corpus=str(folder / "corpus.jsonl"),
        num_counted=10,
    )


def forget(source: Path) -> None:
    """Drop the files from the page cache, after everything dirty is on the disk."""
    os.sync()
    for file in weight_files(source):
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(command: list[str]) -> tuple[float, int]:
    """Seconds and peak resident bytes of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - started, usage.ru_maxrss * 1024


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_applying_a_plan_to_7b_shape_keeps_up_with_cp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAB_HOME", str(tmp_path / "home"))
    num_layers, source = max(int(LAYERS * SCALE), 2), tmp_path / "source"
    make_checkpoint(source, num_layers)
    size = sum(file.stat().st_size for file in weight_files(source))
    time.sleep(3)  # a digest is remembered once a file has settled
    started = time.perf_counter()
    plan = plan_of(source, tmp_path, num_layers)
    hashing = time.perf_counter() - started
    write_plan(tmp_path / "plan", as_document(plan))
    script = (
        "import sys; from pathlib import Path; from flab_deploy.pruning import prune; "
        "prune(*map(Path, sys.argv[1:]))"
    )
    copies, cuts, peaks = [], [], []
    for _ in range(ROUNDS):
        forget(source)
        copies.append(timed(["cp", "-r", str(source), str(tmp_path / "copy")])[0])
        shutil.rmtree(tmp_path / "copy")
        forget(source)
        seconds, peak = timed(
            [
                sys.executable,
                "-c",
                script,
                str(source),
                str(tmp_path / "plan"),
                str(tmp_path / "out"),
            ]
        )
        cuts.append(seconds)
        peaks.append(peak)
        written = sum(file.stat().st_size for file in weight_files(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")
    ratio = median(copies) / median(cuts)
    print(
        f"\napply: source {size / 1e9:.2f} GB in 4 shards, result {written / 1e9:.2f} GB, "
        f"{planned_parameters(source, plan) / 1e9:.2f} B parameters; cp "
        f"{[round(s, 1) for s in copies]} s, "
        f"apply {[round(s, 1) for s in cuts]} s (synced), speed {ratio:.2f} of cp, "
        f"peak RSS {max(peaks) / 1e6:.0f} MB; first digest of the source {hashing:.1f} s, "
        "before, remembered"
    )
    assert 0 <= written - planned_bytes(source, plan) < 1e6
    shutil.rmtree(source)
    if SCALE == 1:
        assert max(peaks) <= MOST_RSS_BYTES
        assert ratio >= 0.5
