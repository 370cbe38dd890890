"""The recovery loss: cross-entropy on answers, and divergence from the original on the tokens that
both know.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flab_deploy.batches import Batch, completion_states
from flab_deploy.decoder import finish_logits, output_logits, output_weight
from flab_deploy.errors import PlanError
from flab_deploy.tokenizer import load_tokenizer


def original_ids(original: Path, pruned: Path) -> Tensor:
    """For each of the pruned tokenizer's ids the original's id of the same token, (N,) int64.

    Rows that only pad the pruned model's matrix come after those and have no token.
    Raises PlanError if the pruned tokenizer has a token that the original lacks.
    """
    known = load_tokenizer(original).get_vocab(with_added_tokens=True)
    kept = load_tokenizer(pruned).get_vocab(with_added_tokens=True)
    ids = torch.zeros(max(kept.values()) + 1, dtype=torch.long)
    for token, index in kept.items():
        if token not in known:
            raise PlanError(
                f"token {token!r} of {pruned} is not in {original}; these two models do not "
                "belong together"
            )
        ids[index] = known[token]
    return ids


class Teacher:
    """The original model, answering in the pruned model's vocabulary."""

    def __init__(self, model: PreTrainedModel, ids: Tensor) -> None:
        self.model, self.ids = model, ids.to(model.device)
        self.head = output_weight(model).detach()[self.ids].float()  # (N, D)

    @torch.no_grad()
    def log_probabilities(self, batch: Batch) -> Tensor:
        """Log-probabilities (P, N) in nats over the kept tokens, renormalised: dropped tokens have
        no mass.
        """
        translated = Batch(
            input_ids=self.ids[batch.input_ids],
            attention_mask=batch.attention_mask,
            positions=batch.positions,
            targets=batch.targets,
        )
        states = completion_states(self.model, translated)  # (P, D)
        return torch.log_softmax(finish_logits(self.model, states.float() @ self.head.T), dim=-1)


def recovery_loss(
    student: PreTrainedModel, teacher: Teacher, batch: Batch, distillation_weight: float
) -> Tensor:
    """(1 - w) cross-entropy + w KL(original || student), mean over completion tokens, in nats.

    The cross-entropy is over all rows, so that padding rows are unlearned; the divergence over
    those with a token.
    """
    logits = output_logits(student, completion_states(student, batch)).float()  # (P, V)
    answer = nn.functional.cross_entropy(logits, batch.targets)
    if distillation_weight == 0:
        return answer
    log_q = torch.log_softmax(logits[:, : len(teacher.ids)], dim=-1)  # (P, N)
    divergence = nn.functional.kl_div(
        log_q, teacher.log_probabilities(batch), reduction="batchmean", log_target=True
    )
    return (1 - distillation_weight) * answer + distillation_weight * divergence
