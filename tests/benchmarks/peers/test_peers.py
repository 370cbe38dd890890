"""Side by side with the tools that users would reach for, each in a process of its own on the same
checkpoint.

On random weights only seconds and memory mean something; quality is measured on the reference
model.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import median

import pytest

from flab_deploy.checkpoint import reference_path
from tests.benchmarks.peers.checkpoints import half_billion
from tests.benchmarks.peers.environment import measured

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
ROUNDS = 3
FFN = {
    "ours_ffn": "flab-deploy, activations",
    "optipfair_ffn": "OptiPFair, weights",
    "optipfair_data_ffn": "OptiPFair, weights and activations",
    "torch_pruning_ffn": "Torch-Pruning, magnitude",
}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_billion(tmp_path_factory.mktemp("qwen2"), "qwen2")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2 is refused by mergekit with this transformers (it writes a config that does not load),
    Llama is not.
    """
    return half_billion(tmp_path_factory.mktemp("llama"), "llama")


def side_by_side(
    jobs: dict[str, str], source: Path, folder: Path
) -> dict[str, tuple[float, float]]:
    """Median seconds and GB of each job, run in turn so that a busy machine is busy for all."""
    seconds: dict[str, list[float]] = {job: [] for job in jobs}
    memory: dict[str, list[float]] = {job: [] for job in jobs}
    for index in range(ROUNDS):
        for job in jobs:
            out = folder / f"{job}-{index}"
            found = measured(job, source, out)
            seconds[job].append(found["seconds"])
            memory[job].append(found["peak_bytes"] / 1e9)
            shutil.rmtree(out)
    for job, title in jobs.items():
        print(
            f"\n  {title:36} {median(seconds[job]):6.1f} s ({min(seconds[job]):.1f} to "
            f"{max(seconds[job]):.1f})"
            f"  {median(memory[job]):5.2f} GB"
        )
    return {job: (median(seconds[job]), median(memory[job])) for job in jobs}


def test_ffn_scoring_and_cut(qwen: Path, tmp_path: Path) -> None:
    print("\nFFN -25 % of a 0.5 B-shaped checkpoint, load to save")
    found = side_by_side(FFN, qwen, tmp_path)
    assert found["ours_ffn"][0] < found["optipfair_data_ffn"][0]


def test_ffn_quality_on_the_reference_model(tmp_path: Path) -> None:
    source = reference_path()
    kl = {}
    taylor = {"torch_pruning_taylor_ffn": "Torch-Pruning, Taylor"}
    for job, title in (FFN | taylor).items():
        measured(job, source, tmp_path / job)
        result = tmp_path / job / "cut" if job.startswith("ours") else tmp_path / job
        kl[job] = measured("held_out_kl", source, result)["kl_nats"]
        print(f"\n  {title:36} held-out KL {kl[job]:.4f} nats per token")
    assert kl["ours_ffn"] == min(kl.values())


def test_ffn_scoring_overhead(qwen: Path) -> None:
    found = measured("scoring_overhead", qwen)
    print(f"\nFFN scoring over a plain forward pass of {found['plain_s']:.1f} s")
    for name, ratios in found["ratios"].items():
        print(f"\n  {name:20} {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def test_layer_cut(llama: Path, tmp_path: Path) -> None:
    print("\nfour of 24 layers out of a 0.5 B-shaped checkpoint, file to file")
    jobs = {
        "ours_layers": "flab-deploy",
        "mergekit_layers": "mergekit",
        "mergekit_durable_layers": "mergekit, fsync and SHA-256",
    }
    found = side_by_side(jobs, llama, tmp_path)
    assert found["ours_layers"][1] < found["mergekit_layers"][1]
