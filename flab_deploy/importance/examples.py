"""Which examples importance is measured on: kept apart from held-out tasks, answered by the model
itself on request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from flab_deploy.corpus import TASK_KINDS, Instruction, Task, load_records
from flab_deploy.errors import ConfigError
from flab_deploy.prompting import encode_prompts, tokenizer_of
from flab_deploy.reference.tasks import make_tasks

logger = logging.getLogger(__name__)
_WORD = re.compile(r"\w+|[^\w\s]")
_REFERENCE_TASKS_PER_KIND = 500


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Calibration examples."""

    examples: list[Instruction]
    num_contaminated: int
    """Examples passed over because they share text with a held-out task."""


def held_out_tasks(held_out: str) -> list[Task]:
    """Tasks that must not be calibrated on: the reference model's test tasks, a JSON-lines file, or
    none for ''.
    """
    if held_out == "reference":
        return [
            task
            for kind in TASK_KINDS
            for task in make_tasks("test", kind, _REFERENCE_TASKS_PER_KIND)
        ]
    return load_records(Path(held_out), Task) if held_out else []


def choose(
    examples: Sequence[Instruction], tasks: Sequence[Task], count: int, shared_words: int
) -> Chosen:
    """The first `count` examples that share neither a prompt nor a run of `shared_words` words with
    a task.

    Words are identifiers, numbers and single signs. Raises ConfigError if no example is left.
    """
    prompts = {_squeezed(task.prompt) for task in tasks}
    runs = {
        run for task in tasks for run in _runs(task.prompt + task.canonical_solution, shared_words)
    }
    clean: list[Instruction] = []
    contaminated = 0
    for example in examples:
        if len(clean) == count:
            break
        text = example.prompt + example.completion
        if _squeezed(example.prompt) in prompts or not runs.isdisjoint(_runs(text, shared_words)):
            contaminated += 1
        elif example.prompt.strip() and example.completion.strip():
            clean.append(example)
    if not clean:
        raise ConfigError(
            f"none of {len(examples)} examples can be calibrated on: {contaminated} share text "
            "with held-out tasks, the others are empty; give another corpus"
        )
    return Chosen(examples=clean, num_contaminated=contaminated)


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _runs(text: str, length: int) -> Iterable[tuple[str, ...]]:
    words = _WORD.findall(text)
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


@torch.no_grad()
def answered(
    model: PreTrainedModel,
    path: Path,
    examples: Sequence[Instruction],
    end: int,
    longest: int,
    batch_size: int,
) -> list[Instruction]:
    """The prompts with what the model itself continues them with, greedily; prompts without an
    answer are left out.

    Calibrating on a model's own text keeps the measure on its own distribution.
    Raises ConfigError if nothing was answered.
    """
    tokenizer = tokenizer_of(path)
    prompts = encode_prompts(tokenizer, [e.prompt for e in examples])
    order = sorted(
        (at for at in range(len(prompts)) if 0 < len(prompts[at]) < longest),
        key=lambda at: len(prompts[at]),
    )
    completions: dict[int, str] = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        for at, ids in zip(
            rows, _continued(model, [list(prompts[at]) for at in rows], end, longest), strict=True
        ):
            completions[at] = str(tokenizer.decode(ids, skip_special_tokens=False))
    found = [
        replace(examples[at], completion=text)
        for at, text in sorted(completions.items())
        if text.strip()
    ]
    if not found:
        raise ConfigError(
            f"the model answered none of {len(examples)} prompts; calibrate on the corpus's "
            "own solutions"
        )
    return found


def _continued(
    model: PreTrainedModel, prompts: Sequence[list[int]], end: int, longest: int
) -> list[list[int]]:
    """New ids after each prompt, up to the end token, `longest` ids in all."""
    width = max(len(ids) for ids in prompts)
    ids = torch.tensor([[end] * (width - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor(
        [[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device
    )
    settings = GenerationConfig(
        max_new_tokens=longest - width, do_sample=False, eos_token_id=end, pad_token_id=end
    )
    generate = cast("Callable[..., torch.Tensor]", model.generate)
    out = generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    new = out[:, width:].tolist()
    return [row[: row.index(end)] if end in row else row for row in new]
