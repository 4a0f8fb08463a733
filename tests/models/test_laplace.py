"""The normal approximations of :mod:`skgen.models.laplace`, against exact posteriors and SciPy."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.decomposition import PCA

from skgen import priors
from skgen._trace import differentiated
from skgen.models.laplace import SMALLEST_PRECISION, curvature, laplace, log_joint
from skgen.training.row_search import refine
from tests.oracles import linear_gaussian_log_prob, process_state
from tests.parts import LIKELIHOOD_SPECS, REAL_PRIOR_SPECS, model_from, normal, rows_from


def modes(function, start):
    """Where the search of each row ends."""
    return refine(functools.partial(differentiated, function), start, n_steps=300, tol=1e-20)


def inferred(model, x):
    """Laplace parameters of standardised rows."""
    function = log_joint(model, x)
    return laplace(function, modes(function, x.new_zeros(len(x), model.posterior.n_components)))


def covariances(parameters, n_components):
    """Means and covariances of normal distributions, by their definition."""
    mean, log_variance, rest = parameters.tensor_split((n_components, 2 * n_components), -1)
    factor = torch.eye(n_components).to(parameters).repeat(len(parameters), 1, 1)
    factor[:, *torch.tril_indices(n_components, n_components, -1)] = rest
    factor = torch.exp(0.5 * log_variance).unsqueeze(-1) * factor
    return mean, factor @ factor.mT


def linear(likelihood, generator, n_components=3, n_features=5):
    """A model with a linear decoder, its loadings (features, components) and its offset."""
    model = model_from(
        likelihood, posterior="full", n_features=n_features, n_components=n_components, hidden=(), generator=generator
    ).requires_grad_(False)
    loading, offset = (part.detach() for part in model.decoder.head)
    return model, loading.T, offset


def test_it_is_the_posterior_of_a_linear_gaussian_model(generator):
    model, loading, offset = linear("gaussian", generator)
    x = rows_from(model, 6, generator)
    variance = model.likelihood.noise_variance().detach()
    precision = torch.eye(3).double() + loading.T @ (loading / variance.unsqueeze(-1))
    mean, covariance = covariances(inferred(model, x), 3)
    torch.testing.assert_close(covariance, torch.linalg.inv(precision).expand(6, 3, 3), rtol=1e-10, atol=1e-10)
    expected = ((x - offset) / variance) @ loading @ torch.linalg.inv(precision)
    torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-6)


def test_every_draw_has_the_weight_p_of_x_in_a_linear_gaussian_model(generator):
    model, loading, offset = linear("gaussian", generator)
    x = rows_from(model, 6, generator)
    terms = model.terms_given(inferred(model, x), x, normal(20, 6, 3, generator=generator))
    exact = linear_gaussian_log_prob(x, loading, offset, model.likelihood.noise_variance().detach())
    torch.testing.assert_close(terms.log_weight, exact.expand(20, 6), rtol=1e-6, atol=1e-6)


def test_the_bound_of_probabilistic_pca_is_the_likelihood_that_scikit_learn_finds(generator):
    rows = normal(50, 2, generator=generator) @ normal(2, 4, generator=generator) + normal(50, 4, generator=generator)
    pca = PCA(2).fit(rows.numpy())
    loading = torch.tensor(pca.components_.T * np.sqrt(pca.explained_variance_ - pca.noise_variance_))
    mean, scale = torch.tensor(pca.mean_), pca.noise_variance_**0.5

    def joint(y):
        outputs = torch.distributions.Normal(y @ loading.T + mean, scale)
        return outputs.log_prob(rows).sum(-1) - 0.5 * y.square().sum(-1) - np.log(2 * np.pi)

    mode = modes(joint, torch.zeros(50, 2).double())
    _, covariance = covariances(laplace(joint, mode), 2)
    # Laplace's approximation of the normaliser, which is exact for a normal density.
    found = joint(mode) + np.log(2 * np.pi) + 0.5 * torch.linalg.slogdet(covariance)[1]
    torch.testing.assert_close(found, torch.tensor(pca.score_samples(rows.numpy())), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_components", [1, 2])
def test_logistic_posteriors_have_the_mode_and_the_curvature_that_scipy_finds(n_components, generator):
    model, loading, offset = linear("bernoulli", generator, n_components)
    x = rows_from(model, 5, generator)
    mean, covariance = covariances(inferred(model, x), n_components)
    loading, offset = loading.numpy(), offset.numpy()
    for row, m, s in zip(x.numpy(), mean.numpy(), covariance.numpy(), strict=True):

        def energy(z, row=row):
            field = loading @ z + offset
            return np.logaddexp(0, field).sum() - row @ field + 0.5 * z @ z

        def gradient(z, row=row):
            return loading.T @ (expit(loading @ z + offset) - row) + z

        best = minimize(energy, np.zeros(n_components), jac=gradient, method="BFGS", options={"gtol": 1e-10}).x
        share = expit(loading @ best + offset)
        hessian = np.eye(n_components) + loading.T @ ((share * (1 - share))[:, None] * loading)
        np.testing.assert_allclose(m, best, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(s, np.linalg.inv(hessian), rtol=1e-6, atol=1e-6)


def assert_curvature_is_that_of_differences(model, generator, step=1e-5):
    x = rows_from(model, 3, generator)
    function = log_joint(model.requires_grad_(False), x)
    point = 0.3 * normal(3, 2, generator=generator)
    columns = []
    for direction in torch.eye(2).double():
        ahead, behind = (differentiated(function, point + sign * step * direction)[1] for sign in (1, -1))
        columns.append((behind - ahead) / (2 * step))
    torch.testing.assert_close(curvature(function, point), torch.stack(columns, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", REAL_PRIOR_SPECS)
def test_every_prior_has_second_derivatives(spec, generator):
    model = model_from("bernoulli", prior=spec, posterior="full", generator=generator)
    assert_curvature_is_that_of_differences(model, generator)


@pytest.mark.parametrize("spec", LIKELIHOOD_SPECS)
def test_every_likelihood_has_second_derivatives(spec, generator):
    assert_curvature_is_that_of_differences(model_from(spec, posterior="full", generator=generator), generator)


@pytest.mark.parametrize("spec", REAL_PRIOR_SPECS)
def test_weights_of_draws_are_level_to_the_second_order_where_the_noise_is_zero(spec, generator):
    """Its parameters are those of the model's own posterior, in a box too."""
    # Splines have kinks, and modes in them, where nothing is level.
    spec = replace(spec, transform="affine") if isinstance(spec, priors.Flow) else spec
    model = model_from("bernoulli", prior=spec, posterior="full", generator=generator)
    x = rows_from(model.requires_grad_(False), 6, generator)
    parameters, origin = inferred(model, x), torch.zeros(6, 2).double()

    def log_weight(noise):
        return model.terms_given(parameters, x, noise.unsqueeze(0)).log_weight[0]

    torch.testing.assert_close(differentiated(log_weight, origin)[1], origin, rtol=0, atol=1e-5)
    level = torch.zeros(6, 2, 2).double()
    torch.testing.assert_close(curvature(log_weight, origin), level, rtol=0, atol=1e-9)


