from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from flab_deploy.artifacts import open_artifact
from flab_deploy.batches import Batch, encode, make_batches, original_ids
from flab_deploy.corpora import load_instructions
from flab_deploy.decoder import load_model, model_shape, tensor_shapes
from flab_deploy.errors import ConfigError, PlanError
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.pruning import PlanConfig, plan, prune
from flab_deploy.records.document import record_of
from flab_deploy.records.recover import RecoverRecord
from flab_deploy.recovery import RecoverConfig, recover
from flab_deploy.recovery.distill import Teacher, recovery_loss
from tests.architectures import save_tiny
from tests.conftest import MakeCheckpoint
from tests.example_batches import example_batches

CONFIG = RecoverConfig(corpus="reference", num_examples=64, batch_size=8, learning_rate=3e-3)


@pytest.fixture(scope="module")
def pruned(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pruned")
    score(
        tiny_checkpoint,
        root / "scores",
        ScoreConfig(corpus="reference", num_counted=40, num_calibration=8),
    )
    plan(
        tiny_checkpoint,
        root / "scores",
        root / "plan",
        PlanConfig(reduction=0.3, max_layers_dropped=0),
    )
    prune(tiny_checkpoint, root / "plan", root / "pruned")
    return root / "pruned"


@pytest.fixture(scope="module")
def recovered(pruned: Path, tiny_checkpoint: Path) -> Path:
    return recover(pruned, tiny_checkpoint, pruned.parent / "recovered", CONFIG).path


def test_the_loss_falls_and_the_shape_stays(recovered: Path, pruned: Path) -> None:
    found = record_of(RecoverRecord, open_artifact(recovered).figures, str(recovered))
    losses = [loss for _, loss in found.loss_curve]
    assert found.steps == found.loss_curve[-1][0] == 8
    assert losses[-1] < losses[0]
    assert tensor_shapes(recovered) == tensor_shapes(pruned)
    assert model_shape(recovered) == model_shape(pruned)


def test_training_is_reproducible(
    recovered: Path, pruned: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    again = recover(pruned, tiny_checkpoint, tmp_path / "again", CONFIG)
    assert again.digest == open_artifact(recovered).digest


def test_only_completions_carry_loss(tiny_checkpoint: Path) -> None:
    examples = load_instructions("reference", 12, "mask")
    end = 701
    encoded = encode(tiny_checkpoint, examples, end, 512)
    batches = make_batches(encoded, 4)
    wanted = sorted(ids[start:] for ids, start in encoded)
    found: list[list[int]] = []
    for batch in batches:
        rows = batch.positions // batch.input_ids.shape[1]
        found += [batch.targets[rows == row].tolist() for row in range(len(batch.input_ids))]
    assert sorted(found) == wanted
    assert all(targets[-1] == end for targets in found)


@pytest.mark.parametrize("model_type", ["qwen2", "granite", "gemma2"])
def test_a_model_has_no_divergence_from_itself_nor_do_padding_rows_count(
    tmp_path: Path, model_type: str
) -> None:
    path = save_tiny(tmp_path / "model", model_type)
    teacher = Teacher(load_model(path, torch.float32), original_ids(path, path))
    student = load_model(path, torch.float32)
    (batch,) = example_batches(path, load_instructions("reference", 4, "x"), 4)
    with torch.no_grad():
        assert float(recovery_loss(student, teacher, batch, 1.0)) == pytest.approx(0.0, abs=1e-5)
        answers = float(recovery_loss(student, teacher, batch, 0.0))
        assert answers == pytest.approx(float(student(**_with_labels(batch)).loss), rel=1e-4)
        student.resize_token_embeddings(len(teacher.ids) + 7)
        assert float(recovery_loss(student, teacher, batch, 1.0)) == pytest.approx(0.0, abs=1e-5)
        assert float(recovery_loss(student, teacher, batch, 0.0)) > answers


def _with_labels(batch: Batch) -> dict[str, torch.Tensor]:
    labels = torch.full_like(batch.input_ids, -100).flatten()
    labels[batch.positions + 1] = batch.targets
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "labels": labels.reshape(batch.input_ids.shape),
    }


def test_models_that_do_not_belong_together_are_refused(
    pruned: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="do not belong together"):
        recover(tiny_checkpoint, pruned, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()


def test_a_broken_corpus_is_named_and_nothing_is_written(
    pruned: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n{broken\n")
    with pytest.raises(ConfigError, match=r"corpus.jsonl:2: not valid JSON"):
        recover(pruned, tiny_checkpoint, tmp_path / "out", RecoverConfig(corpus=str(corpus)))
    assert not (tmp_path / "out").exists()


def test_every_architecture_trains(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    source = make_checkpoint("llama", tied=False, dtype=torch.bfloat16)
    done = recover(
        source,
        source,
        tmp_path / "out",
        RecoverConfig(corpus="reference", num_examples=8, batch_size=4),
    )
    assert load_model(done.path, torch.bfloat16).dtype == torch.bfloat16
