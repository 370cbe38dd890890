"""The recovery loss: cross-entropy on answers, and divergence from the original on the tokens that both know."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flab_deploy.decoder import output_weight
from flab_deploy.errors import PlanError
from flab_deploy.importance.calibration import Batch, completion_states
from flab_deploy.tokenizer import load_tokenizer


def original_ids(original: Path, pruned: Path, vocab_size: int) -> Tensor:
    """For each of the pruned model's `vocab_size` ids the original's id of the same token, (V,) int64.

    Raises PlanError if the pruned tokenizer has a token that the original lacks.
    """
    known = load_tokenizer(original).get_vocab(with_added_tokens=True)
    ids = torch.zeros(vocab_size, dtype=torch.long)
    for token, index in load_tokenizer(pruned).get_vocab(with_added_tokens=True).items():
        if token not in known:
            raise PlanError(
                f"token {token!r} of {pruned} is not in {original}; these two models do not belong together"
            )
        ids[index] = known[token]
    return ids


class Teacher:
    """The original model, answering in the pruned model's vocabulary."""

    def __init__(self, model: PreTrainedModel, ids: Tensor) -> None:
        self.model, self.ids = model, ids
        self.head = output_weight(model).detach()[ids].float()  # (V, D)

    @torch.no_grad()
    def log_probabilities(self, batch: Batch) -> Tensor:
        """Log-probabilities (P, V) in nats over the kept tokens, renormalised: dropped tokens have no mass."""
        translated = Batch(input_ids=self.ids[batch.input_ids], attention_mask=batch.attention_mask,
                           positions=batch.positions, targets=batch.targets)  # fmt: skip
        states = completion_states(self.model, translated)  # (P, D)
        return torch.log_softmax(states.float() @ self.head.T, dim=-1)


def recovery_loss(student: PreTrainedModel, teacher: Teacher, batch: Batch, distillation_weight: float) -> Tensor:
    """(1 - w) cross-entropy + w KL(original || student), mean over completion tokens, in nats."""
    states = completion_states(student, batch)  # (P, D)
    log_q = torch.log_softmax((states @ output_weight(student).T).float(), dim=-1)  # (P, V)
    answer = nn.functional.nll_loss(log_q, batch.targets)
    if distillation_weight == 0:
        return answer
    divergence = nn.functional.kl_div(log_q, teacher.log_probabilities(batch), reduction="batchmean", log_target=True)
    return (1 - distillation_weight) * answer + distillation_weight * divergence