def test_a_row_does_not_depend_on_the_others(generator):
    model = model_from("bernoulli", prior="mixture", posterior="full", n_components=3, generator=generator)
    x = rows_from(model.requires_grad_(False), 8, generator)
    together = inferred(model, x)
    for i in range(8):
        torch.testing.assert_close(inferred(model, x[i : i + 1])[0], together[i], rtol=1e-9, atol=1e-9)
    order = torch.randperm(8, generator=generator)
    torch.testing.assert_close(inferred(model, x[order]), together[order], rtol=1e-9, atol=1e-9)


def test_beside_a_mode_negative_curvatures_count_by_their_size_and_small_ones_are_raised():
    curvatures = torch.tensor([[2.0, 3.0], [2.0, -3.0], [2.0, 1e-9], [0.0, 0.0]]).double()

    def function(y):
        return -0.5 * (curvatures * y.square()).sum(-1)

    expected = 1 / curvatures.abs().clamp_min(SMALLEST_PRECISION)
    _, covariance = covariances(laplace(function, torch.zeros(4, 2).double()), 2)
    torch.testing.assert_close(covariance, torch.diag_embed(expected))


def test_a_row_without_a_finite_density_gets_the_identity_and_harms_no_other():
    def function(y):
        return -1.5 * y.square().sum(-1) * torch.tensor([1.0, torch.nan]).double()

    mean, covariance = covariances(laplace(function, torch.ones(2, 2).double()), 2)
    torch.testing.assert_close(covariance, torch.stack([torch.eye(2) / 3, torch.eye(2)]).double())
    assert torch.equal(mean, torch.ones(2, 2).double())


def test_a_function_that_is_linear_in_a_component_has_no_curvature_along_it():
    found = curvature(lambda y: 2 * y[:, 0], torch.ones(3, 2).double())
    assert torch.equal(found, torch.zeros(3, 2, 2).double())


def test_precisions_of_very_unequal_size_keep_their_digits_in_float32(generator):
    basis, _ = torch.linalg.qr(normal(4, 4, generator=generator))
    sizes = torch.tensor([1.0, 10.0, 1e2, 1e4]).double()
    precision = (basis * sizes) @ basis.T

    def function(y):
        return -0.5 * torch.einsum("bi,ij,bj->b", y, precision.to(y), y)

    _, covariance = covariances(laplace(function, torch.zeros(1, 4)), 4)
    torch.testing.assert_close(covariance[0].double(), torch.linalg.inv(precision), rtol=0, atol=1e-2)
    assert covariance.dtype == torch.float32


def test_global_state_is_untouched(generator):
    model, *_ = linear("gaussian", generator)
    x, before = rows_from(model, 2, generator), process_state()
    inferred(model, x)
    assert process_state() == before
