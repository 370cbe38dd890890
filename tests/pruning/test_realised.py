"""The divergence of a finished cut against its definition, computed in full on the two
checkpoints.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flab_deploy.batches import encode, end_of_text_id
from flab_deploy.corpus import Instruction
from flab_deploy.decoder import load_model
from flab_deploy.pruning.cutting.realised import realised_divergence
from flab_deploy.tokenizer import with_parts
from tests.architectures import WIDTH, save_tiny
from tests.pruning.plans import cut, logits

EXAMPLES = [Instruction(prompt=f"add {n} ~", completion=f"return x + {n}!") for n in range(5)]
OTHER = Instruction(prompt="def", completion=" class")


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "granite"])
def test_realised_is_the_divergence_of_the_two_checkpoints(model_type: str, tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "whole", model_type)
    read = encode(source, EXAMPLES, end_of_text_id(source), 512)
    kept = with_parts(source, {token for ids, _ in read for token in ids})
    assert len(kept) < 390
    channels = (tuple(range(WIDTH - 8)),) * 3
    smaller = cut(
        source, tmp_path, keep_token_ids=tuple(kept), keep_layers=(0, 2, 3), keep_channels=channels
    )
    new_id = {old: new for new, old in enumerate(kept)}
    original, after = load_model(source, torch.float32), load_model(smaller, torch.float32)
    total, count = 0.0, 0
    for ids, start in read:
        before = (
            logits(original, torch.tensor([ids]))
            .double()[0, start - 1 : -1]
            .log_softmax(-1)[:, kept]
        )
        cut_log = logits(after, torch.tensor([[new_id[token] for token in ids]])).double()[
            0, start - 1 : -1
        ]
        lost = -before.logsumexp(-1)
        among = before + lost[:, None]
        total += float((lost + (among.exp() * (among - cut_log.log_softmax(-1))).sum(-1)).sum())
        count += len(ids) - start
    found = realised_divergence(source, smaller, kept, [*EXAMPLES, OTHER])
    assert found is not None and found.num_tokens == count
    assert found.kl_nats == pytest.approx(total / count, rel=0.01)


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "whole", "llama")
    kept = with_parts(
        source, {token for ids, _ in encode(source, EXAMPLES, 0, 512) for token in ids}
    )
    smaller = cut(source, tmp_path, keep_token_ids=tuple(kept))
    assert realised_divergence(source, smaller, kept, [OTHER]) is None
