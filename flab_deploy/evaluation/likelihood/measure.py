"""Two models over the same texts: what each text costs in bits, and how close the predictions are.

Shapes: P completion positions, R of them at a time, D hidden size, V vocabulary, N tokens that both
have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.batches import Batch, completion_states, pad
from flab_deploy.decoder import output_logits, output_weight
from flab_deploy.evaluation.likelihood.encoding import Encoded, EncodedText, common_places
from flab_deploy.progress import progress
from flab_deploy.records.likelihood import TextLine

_LOGITS_BYTES = 512 << 20
_COPIES = 4
"""Of a position's logits: as they are, in float32, and what is computed from them."""
_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class TwoModels:
    """Both models, and what their tokens have in common."""

    original: PreTrainedModel
    candidate: PreTrainedModel
    original_ids: Tensor | None
    """(N,) the original's id of each of the candidate's tokens; None if they are not related."""
    token_lengths: tuple[Sequence[int], Sequence[int]] | None
    """How much text each token of both stands for; None as above."""

    @property
    def positions_at_a_time(self) -> int:
        """R: as many as keep the logits of both models within 512 MiB."""
        sizes = [output_weight(model).shape[0] for model in (self.original, self.candidate)]
        return max(1, _LOGITS_BYTES // (_COPIES * 4 * sum(sizes)))


class Reading:
    """What one model makes of a batch: a state before each token of a completion."""

    def __init__(self, model: PreTrainedModel, encoded: Sequence[Encoded]) -> None:
        batch: Batch = pad(encoded).to(model.device)
        self.model, self.targets = model, batch.targets
        self.states = completion_states(model, batch)  # (P, D)
        self.counts = [len(ids) - start for ids, start in encoded]
        self.bits = torch.zeros(len(self.targets), dtype=torch.float64)

    def logits(self, rows: Tensor) -> Tensor:
        """Logits (R, V) float32 at some positions; the bits of their tokens are noted."""
        rows = rows.to(self.states.device)
        found = output_logits(self.model, self.states[rows]).float()
        nats = found.logsumexp(1) - found.gather(1, self.targets[rows, None])[:, 0]
        self.bits[rows.cpu()] = nats.double().cpu() / math.log(2)
        return found

    def per_text(self, values: Tensor) -> list[float]:
        """Sums of values (P,) over the positions of each text."""
        return [float(part.sum()) for part in values.split(self.counts)]


@torch.inference_mode()
def measure(models: TwoModels, encoded: Sequence[EncodedText], batch_tokens: int) -> list[TextLine]:
    """A line for each text, in their order; batches hold at most `batch_tokens` unless one text is
    longer.
    """
    found: dict[int, TextLine] = {}
    with progress("reading", len(encoded), "texts") as advance:
        for numbers in _batches(encoded, batch_tokens):
            texts = [encoded[number] for number in numbers]
            found.update(zip(numbers, _lines(models, texts), strict=True))
            advance(len(numbers))
    return [found[number] for number in range(len(encoded))]


def _batches(encoded: Sequence[EncodedText], batch_tokens: int) -> Iterator[list[int]]:
    """Numbers of texts of similar length, the longest first."""
    length = [max(len(e.original[0]), len(e.candidate[0])) for e in encoded]
    batch: list[int] = []
    for number in sorted(range(len(encoded)), key=lambda n: -length[n]):
        if batch and (len(batch) + 1) * length[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _lines(models: TwoModels, texts: Sequence[EncodedText]) -> Iterator[TextLine]:
    before = Reading(models.original, [text.original for text in texts])
    after = Reading(models.candidate, [text.candidate for text in texts])
    places = [
        common_places(text, models.token_lengths) if models.token_lengths else [] for text in texts
    ]
    rows_before, rows_after = _rows(before.counts, places, 0), _rows(after.counts, places, 1)
    closeness = _compare(models, before, after, (rows_before, rows_after))
    for side, rows in ((before, rows_before), (after, rows_after)):
        rest = torch.ones(len(side.bits), dtype=torch.bool)
        rest[rows] = False
        for part in rest.nonzero()[:, 0].split(models.positions_at_a_time):
            side.logits(part)
    bits = zip(before.per_text(before.bits), after.per_text(after.bits), strict=True)
    shared = [len(pairs) for pairs in places]
    sums = [[float(part.sum()) for part in values.split(shared)] for values in closeness]
    for text, (original_bits, candidate_bits), number, equal, kl, dropped in zip(
        texts, bits, shared, *sums, strict=True
    ):
        yield TextLine(
            text_id=text.text.text_id,
            set=text.text.set,
            cluster=text.text.cluster,
            cut=text.cut,
            num_bytes=len(text.text.completion.encode()),
            num_original_tokens=len(text.original[0]) - text.original[1],
            num_candidate_tokens=len(text.candidate[0]) - text.candidate[1],
            original_bits=round(original_bits, _DECIMALS),
            candidate_bits=round(candidate_bits, _DECIMALS),
            num_compared=number,
            num_top_1_equal=int(equal),
            kl_nats=round(kl, _DECIMALS),
            dropped_probability=round(dropped, _DECIMALS),
        )


def _rows(counts: Sequence[int], places: Sequence[Sequence[tuple[int, int]]], side: int) -> Tensor:
    """The places of each text among the positions of all texts of a batch."""
    starts = accumulate(counts, initial=0)
    return torch.tensor(
        [at + pair[side] for at, pairs in zip(starts, places, strict=False) for pair in pairs],
        dtype=torch.long,
    )


def _compare(
    models: TwoModels, before: Reading, after: Reading, rows: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """At positions of both readings that stand after the same text, (P,) each: whether the
    likeliest token is the same, KL in nats over the shared tokens, and the probability of dropped
    ones.
    """
    found: list[Tensor] = []
    at_a_time = models.positions_at_a_time
    for first, second in zip(*(side.split(at_a_time) for side in rows), strict=True):
        if models.original_ids is not None and len(first):
            found.append(
                _closeness(before.logits(first), after.logits(second), models.original_ids)
            )
    equal, kl, dropped = torch.cat([torch.zeros(3, 0, dtype=torch.float64), *found], dim=1)
    return equal, kl, dropped


def _closeness(before: Tensor, after: Tensor, original_ids: Tensor) -> Tensor:
    """The three figures of `_compare` (3, R) for logits (R, V) of both models."""
    ids = original_ids.to(before.device)
    number = len(ids)
    plain = torch.equal(ids, torch.arange(number, device=ids.device))
    known = before[:, :number] if plain else before[:, ids]  # (R, N)
    other = after[:, :number].to(before.device)
    mass = known.logsumexp(1)
    log_p, log_q = known - mass[:, None], other - other.logsumexp(1, keepdim=True)
    kl = (log_p.exp() * (log_p - log_q)).sum(1).clamp(min=0)
    dropped = 1 - (mass - before.logsumexp(1)).exp()
    best = after.argmax(1).to(ids.device)
    token = torch.where(best < number, ids[best.clamp(max=number - 1)], -1)
    equal = before.argmax(1) == token
    return torch.stack([equal.double(), kl.double(), dropped.double().clamp(min=0)]).cpu()
