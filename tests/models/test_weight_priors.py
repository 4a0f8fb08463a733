import pytest
import torch
from scipy.special import digamma
from scipy.stats import beta, dirichlet
from torch.distributions import Beta, Dirichlet, kl_divergence

from skgen.models.weight_priors import WEIGHT_PRIORS, DirichletProcessWeights, DirichletWeights, dirichlet_divergence
from tests.oracles import within
from tests.parts import normal

COUNT = torch.tensor([3.5, 0.0, 7.25, 1.0, 0.125], dtype=torch.float64)
# A few dozen special functions of numbers of order one.
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}

EVERY_PRIOR = pytest.mark.parametrize("name", sorted(WEIGHT_PRIORS))


def drawn_weights(prior, posterior, n_draws):
    """Draws of the weights under q, (n_draws, K), by SciPy."""
    if isinstance(prior, DirichletWeights):
        return torch.from_numpy(dirichlet.rvs(posterior.numpy(), size=n_draws, random_state=0))
    sticks = torch.from_numpy(beta.rvs(*posterior.numpy(), size=(n_draws, posterior.shape[1]), random_state=0))
    left = torch.cumprod(1 - sticks, 1)
    return sticks * torch.cat([torch.ones_like(left[:, :1]), left[:, :-1]], 1)


@EVERY_PRIOR
def test_expected_weights_and_their_logarithms_are_the_means_of_draws(name):
    prior = WEIGHT_PRIORS[name](0.7)
    posterior = prior.posterior(COUNT)
    draws = drawn_weights(prior, posterior, 20000)
    expected = prior.expected(posterior)
    scale = 1.0 if name == "dirichlet_process" else expected.sum()
    assert within(draws, expected / scale)
    assert within(draws.log(), prior.expected_log(posterior))


@EVERY_PRIOR
def test_the_posterior_of_no_rows_is_the_prior_and_diverges_by_nothing(name):
    prior = WEIGHT_PRIORS[name](0.7)
    posterior = prior.posterior(torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(prior.divergence(posterior), torch.zeros((), dtype=torch.float64), **ROUNDING)


@EVERY_PRIOR
def test_the_posterior_has_the_stated_shape(name):
    prior = WEIGHT_PRIORS[name](0.7)
    assert prior.posterior(COUNT).shape == prior.shape(5)


@EVERY_PRIOR
def test_the_posterior_maximises_expected_log_weights_minus_the_divergence(name):
    prior = WEIGHT_PRIORS[name](0.7)

    def bound(logs):
        q = logs.exp()
        return COUNT @ prior.expected_log(q) - prior.divergence(q)

    best = prior.posterior(COUNT).log().requires_grad_()
    gradient = torch.autograd.grad(bound(best), best)[0]
    torch.testing.assert_close(gradient, torch.zeros_like(best), **ROUNDING)
    noise = torch.Generator().manual_seed(0)
    for _ in range(10):
        assert bound(best + 0.1 * normal(*best.shape, generator=noise)) < bound(best)


def test_the_divergence_of_a_dirichlet_is_torchs_own():
    prior = DirichletWeights(0.7)
    posterior = prior.posterior(COUNT)
    expected = kl_divergence(Dirichlet(posterior), Dirichlet(torch.full_like(posterior, 0.7)))
    torch.testing.assert_close(prior.divergence(posterior), expected, **ROUNDING)


def test_the_divergence_of_a_dirichlet_process_is_that_of_its_sticks():
    prior = DirichletProcessWeights(0.7)
    posterior = prior.posterior(COUNT)
    one = torch.ones(5, dtype=torch.float64)
    expected = kl_divergence(Beta(posterior[0], posterior[1]), Beta(one, 0.7 * one)).sum()
    torch.testing.assert_close(prior.divergence(posterior), expected, **ROUNDING)


def test_divergences_of_dirichlets_keep_leading_axes():
    generator = torch.Generator().manual_seed(0)
    a, b = normal(3, 2, 4, generator=generator).exp(), normal(4, generator=generator).exp()
    torch.testing.assert_close(
        dirichlet_divergence(a, b), kl_divergence(Dirichlet(a), Dirichlet(b.expand_as(a))), **ROUNDING
    )


def test_weights_of_a_dirichlet_process_leave_what_later_pieces_get():
    prior = DirichletProcessWeights(2.0)
    weights = prior.expected(prior.posterior(torch.zeros(5, dtype=torch.float64)))
    torch.testing.assert_close(weights, (2 / 3) ** torch.arange(5, dtype=torch.float64) / 3, **ROUNDING)


def test_expected_logarithms_of_dirichlet_weights_are_digammas():
    logs = DirichletWeights(0.5).expected_log(torch.tensor([1.5, 2.5], dtype=torch.float64))
    torch.testing.assert_close(logs, torch.from_numpy(digamma([1.5, 2.5]) - digamma(4.0)), **ROUNDING)
