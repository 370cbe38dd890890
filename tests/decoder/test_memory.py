"""What happens where memory does not suffice: the same results, in smaller batches."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from flab_deploy.decoder import BatchLimit, cache_room, load_model, load_tokenizer
from flab_deploy.errors import ConfigError, OutOfMemory
from flab_deploy.evaluation.writing.completion import GenerateConfig
from flab_deploy.evaluation.writing.generate import generate
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.recovery import RecoverConfig, recover
from tests.architectures import save_tiny
from tests.decoder.pretended_gpu import pretended_gpu

PROMPTS = ["def f(x):\n    return", "import os", "a", "class A:", "x = ["]


class SmallMemory(TorchDispatchMode):
    """A machine that embeds at most so many rows at a time."""

    def __init__(self, most_rows: int) -> None:
        super().__init__()
        self.most_rows = most_rows
        self.num_failures = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        if func is torch.ops.aten.embedding.default and args[1].shape[0] > self.most_rows:
            self.num_failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("source") / "model", "llama")


def works_up_to(most: int, error: BaseException) -> Callable[[int], str]:
    def work(size: int) -> str:
        if size > most:
            raise error
        return f"done by {size}"

    return work


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_limit_is_halved_until_it_fits_and_stays(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    limit = BatchLimit("a stage", 13)
    with caplog.at_level(logging.WARNING, "flab_deploy"):
        assert limit.run(works_up_to(4, error), 9) == "done by 4"
        assert limit.run(works_up_to(4, error), 100) == "done by 4"
        assert limit.run(works_up_to(4, error), 3) == "done by 3"
    assert [r.getMessage() for r in caplog.records] == [
        "a stage: out of memory, going on with 4 at a time"
    ]
    with pytest.raises(OutOfMemory, match="a stage: memory does not suffice for one example"):
        limit.run(works_up_to(0, error), 4)


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        BatchLimit("a stage", 8).run(works_up_to(0, RuntimeError("shapes differ")), 8)


def test_recovery_in_parts_is_the_same_up_to_rounding(source: Path, tmp_path: Path) -> None:
    config = RecoverConfig(corpus="reference", num_examples=24, batch_size=8, learning_rate=1e-3)
    whole = recover(source, source, tmp_path / "whole", config)
    with SmallMemory(3) as memory:
        parts = recover(source, source, tmp_path / "parts", config)
    assert memory.num_failures == 2  # from 8 to 4 to 2, once
    losses = [
        [loss for _, loss in done.figures["loss_curve"]]  # type: ignore[union-attr,misc]
        for done in (whole, parts)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert len(losses[0]) == 3 and losses[0][-1] < losses[0][0]


def test_writing_in_parts_gives_the_same_text(source: Path) -> None:
    model, tokenizer = load_model(source, torch.float32), load_tokenizer(source)
    config = GenerateConfig(batch_size=5, max_new_tokens=12)
    whole = generate(model, tokenizer, PROMPTS, config)
    with SmallMemory(2) as memory:
        assert generate(model, tokenizer, PROMPTS, config) == whole
    assert memory.num_failures == 1  # from 5 to 2


def test_scores_in_parts_are_the_same_up_to_rounding(source: Path, tmp_path: Path) -> None:
    config = ScoreConfig(
        corpus="reference",
        num_counted=40,
        num_calibration=4,
        batch_size=4,
        max_layers_searched=2,
        held_out="",
    )
    found = []
    for most in (4, 1):
        with SmallMemory(most):
            done = score(source, tmp_path / f"{most}", config)
        document = json.loads((done.path / "scores.json").read_text(encoding="utf-8"))
        found.append([layer["kl_nats"] for layer in document["layers"]])
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    with SmallMemory(0), pytest.raises(OutOfMemory, match="score: .* take --dtype bfloat16"):
        score(source, tmp_path / "none", config)
    assert not (tmp_path / "none").exists()


def test_a_cache_takes_half_of_a_gpu_and_what_it_always_took_of_the_cpu() -> None:
    assert cache_room(torch.device("cpu"), 1 << 30) == 1 << 30
    with pretended_gpu(free_bytes=70 << 30):
        assert cache_room(torch.device("cuda"), 1 << 30) == 32 << 30
    with pretended_gpu(free_bytes=3 << 30):
        assert cache_room(torch.device("cuda"), 1 << 30) == 1 << 30


def test_a_model_that_the_gpu_does_not_hold_is_refused(source: Path) -> None:
    with (
        pretended_gpu(free_bytes=1 << 10),
        pytest.raises(ConfigError, match="more than is free on cuda .* take --dtype bfloat16"),
    ):
        load_model(source, torch.float32, "cuda")
