"""Exact divergence between next-token distributions, without ever holding one of them whole.

For logits that are linear in the final states, z = W h, and p the original's distribution,
    KL(p || q) = log Z_q - log Z_p - e . (h_q - h_p)     with e = sum over v of p_v W_v,
so that one vector e per position replaces the original's V log-probabilities, and a candidate costs
one pass over the head: its log-normaliser, summed over slices of the vocabulary.
Shapes: n candidates, P completion positions, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.decoder import output_weight

# A slice of logits of 512 x 4096 float32 is 8 MiB.
_POSITIONS, _TOKENS = 512, 4096


@dataclass(frozen=True, kw_only=True)
class Head:
    """How final states become logits."""

    weight: Tensor
    """(V, D)."""
    bias: Tensor | None
    """(V,)."""
    scale: float
    """Factor on the logits: 1 / `logits_scaling` of Granite."""
    softcap: float | None
    """`final_logit_softcapping` of Gemma: logits are softcap * tanh(logits / softcap)."""

    def slices(self) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Start, float32 weight (v, D) and bias (v,) of each slice of the vocabulary, scaled."""
        for start in range(0, self.weight.shape[0], _TOKENS):
            weight = self.weight[start : start + _TOKENS].float()
            bias = (
                None
                if self.bias is None
                else self.bias[start : start + _TOKENS].float() * self.scale
            )
            yield start, weight if self.scale == 1 else weight * self.scale, bias

    def at(self, temperature: float) -> Head:
        """The head whose logits are these divided by `temperature`."""
        softcap = None if self.softcap is None else self.softcap / temperature
        return replace(self, scale=self.scale / temperature, softcap=softcap)

    def logits(self, states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Logits (P, v) of one slice of the vocabulary."""
        found = states @ weight.T if bias is None else torch.addmm(bias, states, weight.T)
        return (
            found if self.softcap is None else found.div_(self.softcap).tanh_().mul_(self.softcap)
        )


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the original model predicts at the positions of one batch."""

    states: Tensor
    """(P, D) float32."""
    log_normalizer: Tensor
    """(P,) float32: log Z."""
    expected: Tensor | None
    """(P, D) float32: the head's rows averaged under the prediction; None if logits are not linear.
    """
    targets: Tensor
    """(P,) the tokens that really follow."""


def head_of(model: PreTrainedModel) -> Head:
    """The output head of a model, with the transformations of its logits that its configuration
    names.
    """
    scaling = getattr(model.config, "logits_scaling", None)
    return Head(
        weight=output_weight(model).detach(),
        bias=getattr(model.get_output_embeddings(), "bias", None),
        scale=1.0 / scaling if scaling else 1.0,
        softcap=getattr(model.config, "final_logit_softcapping", None),
    )


def rounded(nats: float) -> float:
    """A divergence to three significant digits and at most five decimals.

    What float32 adds up to in another order, with other threads or on another machine, differs
    further behind.
    """
    return round(float(f"{nats:.3g}"), 5)


def in_float64(values: Tensor) -> Tensor:
    """The values in float64; on the CPU where their device does not have it, as Apple's."""
    return (values.cpu() if values.device.type == "mps" else values).double()


@torch.no_grad()
def log_normalizer(head: Head, states: Tensor) -> Tensor:
    """Log of the sum of exponentials of the logits of `states` (P, D), as (P,) float32."""
    states = states.float()
    largest = torch.full(states.shape[:1], -torch.inf, device=states.device)
    total = torch.zeros_like(largest)
    for _, weight, bias in head.slices():
        for at in range(0, len(states), _POSITIONS):
            rows = slice(at, at + _POSITIONS)
            logits = head.logits(states[rows], weight, bias)
            peak = torch.maximum(largest[rows], logits.amax(1))
            total[rows] = total[rows] * (largest[rows] - peak).exp_() + logits.sub_(
                peak[:, None]
            ).exp_().sum(1)
            largest[rows] = peak
    return largest + total.log()


@torch.no_grad()
def reference_of(head: Head, states: Tensor, targets: Tensor) -> Reference:
    """The original's predictions from its final `states` (P, D)."""
    states = states.float()
    normalizer = log_normalizer(head, states)
    expected = torch.zeros_like(states) if head.softcap is None else None
    if expected is not None:
        for _, weight, bias in head.slices():
            for at in range(0, len(states), _POSITIONS):
                rows = slice(at, at + _POSITIONS)
                likely = head.logits(states[rows], weight, bias).sub_(normalizer[rows, None]).exp_()
                expected[rows].addmm_(likely, weight)
    return Reference(states=states, log_normalizer=normalizer, expected=expected, targets=targets)


def kl_per_position(head: Head, reference: Reference, states: Tensor) -> Tensor:
    """KL(original || candidate) in nats at each position of `states` (n, P, D), as (n, P) float64.

    Rounding of float32 logits leaves an error of a few 1e-6 at a position, of either sign: it
    vanishes in a mean, and would not if values below zero were cut off.
    """
    candidates = states.float()
    normalizer = log_normalizer(head, candidates.flatten(0, 1)).view(candidates.shape[:2])
    gained = in_float64(normalizer) - in_float64(reference.log_normalizer)
    if reference.expected is None:
        return gained - _expected_gain(head, reference, candidates)
    moved, expected = in_float64(candidates - reference.states), in_float64(reference.expected)
    return gained - torch.einsum("npd,pd->np", moved, expected)


@torch.no_grad()
def _expected_gain(head: Head, reference: Reference, states: Tensor) -> Tensor:
    """Mean change of the logits under the original's prediction, (n, P) float64, where logits are
    not linear.
    """
    total = in_float64(torch.zeros(states.shape[:2], device=states.device))
    for _, weight, bias in head.slices():
        for at in range(0, states.shape[1], _POSITIONS):
            rows = slice(at, at + _POSITIONS)
            clean = head.logits(reference.states[rows], weight, bias)
            likely = (clean - reference.log_normalizer[rows, None]).exp_()
            for index, candidate in enumerate(states):
                change = head.logits(candidate[rows], weight, bias).sub_(clean)
                total[index, rows] += in_float64(change.mul_(likely).sum(1))
    return total


def nll_per_position(head: Head, reference: Reference, states: Tensor) -> Tensor:
    """Negative log-likelihood in nats of the token that follows, (n, P) float64, in [0, inf)."""
    candidates = states.float()
    normalizer = log_normalizer(head, candidates.flatten(0, 1)).view(candidates.shape[:2])
    targets = _target_logits(head, reference.targets, candidates)
    return (in_float64(normalizer) - in_float64(targets)).clamp_(min=0)


def _target_logits(head: Head, targets: Tensor, states: Tensor) -> Tensor:
    logits = torch.einsum("npd,pd->np", states, head.weight[targets].float()) * head.scale
    if head.bias is not None:
        logits = logits + head.bias[targets].float() * head.scale
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)


