"""Tests of skgen.objectives.density_ratio."""

import math

import torch
from torch.distributions import Normal

from skgen._terms import Terms
from skgen.objectives.density_ratio import PseudoELBO, classification_losses
from skgen.objectives.importance import ELBO
from tests.parts import normal


def expected_loss(scores, q, r):
    """The mean loss of a classifier over draws of two densities, all on one grid of spacing 0.001."""
    of_q, of_r = classification_losses(scores, torch.zeros_like(scores)), classification_losses(0 * scores, scores)
    half = 0.5 * math.log(2)  # what a score of 0 adds
    return 0.001 * (q * (of_q - half) + r * (of_r - half)).sum()


def test_the_best_classifier_is_the_log_ratio_and_its_loss_tells_the_divergence():
    z = torch.arange(-12, 12, 0.001, dtype=torch.float64)
    q, r = Normal(1.0, 0.5).log_prob(z), Normal(-0.5, 1.5).log_prob(z)
    scores = (q - r).requires_grad_()
    loss = expected_loss(scores, q.exp(), r.exp())
    (gradient,) = torch.autograd.grad(loss, scores)
    assert gradient.abs().max() < 1e-12
    middle = torch.logaddexp(q, r) - math.log(2)
    divergence = 0.5 * 0.001 * (q.exp() * (q - middle) + r.exp() * (r - middle)).sum()
    torch.testing.assert_close(
        loss.detach(), math.log(2) - divergence, rtol=0, atol=1e-8
    )  # softplus is the identity above 20
    assert expected_loss(scores.detach() + 0.1, q.exp(), r.exp()) > loss


def test_the_pseudo_bound_is_the_elbo_under_a_name_of_its_own(generator):
    terms = Terms(*normal(3, 2, 4, generator=generator), n_draws=2)
    report, elbo = PseudoELBO().report(terms), ELBO().report(terms)
    assert list(report) == ["pseudo", "reconstruction", "kl"]
    assert torch.equal(report["pseudo"], elbo["elbo"])
    assert PseudoELBO().cotangents(terms, 0.3) == ELBO().cotangents(terms, 0.3)
