"""Divergences without whole distributions against the plain formulas in float64."""

from __future__ import annotations

import pytest
import torch

from flab_deploy.importance.divergence import (
    Head,
    curvature_probe,
    errors_per_position,
    kl_per_position,
    log_likelihood_gradient,
    nll_per_position,
    reference_of,
)

POSITIONS, VOCABULARY, HIDDEN = 700, 9000, 16  # more than one slice of either


def head(bias: bool = False, scale: float = 1.0, softcap: float | None = None) -> Head:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(VOCABULARY, HIDDEN, generator=generator)
    return Head(
        weight=weight, bias=weight[:, 0].clone() if bias else None, scale=scale, softcap=softcap
    )


HEADS = [head(), head(bias=True, scale=0.25), head(softcap=5.0)]


def states(seed: int) -> torch.Tensor:
    return torch.randn(POSITIONS, HIDDEN, generator=torch.Generator().manual_seed(seed))


def log_probabilities(of: Head, at: torch.Tensor) -> torch.Tensor:
    logits = at.double() @ of.weight.double().T
    logits = (logits if of.bias is None else logits + of.bias.double()) * of.scale
    return (
        logits if of.softcap is None else of.softcap * torch.tanh(logits / of.softcap)
    ).log_softmax(-1)


@pytest.mark.parametrize("of", HEADS)
def test_costs_are_the_plain_formulas(of: Head) -> None:
    original, candidates = states(1), torch.stack([states(2), states(1) + 0.1 * states(3)])
    targets = torch.arange(POSITIONS) * 12
    reference = reference_of(of, original, targets)
    log_p = log_probabilities(of, original)
    for index, candidate in enumerate(candidates):
        log_q = log_probabilities(of, candidate)
        kl = (log_p.exp() * (log_p - log_q)).sum(-1)
        nll = -log_q[torch.arange(POSITIONS), targets]
        torch.testing.assert_close(
            kl_per_position(of, reference, candidates)[index], kl, atol=2e-5, rtol=1e-5
        )
        torch.testing.assert_close(
            nll_per_position(of, reference, candidates)[index], nll, atol=2e-5, rtol=1e-5
        )
        wrong = (log_q.argmax(-1) != targets).double()
        assert torch.equal(errors_per_position(of, reference, candidates)[index], wrong)


@pytest.mark.parametrize("of", HEADS)
def test_a_model_does_not_diverge_from_itself(of: Head) -> None:
    reference = reference_of(of, states(1), torch.zeros(POSITIONS, dtype=torch.long))
    assert abs(float(kl_per_position(of, reference, states(1)[None]).mean())) < 1e-7


@pytest.mark.parametrize("of", HEADS)
def test_the_gradient_of_the_likelihood_is_autograds(of: Head) -> None:
    at = states(1)[:20].double().requires_grad_(True)
    tokens = torch.arange(20) * 400
    log_probabilities(of, at)[torch.arange(20), tokens].sum().backward()
    expected = at.grad
    assert expected is not None
    found = log_likelihood_gradient(of, at.detach().float(), tokens)
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "of",
    [
        Head(
            weight=torch.tensor([[0.0, 1.0], [1.0, -1.0], [2.0, 0.5]]),
            bias=None,
            scale=0.5,
            softcap=softcap,
        )
        for softcap in (None, 1.5)
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_probes_spread_as_the_divergence_curves(of: Head, temperature: float) -> None:
    tempered, at = of.at(temperature), torch.tensor([0.7, -0.4])
    start = (log_probabilities(of, at[None]) * (1 / temperature)).log_softmax(-1)[0]

    def divergence(states: torch.Tensor) -> torch.Tensor:
        moved = (log_probabilities(of, states[None]) / temperature).log_softmax(-1)[0]
        return (start.exp() * (start - moved)).sum()

    expected = torch.autograd.functional.hessian(divergence, at.double())
    probes = curvature_probe(tempered, at.expand(40_000, 2), seed=5)
    spread = (probes.T @ probes).double() / len(probes)
    assert float((spread - expected).norm() / expected.norm()) < 0.02
    assert torch.equal(probes, curvature_probe(tempered, at.expand(40_000, 2), seed=5))
