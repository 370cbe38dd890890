"""What it costs a real model to be prompted otherwise than it was trained."""

from __future__ import annotations

import json
import math

import pytest
import torch

from flab_deploy.batches import completion_states, encode, end_of_text_id, make_batches
from flab_deploy.corpus import Instruction
from flab_deploy.decoder import load_model, output_logits
from flab_deploy.prompting import begin_ids, tokenizer_of
from tests.field_data import HUMANEVAL_FILES, field_file
from tests.real_models import MODELS, real_model

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
NUM_PROBLEMS = 60


@pytest.mark.parametrize("name", sorted(MODELS))
def test_nats_with_and_without_what_a_text_begins_with(name: str) -> None:
    path = real_model(name)
    with field_file(HUMANEVAL_FILES[0]).open() as lines:
        rows = [json.loads(line) for line in lines][:NUM_PROBLEMS]
    examples = [
        Instruction(prompt=row["prompt"], completion=row["canonical_solution"]) for row in rows
    ]
    begin = len(begin_ids(tokenizer_of(path)))
    encoded = encode(path, examples, end_of_text_id(path), 2048)
    model = load_model(path, torch.float32)

    def nats(texts: list[tuple[list[int], int]]) -> float:
        lost, count = 0.0, 0
        with torch.inference_mode():
            for batch in make_batches([(ids[:-1], start) for ids, start in texts], 4):
                logits = output_logits(model, completion_states(model, batch)).float()
                lost += float(
                    torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum")
                )
                count += len(batch.targets)
        return lost / count

    with_begin = nats(encoded)
    bare = nats([(ids[begin:], start - begin) for ids, start in encoded])
    print(f"{name}: {with_begin:.4f} nats per token, {bare:.4f} without its {begin} first tokens")
    assert math.isfinite(with_begin)
    assert with_begin < bare - 0.5 if begin else with_begin == bare
