import math

import pytest
import torch

from skgen.posteriors import BoxedPosterior
from skgen.posteriors.base import SMALLEST_VARIANCE
from skgen.posteriors.diagonal import LARGEST_LOG_VARIANCE
from skgen.posteriors.full import Full, FullPosterior
from tests.oracles import within
from tests.parts import model_from, normal


def parts(generator, n_components=3, n_rows=4):
    """A posterior, parameters of some rows, and the multivariate normals that they are."""
    posterior = Full().build(n_components)
    parameters = normal(n_rows, posterior.n_parameters, generator=generator)
    mean, log_variance, rest = parameters.split(
        [n_components, n_components, posterior.n_parameters - 2 * n_components], 1
    )
    factor = torch.eye(n_components, dtype=torch.float64).repeat(n_rows, 1, 1)
    factor[:, *torch.tril_indices(n_components, n_components, -1)] = rest
    factor = (0.5 * log_variance).exp().unsqueeze(-1) * factor
    return posterior, parameters, torch.distributions.MultivariateNormal(mean, scale_tril=factor)


def test_it_is_the_multivariate_normal_of_its_factor(generator):
    posterior, parameters, reference = parts(generator)
    assert isinstance(posterior, FullPosterior)
    noise = normal(5, 4, 3, generator=generator)
    draw = posterior.draw(parameters, noise)
    torch.testing.assert_close(draw.z, reference.loc + (reference.scale_tril @ noise.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(draw.log_prob, reference.log_prob(draw.z))
    mean, scale = posterior.mean_and_scale(parameters)
    torch.testing.assert_close(mean, reference.mean)
    torch.testing.assert_close(scale, reference.stddev)


def test_densities_at_any_point_under_all_posteriors(generator):
    posterior, parameters, reference = parts(generator)
    z = 5 + normal(6, 2, 3, generator=generator)
    expected = reference.log_prob(z.unsqueeze(-2))
    torch.testing.assert_close(posterior.log_probs(z, parameters), expected, rtol=1e-11, atol=1e-11)


def test_the_kl_to_a_standard_normal_prior_is_closed(generator):
    posterior, parameters, reference = parts(generator)
    model = model_from("gaussian", posterior=Full(), n_components=3, generator=generator)
    base = torch.distributions.MultivariateNormal(
        torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    )
    kl = model.closed_kl(posterior.draw(parameters, torch.zeros(1, 1, 3, dtype=torch.float64)))
    assert kl.shape == (4, 3)
    assert (kl >= 0).all()
    torch.testing.assert_close(kl.sum(-1), torch.distributions.kl_divergence(reference, base))


def test_dependence_is_the_kl_to_the_product_of_margins(generator):
    posterior, parameters, reference = parts(generator)
    draw = posterior.draw(parameters, normal(50000, 1, 3, generator=generator))
    margins = torch.distributions.Normal(reference.mean, reference.stddev)
    assert within(reference.log_prob(draw.z) - margins.log_prob(draw.z).sum(-1), draw.dependence.sum(-1))


def test_training_starts_with_independent_components(generator):
    model = model_from("gaussian", posterior=Full(), n_components=3, generator=generator)
    with torch.no_grad():
        model.reset(generator)
        model.initialize(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
        parameters = model.encode(normal(5, 3, generator=generator))
    assert (parameters[:, :6] != 0).all()
    assert (parameters[:, 6:] == 0).all()


def test_rows_far_from_all_others_overflow_nothing():
    posterior = Full().build(2)
    parameters = torch.tensor([[1.0, 2.0, 300.0, -300.0, 1e30]], requires_grad=True)
    draw = posterior.draw(parameters, torch.ones(1, 1, 2))
    assert torch.isfinite(draw.z).all()
    torch.testing.assert_close(draw.scale, torch.tensor([[math.exp(20), 1e6 * math.exp(-20)]]))
    draw.log_scale.sum().backward()
    assert torch.isfinite(parameters.grad).all()


def test_any_root_of_a_covariance_tells_the_parameters(generator):
    _, parameters, reference = parts(generator)
    rotation, _ = torch.linalg.qr(normal(4, 5, 3, generator=generator))
    for root in (reference.scale_tril, -reference.scale_tril, reference.scale_tril @ rotation.mT):
        torch.testing.assert_close(FullPosterior.from_root(reference.mean, root), parameters, rtol=1e-9, atol=1e-9)
    single = FullPosterior.from_root(torch.ones(2, 1), torch.tensor([[[-3.0]], [[0.5]]]))
    torch.testing.assert_close(single, torch.tensor([[1.0, math.log(9.0)], [1.0, math.log(0.25)]]))


@pytest.mark.parametrize("n_draws", [2, 3, 4, 200])
def test_it_is_matched_to_the_covariance_of_draws(generator, n_draws):
    """Where few draws leave directions without variance, that is raised to a tiny one."""
    z = normal(n_draws, 4, 3, generator=generator) @ normal(3, 3, generator=generator)
    posterior = Full().build(3)
    mean, log_diagonal, rest = posterior._split(posterior.matched(z))
    factor = torch.exp(log_diagonal).unsqueeze(-1) * (torch.eye(3).double() + rest)
    deviation = z - z.mean(0)
    expected = (deviation.permute(1, 2, 0) @ deviation.permute(1, 0, 2)) / n_draws
    torch.testing.assert_close(factor @ factor.mT, expected, rtol=0, atol=2 * SMALLEST_VARIANCE)
    torch.testing.assert_close(mean, z.mean(0))
    assert (torch.linalg.svdvals(factor).min(-1).values >= 0.99 * SMALLEST_VARIANCE**0.5).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e10, 1e25])
def test_a_component_of_the_draws_that_repeats_others_leaves_finite_densities_and_their_scales(generator, dtype, size):
    z = normal(64, 20, 2, generator=generator)
    z = torch.stack([size * z[..., 0], z[..., 1], size * z[..., 0] + z[..., 1], 3 * z[..., 1]], -1).to(dtype)
    posterior = Full().build(4)
    parameters = posterior.matched(z)
    assert parameters.isfinite().all()
    draw = posterior.draw(parameters, normal(5, 1, 4, generator=generator).to(dtype))
    assert draw.z.isfinite().all()
    assert draw.log_prob.isfinite().all()
    scale = posterior.mean_and_scale(parameters)[1]
    expected = z.std(0, correction=0).clamp(SMALLEST_VARIANCE**0.5, math.exp(0.5 * LARGEST_LOG_VARIANCE))
    torch.testing.assert_close(scale[:, 1], expected[:, 1], rtol=1e-5, atol=0)


@pytest.mark.parametrize("low", [-1.0, 2.0])
def test_in_a_box_it_has_densities_at_any_point(generator, low):
    posterior = BoxedPosterior(Full().build(2), low, low + 3)
    parameters = 0.5 * normal(4, posterior.n_parameters, generator=generator)
    draw = posterior.draw(parameters, normal(3, 4, 2, generator=generator))
    own = torch.diagonal(posterior.log_probs(draw.z, parameters), dim1=-2, dim2=-1)
    torch.testing.assert_close(own, draw.log_prob, rtol=1e-10, atol=1e-10)


def test_on_a_linear_gaussian_model_its_bound_attains_the_likelihood(generator):
    """The exact posterior of probabilistic PCA with loadings that are not orthogonal is correlated."""
    loading, variance = normal(4, 2, generator=generator), torch.tensor(0.3, dtype=torch.float64)
    x = normal(20, 4, generator=generator)
    precision = torch.eye(2, dtype=torch.float64) + loading.T @ loading / variance
    factor = torch.linalg.cholesky(torch.linalg.inv(precision))
    mean = x @ loading @ torch.linalg.inv(precision) / variance
    exact = torch.distributions.MultivariateNormal(
        torch.zeros(4, dtype=torch.float64), loading @ loading.T + variance * torch.eye(4, dtype=torch.float64)
    ).log_prob(x)
    full, diagonal = Full().build(2), model_from("gaussian", posterior="diagonal", generator=generator)
    assert abs(factor[1, 0]) > 0.01
    scale = torch.diagonal(factor)
    parameters = torch.cat([mean, (2 * scale.log()).expand(20, 2), (factor[1:, :1] / scale[1]).expand(20, 1)], 1)
    half = math.sqrt(2) * torch.eye(2, dtype=torch.float64)
    # These four draws have mean 0 and covariance I, so that the expectation of a quadratic function is exact.
    noise = torch.cat([half, -half]).unsqueeze(1)

    def bound(posterior, parameters):
        draw = posterior.draw(parameters, noise)
        likelihood = torch.distributions.Normal(draw.z @ loading.T, variance.sqrt()).log_prob(x).sum(-1).mean(0)
        return likelihood - diagonal.closed_kl(draw).sum(-1)

    torch.testing.assert_close(bound(full, parameters), exact, rtol=1e-12, atol=1e-12)
    # The best independent components have the inverse diagonal of the precision for their variances.
    best = -torch.log(torch.diagonal(precision)).expand(20, 2)
    gap = exact - bound(diagonal.posterior, torch.cat([mean, best], 1))
    expected = 0.5 * (torch.log(torch.diagonal(precision)).sum() - torch.linalg.slogdet(precision)[1])
    torch.testing.assert_close(gap, expected.expand(20), rtol=1e-10, atol=1e-10)
    assert expected > 1e-3


def test_matched_parameters_have_the_dtype_of_the_draws_whatever_that_of_torch_is(generator):
    z = normal(8, 5, 3, generator=generator).float()
    torch.set_default_dtype(torch.float64)
    try:
        assert FullPosterior(3).matched(z).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
