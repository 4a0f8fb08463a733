import math

import numpy as np
import pytest
import torch

from skgen.posteriors import FullPosterior
from skgen.posteriors.base import Draw
from skgen.priors import Normal
from skgen.priors.learned_normal import SMALLEST_VARIANCE, LearnedNormalPrior
from tests.estimators.configurations import rows, vae
from tests.parts import normal, perturbed

D = 3


@pytest.fixture
def prior(generator):
    return perturbed(Normal(learned=True).build(D), generator)


def full_posteriors(generator, n_draws=1, n_rows=7):
    """Draws of correlated posteriors, with the moments of their margins."""
    posterior = FullPosterior(D)
    parameters = normal(n_rows, posterior.n_parameters, generator=generator)
    return posterior.draw(parameters, normal(n_draws, n_rows, D, generator=generator))


def test_it_starts_as_the_standard_normal(generator):
    prior, z = Normal(learned=True).build(D), normal(5, D, generator=generator)
    assert isinstance(prior, LearnedNormalPrior)
    with torch.no_grad():
        torch.testing.assert_close(prior.log_prob(z), Normal().build(D).log_prob(z))
        torch.testing.assert_close(prior.normal_kl(z, 0.1 * z), Normal().build(D).normal_kl(z, 0.1 * z))


def test_its_kl_is_that_of_two_normal_distributions(prior, generator):
    mean, log_scale = normal(2, 4, D, generator=generator)
    exact = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_scale.exp()),
        torch.distributions.Normal(prior.mean, torch.exp(prior.log_variance).sqrt()),
    )
    torch.testing.assert_close(prior.normal_kl(mean, log_scale), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_the_m_step_is_the_minimum_of_the_kl_of_the_posteriors(prior, generator, weighted):
    found = full_posteriors(generator)
    weight = torch.rand(7, dtype=torch.float64, generator=generator) if weighted else None
    with torch.no_grad():
        prior.maximise(prior.statistics(found, weight))
    share = torch.ones(7, dtype=torch.float64) if weight is None else weight
    kl = (share @ prior.closed_kl(found)).sum()
    for gradient in torch.autograd.grad(kl, [prior.mean, prior.log_variance]):
        # Sums of seven terms of some ten.
        assert gradient.abs().max() < 1e-12


@torch.no_grad()
def test_the_m_step_gives_the_moments_of_the_mixture_of_the_posteriors(prior, generator):
    found = full_posteriors(generator)
    prior.maximise(prior.statistics(found))
    mean = found.mean.mean(0)
    torch.testing.assert_close(prior.mean.data, mean)
    variance = found.scale.square().mean(0) + found.mean.var(0, correction=0)
    torch.testing.assert_close(prior.log_variance.exp().data, variance)


@torch.no_grad()
def test_weights_of_draws_are_those_of_another_distribution_whose_moments_are_the_draws_own(prior, generator):
    found = full_posteriors(generator, n_draws=4)
    weight = torch.softmax(normal(4, 7, generator=generator), 0)
    prior.maximise(prior.statistics(found, weight))
    mean = (weight.unsqueeze(-1) * found.z).sum((0, 1)) / 7
    variance = (weight.unsqueeze(-1) * (found.z - mean).square()).sum((0, 1)) / 7
    torch.testing.assert_close(prior.mean.data, mean)
    torch.testing.assert_close(prior.log_variance.exp().data, variance)


@torch.no_grad()
def test_a_single_draw_leaves_everything_finite(prior):
    prior.maximise(prior.statistics(Draw(torch.full((1, 1, D), 3.0), torch.zeros(1, 1), None, None, None)))
    torch.testing.assert_close(prior.mean.data, torch.full((D,), 3.0).double())
    torch.testing.assert_close(prior.log_variance.data, torch.full((D,), math.log(SMALLEST_VARIANCE)).double())
    assert prior.log_prob(torch.full((2, D), 4.0)).isfinite().all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_autoencoder_learns_it_by_gradients():
    X = rows(200)
    fitted = vae(prior=Normal(learned=True), max_iter=40, learning_rate=0.01, batch_size=50).fit(X)
    assert np.mean(fitted.history_["elbo"][-5:]) > np.mean(fitted.history_["elbo"][:5])
    assert np.ptp(fitted.weights_["prior.mean"]) > 0
    assert np.ptp(fitted.weights_["prior.log_variance"]) > 0
    assert fitted.kl_per_component_.shape == (2,)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fitted_afterwards_it_has_the_moments_of_the_posteriors():
    X = rows(200)
    fitted = vae(prior=Normal(learned=True), prior_fit="aggregate", max_iter=20, learning_rate=0.01).fit(X)
    plain = vae(max_iter=20, learning_rate=0.01).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), plain.transform(X))
    z, std = fitted.encode(X, return_std=True)
    # 4200 draws, of a standard deviation of about one each: five standard errors of means, and of log-variances.
    mean, variance = fitted.weights_["prior.mean"], np.exp(fitted.weights_["prior.log_variance"])
    second = (std**2).mean(axis=0) + z.var(axis=0)
    np.testing.assert_array_less(np.abs(mean - z.mean(axis=0)) / np.sqrt(second), 5 / np.sqrt(4200))
    np.testing.assert_array_less(np.abs(np.log(variance / second)), 5 * np.sqrt(2 / 4200))
    assert fitted.score(X) > plain.score(X)
