"""The `recover` stage: fine-tune a pruned checkpoint on instructions, with the original as
teacher.
"""

from __future__ import annotations

import logging
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.batches import Batch, encode, end_of_text_id, make_batches, original_ids
from flab_deploy.checkpoint import Checkpoint, resolve
from flab_deploy.corpora import corpus_for, load_instructions
from flab_deploy.corpus import Instruction, corpus_digest
from flab_deploy.decoder import (
    BatchLimit,
    choose_device,
    choose_dtype,
    load_model,
    model_shape,
    tensor_shapes,
    weights_dtype,
)
from flab_deploy.prompting import Prompting
from flab_deploy.records.document import as_json
from flab_deploy.records.recover import RecoverRecord
from flab_deploy.recovery.distill import Teacher, recovery_loss
from flab_deploy.settings.recover import RecoverConfig

logger = logging.getLogger(__name__)
_REPORTS = 20
# Batches are cut from sorted blocks, so that one batch holds examples of similar length.
_BLOCK_BATCHES = 4


def recover(
    model: str | Path,
    original: str | Path,
    out: Path,
    config: RecoverConfig = RecoverConfig(),
    *,
    force: bool = False,
) -> Artifact:
    """Post-train the pruned checkpoint `model` towards `original`; writes a checkpoint of the same
    shape.

    The loss is on answers alone; padding and prompts carry none. Raises PlanError if the two
    models do not share a vocabulary, ConfigError or ArtifactError for a bad corpus, ConfigError
    for a device that is not there.
    """
    choose_device(config.device)
    pruned, teacher = resolve(model), resolve(original)
    config = replace(config, corpus=corpus_for(config.corpus, teacher.path))
    examples = load_instructions(config.corpus, config.num_examples, "recover")
    parents = {
        "model": pruned.digest,
        "original": teacher.digest,
        "corpus": corpus_digest(examples),
    }
    return run_stage(
        out,
        kind="checkpoint",
        module=__name__,
        parents=parents,
        config=asdict(config),
        force=force,
        work=lambda draft: _train(draft, pruned, teacher, examples, config),
    )


def _batches(encoded: Sequence[tuple[list[int], int]], config: RecoverConfig) -> Iterator[Batch]:
    """Every example once, in seeded order, batches of similar length."""
    rng = Random(config.seed)
    order = list(encoded)
    rng.shuffle(order)
    block = config.batch_size * _BLOCK_BATCHES
    for start in range(0, len(order), block):
        batches = make_batches(order[start : start + block], config.batch_size)
        rng.shuffle(batches)
        yield from batches


def learning_rate(step: int, steps: int, config: RecoverConfig) -> float:
    """Learning rate at `step` of `steps`."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return config.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def _optimizer(student: PreTrainedModel, config: RecoverConfig) -> torch.optim.Optimizer:
    matrices = [p for p in student.parameters() if p.dim() == 2]
    vectors = [p for p in student.parameters() if p.dim() != 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95))


def _train(
    draft: Draft,
    pruned: Checkpoint,
    original: Checkpoint,
    examples: list[Instruction],
    config: RecoverConfig,
) -> None:
    torch.manual_seed(config.seed)
    prompting = Prompting(pruned.path, config)
    asked = [prompting.example(example) for example in examples]
    encoded = encode(pruned.path, asked, end_of_text_id(pruned.path), config.max_tokens)
    trainer = _Trainer(pruned.path, original.path, config)
    batches = list(_batches(encoded, config))
    steps = len(batches)
    curve: list[tuple[int, float]] = []
    recent: list[float] = []
    for step, batch in enumerate(
        tqdm(batches, desc="recover", unit="step", disable=not sys.stderr.isatty())
    ):
        recent.append(trainer.step(batch, learning_rate(step, steps, config)))
        if (step + 1) % max(1, steps // _REPORTS) == 0 or step + 1 == steps:
            curve.append((step + 1, sum(recent) / len(recent)))
            logger.info("recover: step %d of %d, loss %.4f nats", step + 1, steps, curve[-1][1])
            recent.clear()
    _save(trainer.student, pruned.path, draft.path)
    draft.figures |= as_json(
        RecoverRecord(
            schema_version=1,
            steps=steps,
            num_examples=len(encoded),
            num_parameters=model_shape(pruned.path).num_parameters,
            loss_curve=tuple(curve),
        )
    )


class _Trainer:
    """The pruned model being trained, its teacher, and how much of a batch fits at once."""

    def __init__(self, pruned: Path, original: Path, config: RecoverConfig) -> None:
        device = choose_device(config.device)
        self.config, self.device = config, device
        self.dtype = choose_dtype(pruned, device, config.dtype)
        logger.info("recover: on %s in %s", device, str(self.dtype).removeprefix("torch."))
        self.teacher = Teacher(
            load_model(original, self.dtype, device), original_ids(original, pruned)
        )
        self.student = load_model(pruned, torch.float32, device).train()
        self.optimizer = _optimizer(self.student, config)
        # Gradients of float16 are too small for it unless they are scaled.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self._limit = BatchLimit("recover", config.batch_size)

    def step(self, batch: Batch, rate: float) -> float:
        """One step of the optimizer on a batch; its loss in nats."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._limit.run(
            lambda size: self._gradients(batch.to(self.device), size), len(batch.input_ids)
        )
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _gradients(self, batch: Batch, size: int) -> float:
        """Leave the gradients of the batch in the student, computed on `size` examples at a time;
        the loss.

        Losses are means over completion tokens, so that each part counts by how many it has.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in batch.split(size):
            with torch.autocast(
                self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
            ):
                loss = recovery_loss(
                    self.student, self.teacher, part, self.config.distillation_weight
                )
            loss = loss * (len(part.positions) / len(batch.positions))
            self.scaler.scale(loss).backward()
            total += float(loss.detach())
        return total


def _save(student: PreTrainedModel, pruned: Path, out: Path) -> None:
    """The trained weights in the pruned checkpoint's names and dtype, beside copies of its other
    files.
    """
    dtype = weights_dtype(pruned)
    state = student.state_dict()
    save_file(
        {name: state[name].to("cpu", dtype).contiguous() for name in sorted(tensor_shapes(pruned))},
        out / "model.safetensors",
        metadata={"format": "pt"},
    )
    for file in sorted(pruned.iterdir()):
        if file.is_file() and file.name not in {"manifest.json", "model.safetensors"}:
            shutil.copyfile(file, out / file.name)
