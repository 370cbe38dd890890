"""Every stage's PyTorch code with the model on a pretended GPU: it runs, and finds what it finds on
the CPU.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from flab_deploy import footprint
from flab_deploy.artifacts import open_artifact
from flab_deploy.batches import Batch
from flab_deploy.checkpoint import read_config
from flab_deploy.corpora import load_instructions
from flab_deploy.decoder import load_model, load_tokenizer, model_shape
from flab_deploy.evaluation.writing.completion import GenerateConfig
from flab_deploy.evaluation.writing.generate import generate
from flab_deploy.export.parity import torch_greedy, torch_logits
from flab_deploy.fresh_process import answer
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.importance.examples import _continued
from flab_deploy.pruning import PlanConfig, load_plan, plan, prune
from flab_deploy.pruning.cutting.realised import realised_divergence
from flab_deploy.pruning.planning.latency import time_model
from flab_deploy.recovery import RecoverConfig, recover
from flab_deploy.recovery.distill import Teacher
from flab_deploy.settings.score import LayerMetric, UnitMetric
from flab_deploy.settings.shared.device import DeviceConfig
from serving.agreement import ServedTokens, _read
from tests.architectures import save_tiny
from tests.decoder.pretended_gpu import device_of, pretended_gpu

# Each with the kind of GPU that it is tried on.
ARCHITECTURES = {"qwen2": "cuda", "gemma2": "mps", "qwen3_moe": "cuda"}
SCORE = {"num_counted": 40, "num_calibration": 4, "max_layers_searched": 2, "held_out": ""}
PLAN = {"reduction": 0.3, "channel_multiple": 8}
PROMPTS = ["def f(x):\n    return", "import os", "a"]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp(request.param) / "model", request.param)


@pytest.fixture(scope="module")
def cut(source: Path) -> Path:
    """Scored, planned and pruned on the CPU."""
    root = source.parent
    score(source, root / "scores", ScoreConfig(corpus="reference", **SCORE))
    plan(source, root / "scores", root / "plan", PlanConfig(**PLAN))
    return prune(source, root / "plan", root / "cut", reopen="never").path


@pytest.fixture
def kind(source: Path) -> Iterator[str]:
    """The kind of a GPU that this machine pretends to have."""
    kind = ARCHITECTURES[architecture_of(source)]
    with pretended_gpu(kind):
        yield kind


def architecture_of(source: Path) -> str:
    return str(read_config(source)["model_type"])


def scores_in(folder: Path) -> dict[str, Any]:
    tensors = {name: t.tolist() for name, t in load_file(folder / "scores.safetensors").items()}
    return tensors | json.loads((folder / "scores.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("unit_metric", "layer_metric"),
    [
        ("activation_squared", "kl"),
        ("kl_taylor", "perplexity"),
        ("taylor", "taylor"),
        ("wanda", "block_influence"),
        ("random", "token_accuracy"),
    ],
)
def test_scores(
    source: Path, tmp_path: Path, kind: str, unit_metric: UnitMetric, layer_metric: LayerMetric
) -> None:
    asked: dict[str, Any] = SCORE | {"channel_metric": unit_metric, "layer_metric": layer_metric}
    there = score(source, tmp_path / "there", ScoreConfig(corpus="reference", **asked, device=kind))
    with pretended_gpu("none"):
        here = score(
            source, tmp_path / "here", ScoreConfig(corpus="reference", **asked, device="cpu")
        )
    assert scores_in(there.path) == scores_in(here.path)


def test_a_models_own_answers(source: Path) -> None:
    prompts = [[5, 9, 30], [7]]
    with pretended_gpu():
        there = _continued(load_model(source, torch.float32, "cuda"), prompts, 2, 12)
    assert there == _continued(load_model(source, torch.float32), prompts, 2, 12)


def test_a_plan_has_the_same_bytes(cut: Path, source: Path, tmp_path: Path, kind: str) -> None:
    root = cut.parent
    there = plan(source, root / "scores", tmp_path / "plan", PlanConfig(**PLAN, device=kind))
    assert there.digest == open_artifact(root / "plan", "plan").digest


def test_times(source: Path, kind: str) -> None:
    shape = replace(model_shape(source), num_hidden_layers=1)
    found = time_model(source, shape, PlanConfig(context_tokens=8, device=kind))
    assert 0 < found.decode_ms < 1e4 and 0 < found.prefill_ms < 1e4


def test_the_realised_divergence(cut: Path, source: Path, kind: str) -> None:
    kept = load_plan(cut.parent / "plan").keep_token_ids
    examples = load_instructions("reference", 8, "score")
    there = realised_divergence(source, cut, kept, examples, DeviceConfig(device=kind))
    here = realised_divergence(source, cut, kept, examples, DeviceConfig(device="cpu"))
    assert there is not None and there == here and there.kl_nats


@pytest.mark.filterwarnings("ignore:User provided device_type of:UserWarning")
@pytest.mark.filterwarnings("ignore:.*GradScaler is enabled, but:UserWarning")
def test_recovery(cut: Path, source: Path, tmp_path: Path, kind: str) -> None:
    if architecture_of(source) == "qwen3_moe":
        pytest.skip("recovery does not write layers of experts")
    config = RecoverConfig(
        corpus="reference", num_examples=16, batch_size=8, device=kind, dtype="float32"
    )
    there = recover(cut, source, tmp_path / "there", config)
    with pretended_gpu("none"):
        here = recover(
            cut,
            source,
            tmp_path / "here",
            RecoverConfig(corpus="reference", num_examples=16, batch_size=8),
        )
    assert there.digest == here.digest
    half = RecoverConfig(
        corpus="reference", num_examples=8, batch_size=4, device=kind, dtype="bfloat16"
    )
    assert recover(cut, source, tmp_path / "half", half).figures["steps"] == 2


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_writing(source: Path, kind: str, temperature: float) -> None:
    tokenizer = load_tokenizer(source)
    config = GenerateConfig(batch_size=2, max_new_tokens=20, temperature=temperature)
    there = generate(load_model(source, torch.float32, kind), tokenizer, PROMPTS, config)
    here = generate(load_model(source, torch.float32), tokenizer, PROMPTS, config)
    assert there == here


def test_parity_and_agreement(source: Path, tmp_path: Path, kind: str) -> None:
    there, here = load_model(source, torch.float32, kind), load_model(source, torch.float32)
    ids = [5, 9, 30, 2]
    assert np.array_equal(torch_logits(there, ids), torch_logits(here, ids))
    assert torch_greedy(there, ids, 5) == torch_greedy(here, ids, 5)
    served = ServedTokens(prompt_ids=(5, 9), output_ids=(30, 2))
    assert _read(there, served) == _read(here, served)
    (tmp_path / "inputs.json").write_text(
        json.dumps({"texts": ["a"], "text_ids": [ids], "long_ids": []}), encoding="utf-8"
    )
    found = []
    for device in (kind, "cpu"):
        answer(source, tmp_path / "inputs.json", tmp_path, device, "float32", 0)
        found.append((tmp_path / "answers.json").read_bytes())
    assert found[0] == found[1]


def test_a_footprint_is_what_the_gpu_says(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: 77)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 77)
    monkeypatch.setattr(sys, "argv", ["-c", str(source), "2", "8", kind, "auto"])
    exec(footprint._PROBE, {})
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"peak": 77}


def test_nothing_comes_to_the_gpu_by_itself() -> None:
    with pretended_gpu():
        there, here = torch.ones(2, 3, device="cuda"), torch.ones(3)
        assert there.device == device_of(there.T @ there) == torch.device("cuda", 0)
        assert here.device == there.cpu().device == torch.device("cpu")
        assert device_of(there * torch.tensor(2.0)) == device_of(there[:, torch.tensor([0])])
        for mixed in (lambda: there + here, lambda: here[there.long()], lambda: there.addmm_(here)):
            with pytest.raises((RuntimeError, TypeError)):
                mixed()
        with pytest.raises(TypeError, match="can't convert cuda:0 tensor"):
            there.numpy()
        weight = torch.ones(3, device="cuda", requires_grad=True)
        weight.sum().backward()
        assert weight.grad is not None and device_of(weight.grad) == torch.device("cuda", 0)
    assert there.device == torch.device("cpu")


def stays(self: Batch, _device: object) -> Batch:
    """A batch that somebody forgot to move."""
    return self


class LazyTeacher(Teacher):
    """A teacher whose table of ids somebody forgot to move."""

    def __init__(self, model: Any, ids: Tensor) -> None:
        super().__init__(model, ids)
        self.ids = ids


def _forget(patch: pytest.MonkeyPatch, target: object, name: str, value: object) -> None:
    patch.setattr(target, name, value)


FAULTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "score": ("score", lambda patch: _forget(patch, Batch, "to", stays)),
    "plan": ("plan", lambda patch: _forget(patch, Batch, "to", stays)),
    "batch of recover": ("recover", lambda patch: _forget(patch, Batch, "to", stays)),
    "teacher": (
        "recover",
        lambda patch: _forget(
            patch, sys.modules["flab_deploy.recovery.train"], "Teacher", LazyTeacher
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_forgotten_move_is_found(cut: Path, source: Path, tmp_path: Path, fault: str) -> None:
    if architecture_of(source) != "qwen2":
        pytest.skip("one architecture is enough")
    stage, forget = FAULTS[fault]
    root = cut.parent
    work: dict[str, Callable[[], object]] = {
        "score": lambda: score(source, tmp_path / "out", ScoreConfig(corpus="reference", **SCORE)),
        "plan": lambda: plan(source, root / "scores", tmp_path / "out", PlanConfig(**PLAN)),
        "recover": lambda: recover(
            cut,
            source,
            tmp_path / "out",
            RecoverConfig(corpus="reference", num_examples=8, dtype="float32"),
        ),
    }
    with pytest.MonkeyPatch.context() as patch, pretended_gpu():
        forget(patch)
        with pytest.raises(RuntimeError, match="on the same device, but found cpu, cuda:0"):
            work[stage]()
