import math

import pytest
import scipy.stats
import torch

from skgen.distributions.low_rank import (
    capacity,
    low_rank_log_prob,
    low_rank_partial,
    posterior_covariance,
    posterior_draw,
    posterior_mean,
    projected,
    squared_distances,
)
from skgen.distributions.normal import standard_normal
from tests.parts import normal

# Sums of a few hundred products of numbers of order one to a hundred.
ROUNDING = {"rtol": 1e-11, "atol": 1e-11}


def parts(leading, n_features, n_factors, generator, *, isotropic=False):
    mean = 2 * normal(*leading, n_features, generator=generator)
    loadings = normal(*leading, n_features, n_factors, generator=generator)
    noise = torch.exp(normal(*leading, 1 if isotropic else n_features, generator=generator))
    return mean, loadings, noise


def dense(loadings, noise):
    return loadings @ loadings.mT + torch.diag_embed(noise.expand(loadings.shape[:-1]))


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("n_factors", [0, 1, 3, 9])
def test_the_log_density_is_that_of_the_dense_normal(n_factors, isotropic, generator):
    mean, loadings, noise = parts((), 6, n_factors, generator, isotropic=isotropic)
    x = 3 * normal(20, 6, generator=generator)
    expected = scipy.stats.multivariate_normal(mean.numpy(), dense(loadings, noise).numpy()).logpdf(x.numpy())
    torch.testing.assert_close(low_rank_log_prob(x, mean, loadings, noise), torch.tensor(expected), **ROUNDING)


@pytest.mark.parametrize("isotropic", [False, True])
def test_components_together_are_components_one_by_one(isotropic, generator):
    mean, loadings, noise = parts((2, 3), 6, 2, generator, isotropic=isotropic)
    x = normal(20, 6, generator=generator)
    together, shared = low_rank_log_prob(x, mean, loadings, noise), capacity(loadings, noise)
    means = posterior_mean(projected(x, mean, shared), shared.factor)
    assert together.shape == (2, 3, 20)
    for i in range(2):
        for k in range(3):
            one = capacity(loadings[i, k], noise[i, k])
            torch.testing.assert_close(
                together[i, k], low_rank_log_prob(x, mean[i, k], loadings[i, k], noise[i, k]), **ROUNDING
            )
            torch.testing.assert_close(
                means[i, k], posterior_mean(projected(x, mean[i, k], one), one.factor), **ROUNDING
            )


def test_squared_distances_are_sums_of_squares(generator):
    mean, _, noise = parts((3,), 6, 2, generator)
    x = normal(20, 6, generator=generator)
    expected = ((x - mean[:, None]).square() / noise[:, None]).sum(-1)
    torch.testing.assert_close(squared_distances(x, mean, noise), expected, **ROUNDING)


def test_the_posterior_is_that_of_the_joint_normal(generator):
    mean, loadings, noise = parts((), 6, 2, generator)
    x = normal(20, 6, generator=generator)
    shared, gain = capacity(loadings, noise), torch.linalg.solve(dense(loadings, noise), loadings).T
    torch.testing.assert_close(
        posterior_mean(projected(x, mean, shared), shared.factor), (x - mean) @ gain.T, **ROUNDING
    )
    torch.testing.assert_close(
        posterior_covariance(shared.factor), torch.eye(2, dtype=torch.float64) - gain @ loadings, **ROUNDING
    )


def test_small_noise_costs_no_digits(generator):
    _, loadings, _ = parts((), 6, 2, generator)
    mean, noise = torch.zeros(6, dtype=torch.float64), torch.full((1,), 1e-12, dtype=torch.float64)
    z = normal(20, 2, generator=generator)
    residual = 1e-6 * normal(20, 6, generator=generator)
    basis = torch.linalg.qr(loadings).Q
    residual -= residual @ basis @ basis.T
    # The posterior mean is z to a relative 1e-12, the loadings being of order one.
    expected = residual.square().sum(-1) / 1e-12 + z.square().sum(-1)
    given = -2 * low_rank_log_prob(z @ loadings.T + residual, mean, loadings, noise)
    constant = capacity(loadings, noise).log_determinant + 6 * math.log(2 * math.pi)
    # Rows are rounded to 1e-16 of their size, 1e-10 of a standard deviation of the noise.
    torch.testing.assert_close(given - constant, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("leading", [(), (3,)])
@pytest.mark.parametrize("isotropic", [False, True])
def test_missing_entries_are_integrated_out(isotropic, leading, generator):
    mean, loadings, noise = parts(leading, 5, 2, generator, isotropic=isotropic)
    patterns = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]]).bool()
    index = torch.tensor([0, 0, 1, 2, 3])
    x = normal(5, 5, generator=generator) * patterns[index]
    partial = low_rank_partial(x, patterns, index, mean, loadings, noise)
    covariance = dense(loadings, noise)
    for k in range(leading[0] if leading else 1):
        at = (k,) if leading else ()
        for row, pattern in enumerate(patterns[index]):
            m, s, w = mean[at][pattern], covariance[at][pattern][:, pattern], loadings[at][pattern]
            gain = torch.linalg.solve(s, w).T
            log_prob = torch.zeros((), dtype=torch.float64)
            if pattern.any():
                log_prob = torch.distributions.MultivariateNormal(m, s).log_prob(x[row, pattern])
            torch.testing.assert_close(partial.log_prob[at][row], log_prob, **ROUNDING)
            torch.testing.assert_close(partial.mean[at][row], gain @ (x[row, pattern] - m), **ROUNDING)
            expected = torch.eye(2, dtype=torch.float64) - gain @ w
            torch.testing.assert_close(posterior_covariance(partial.factor[at][row]), expected, **ROUNDING)


@pytest.mark.parametrize("leading", [(), (2,)])
def test_gradients_are_those_of_the_dense_normal(leading, generator):
    arguments = [part.requires_grad_() for part in parts(leading, 4, 2, generator)]
    mean, loadings, noise = arguments
    x = normal(7, 4, generator=generator)
    law = torch.distributions.MultivariateNormal(mean, dense(loadings, noise))
    expected = torch.autograd.grad(law.log_prob(x[:, None] if leading else x).sum(), arguments)
    whole, index = torch.ones(1, 4).bool(), torch.zeros(7, dtype=torch.long)
    for value in (
        low_rank_log_prob(x, mean, loadings, noise),
        low_rank_partial(x, whole, index, mean, loadings, noise).log_prob,
    ):
        for given, wanted in zip(torch.autograd.grad(value.sum(), arguments), expected, strict=True):
            torch.testing.assert_close(given, wanted, **ROUNDING)


@pytest.mark.parametrize("shared", [False, True])
def test_draws_of_factors_are_their_means_and_noise_of_their_covariance(shared, generator):
    _, loadings, noise = parts((1 if shared else 7,), 5, 3, generator)
    factor, mean = capacity(loadings, noise).factor, normal(7, 3, generator=generator)
    drawn = posterior_draw(mean, factor[0] if shared else factor, torch.Generator().manual_seed(0))
    # L' times the deviations is noise of covariance L' M^-1 L = I.
    whitened = (factor.mT @ (drawn - mean).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(whitened, standard_normal(mean, torch.Generator().manual_seed(0)), **ROUNDING)