@torch.no_grad()
def errors_per_position(head: Head, reference: Reference, states: Tensor) -> Tensor:
    """1 where the likeliest token is not the one that follows, else 0, as (n, P) float64."""
    token = _likeliest(head, states.float().flatten(0, 1))
    return in_float64(token.view(states.shape[:2]) != reference.targets)


@torch.no_grad()
def log_likelihood_gradient(head: Head, states: Tensor, tokens: Tensor) -> Tensor:
    """Gradient (P, D) float32 of the log-probabilities of `tokens` (P,) with respect to the final
    `states` (P, D).
    """
    states = states.float()
    normalizer = log_normalizer(head, states)
    rows_of = head.weight[tokens].float() * head.scale
    expected = torch.zeros_like(states)
    if head.softcap is not None:
        rows_of = (
            rows_of
            * (1 - (_target_logits(head, tokens, states[None])[0] / head.softcap).square())[:, None]
        )
    for _, weight, bias in head.slices():
        for at in range(0, len(states), _POSITIONS):
            rows = slice(at, at + _POSITIONS)
            logits = head.logits(states[rows], weight, bias)
            likely = (logits - normalizer[rows, None]).exp_()
            if head.softcap is not None:
                likely *= 1 - (logits / head.softcap).square()
            expected[rows].addmm_(likely, weight)
    return rows_of - expected


@torch.no_grad()
def curvature_probe(head: Head, states: Tensor, seed: int) -> Tensor:
    """A random direction (P, D) float32 at each of the final `states` (P, D); the same for the same
    seed.

    Its mean outer product is the curvature of KL(prediction || .) there, the Fisher information J'
    (diag p - p p') J of the logits' derivative J: random signs times a square root of the middle
    factor. Unlike the gradient of a sampled token, which is zero nearly always where a prediction
    is nearly certain, it varies little from draw to draw.
    """
    states = states.float()
    normalizer = log_normalizer(head, states)
    drawn, expected, total = (
        torch.zeros_like(states),
        torch.zeros_like(states),
        torch.zeros_like(normalizer),
    )
    generator = torch.Generator().manual_seed(seed)
    for _, weight, bias in head.slices():
        for at in range(0, len(states), _POSITIONS):
            rows = slice(at, at + _POSITIONS)
            logits = head.logits(states[rows], weight, bias)
            root = (logits - normalizer[rows, None]).div_(2).exp_()
            signed = root * torch.empty(root.shape).bernoulli_(generator=generator).mul_(2).sub_(
                1
            ).to(root.device)
            total[rows] += signed.sum(1)
            slope = 1.0 if head.softcap is None else 1 - (logits / head.softcap).square()
            drawn[rows].addmm_(signed.mul_(slope), weight)
            expected[rows].addmm_(root.square_().mul_(slope), weight)
    return drawn - total[:, None] * expected


def _likeliest(head: Head, states: Tensor) -> Tensor:
    """The token (P,) with the largest logit."""
    best = torch.full(states.shape[:1], -torch.inf, device=states.device)
    token = torch.zeros_like(best, dtype=torch.long)
    for start, weight, bias in head.slices():
        for at in range(0, len(states), _POSITIONS):
            rows = slice(at, at + _POSITIONS)
            peak, index = head.logits(states[rows], weight, bias).max(1)
            token[rows] = torch.where(peak > best[rows], index + start, token[rows])
            best[rows] = torch.maximum(peak, best[rows])
    return token
