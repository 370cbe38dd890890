"""Scores, plan and cut on random decoders: every property a cut must keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from flab_deploy.artifacts import open_artifact
from flab_deploy.checkpoint import resolve
from flab_deploy.decoder import (
    down_projection,
    layers,
    load_model,
    model_shape,
    only_channels,
    only_layers,
)
from flab_deploy.errors import PlanError
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.pruning import PlanConfig, PrunePlan, load_plan, plan, prune
from flab_deploy.records.document import read_record
from flab_deploy.records.plan import PLAN_FILE, PlanRecord
from flab_deploy.tokenizer import with_parts
from tests.conftest import MakeCheckpoint
from tests.pruning.plans import logits, write_plan

SCORE = ScoreConfig(corpus="reference", num_counted=40, num_calibration=8, batch_size=4)
CASES = [("qwen2", True), ("qwen2", False), ("qwen3", True), ("llama", False), ("mistral", False)]


def written_plan(
    out: Path, source: Path, tokens: list[int], keep_layers: list[int], channels: list[list[int]]
) -> Path:
    corpus = out.parent / "corpus.jsonl"
    corpus.write_text('{"prompt": "~", "completion": "!"}\n', encoding="utf-8")
    document = {
        "schema_version": 2,
        "source": resolve(source).digest,
        "keep_token_ids": tokens,
        "keep_layers": keep_layers,
        "keep_channels": channels,
        "corpus": {"name": str(corpus), "num_counted": 10},
    }
    return write_plan(out, document)


@pytest.mark.parametrize(("model_type", "tied"), CASES)
def test_keeping_everything_keeps_the_logits(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, model_type: str, tied: bool
) -> None:
    source = make_checkpoint(model_type, tied=tied)
    vocab = model_shape(source).vocab_size
    full = written_plan(
        tmp_path / "plan", source, list(range(vocab)), list(range(5)), [list(range(64))] * 5
    )
    prune(source, full, tmp_path / "same", reopen="never")
    ids = torch.arange(20)[None]
    assert torch.equal(logits(tmp_path / "same", ids), logits(source, ids))


@pytest.mark.parametrize(("model_type", "tied"), CASES)
def test_a_cut_equals_masking_the_original(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, model_type: str, tied: bool
) -> None:
    source = make_checkpoint(model_type, tied=tied)
    vocab = model_shape(source).vocab_size
    tokens = with_parts(source, range(0, vocab, 7))
    keep_layers, channels = [0, 2, 4], [list(range(start, 64, 2)) for start in (0, 1, 0)]
    prune(
        source,
        written_plan(tmp_path / "plan", source, tokens, keep_layers, channels),
        tmp_path / "pruned",
        reopen="never",
    )
    original = load_model(source, torch.float32)
    masks = [torch.tensor(kept) for kept in channels]
    new_ids = torch.arange(40)[None]
    old_ids = torch.tensor(tokens)[new_ids]
    with torch.no_grad(), only_layers(original, keep_layers), only_channels(original, masks):
        expected = original(input_ids=old_ids, use_cache=False).logits[..., tokens]
    torch.testing.assert_close(logits(tmp_path / "pruned", new_ids), expected, atol=1e-5, rtol=1e-5)


def test_dropping_dead_channels_keeps_the_logits(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    source = make_checkpoint()
    dead = [3, 7, 31]
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    for layer in layers(model):
        down_projection(layer).weight.data[:, dead] = 0.0
    model.save_pretrained(source)
    kept = [channel for channel in range(64) if channel not in dead]
    vocab = model_shape(source).vocab_size
    prune(
        source,
        written_plan(tmp_path / "plan", source, list(range(vocab)), list(range(5)), [kept] * 5),
        tmp_path / "cut",
        reopen="never",
    )
    ids = torch.arange(20)[None]
    torch.testing.assert_close(
        logits(tmp_path / "cut", ids), logits(source, ids), atol=1e-6, rtol=1e-5
    )


@pytest.fixture(scope="module")
def planned(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planned")
    score(tiny_checkpoint, root / "scores", SCORE)
    plan(
        tiny_checkpoint,
        root / "scores",
        root / "plan",
        PlanConfig(reduction=0.3, max_layers_dropped=0),
    )
    prune(tiny_checkpoint, root / "plan", root / "pruned", reopen="never")
    return root


def test_the_plan_meets_its_budget(planned: Path) -> None:
    found = read_record(PlanRecord, planned / "plan" / PLAN_FILE)
    before, after = found.before.num_parameters, found.after.num_parameters
    assert after <= 0.7 * before
    assert found.contribution["vocabulary"] > 0
    assert sum(found.contribution.values()) == before - after
    assert model_shape(planned / "pruned").num_parameters == after


def test_the_pruned_checkpoint_generates_in_transformers(planned: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(planned / "pruned")
    model = AutoModelForCausalLM.from_pretrained(planned / "pruned")
    ids = tokenizer("def f(x):", return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=8, do_sample=False)
    assert out.shape[1] > ids.shape[1]
    assert model.config.eos_token_id == tokenizer.eos_token_id


def test_plan_and_cut_are_reproducible(
    planned: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    score(tiny_checkpoint, tmp_path / "scores", SCORE)
    plan(
        tiny_checkpoint,
        tmp_path / "scores",
        tmp_path / "plan",
        PlanConfig(reduction=0.3, max_layers_dropped=0),
    )
    prune(tiny_checkpoint, tmp_path / "plan", tmp_path / "pruned", reopen="never")
    for name in ("scores", "plan", "pruned"):
        assert open_artifact(tmp_path / name).digest == open_artifact(planned / name).digest


def test_a_plan_for_another_checkpoint_is_refused(
    planned: Path, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="was made for checkpoint"):
        prune(make_checkpoint(tied=False), planned / "plan", tmp_path / "out")
    with pytest.raises(PlanError, match="was made for checkpoint"):
        prune(planned / "pruned", planned / "plan", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_budget_that_cannot_be_met_is_refused_with_the_most_that_can(
    planned: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match=r"no cut removes 99%.* is the most; lower the reduction"):
        plan(tiny_checkpoint, planned / "scores", tmp_path / "plan", PlanConfig(reduction=0.99))
    assert not (tmp_path / "plan").exists()


def test_a_corpus_that_reads_differently_stops_the_cut(
    planned: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    tokens = [
        *range(258),
        *range(
            model_shape(tiny_checkpoint).vocab_size - 2, model_shape(tiny_checkpoint).vocab_size
        ),
    ]
    out = written_plan(
        tmp_path / "plan", tiny_checkpoint, tokens, list(range(5)), [list(range(64))] * 5
    )
    (tmp_path / "corpus.jsonl").write_text(
        '{"prompt": "return self", "completion": "import os"}\n', encoding="utf-8"
    )
    with pytest.raises(PlanError, match="reads 2 of 2 texts of .* differently"):
        prune(tiny_checkpoint, out, tmp_path / "pruned")
    assert not (tmp_path / "pruned").exists()


def test_plans_load_as_they_were_written(planned: Path) -> None:
    loaded = load_plan(planned / "plan")
    assert isinstance(loaded, PrunePlan)
    assert list(loaded.keep_layers) == sorted(loaded.keep_layers)
    assert replace(loaded, num_counted=7) != loaded
