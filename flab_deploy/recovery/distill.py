"""The recovery loss: cross-entropy on answers, and divergence from the original on the tokens that
both know.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flab_deploy.batches import Batch, completion_states
from flab_deploy.decoder import finish_logits, output_logits, output_weight


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
