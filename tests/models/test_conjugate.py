import pytest
import torch
from scipy.stats import dirichlet, invgamma, invwishart, multivariate_normal

from skgen.distributions.covariance import COVARIANCES, Full
from skgen.models.conjugate import ConjugateTerms, mode_of_weights
from tests.parts import normal

K, D = 3, 4
DEGREES, KAPPA, CONCENTRATION = 7.5, 0.6, 2.5
# Differences of log-densities of order a hundred.
ROUNDING = {"rtol": 1e-11, "atol": 1e-11}


@pytest.fixture(params=sorted(COVARIANCES))
def structure(request):
    return COVARIANCES[request.param]


def drawn(structure, generator):
    """Log-weights, means and covariances."""
    root = normal(structure.n_groups(K), D, D, generator=generator)
    covariance = structure.from_matrices(root @ root.mT + 0.5 * torch.eye(D, dtype=torch.float64))
    log_weights = torch.log_softmax(normal(K, generator=generator), 0)
    return log_weights, 2 * normal(K, D, generator=generator), covariance


def terms_of(structure, generator):
    """A prior, and the scale of its covariances: a matrix, or variances, or one number."""
    root = normal(D, D + 2, generator=generator)
    matrix = root @ root.T
    scatter = structure.pack(structure.from_matrices(matrix.unsqueeze(0)))[0]
    if isinstance(structure, Full):
        scale = matrix
    else:
        scale = scatter.sum() if structure.pooled else scatter
        scatter = scatter if not structure.pooled else scale.expand(D) / D
    count = structure.prior_count(DEGREES, D, K)
    return ConjugateTerms(CONCENTRATION, KAPPA, normal(D, generator=generator), count, scatter), scale


def density_of_covariance(structure, covariance, scale):
    """Log-density of one covariance by SciPy."""
    if isinstance(structure, Full):
        return invwishart(DEGREES, scale.numpy()).logpdf(covariance.numpy())
    if structure.pooled:
        return invgamma(DEGREES / 2, scale=float(scale) / 2).logpdf(float(covariance[0]))
    return invgamma(DEGREES / 2, scale=scale.numpy() / 2).logpdf(covariance.numpy()).sum()


def density(structure, terms, scale, log_weights, means, covariances):
    """Log-density of all parameters by SciPy."""
    weights = log_weights.exp() / log_weights.exp().sum()
    value = dirichlet([CONCENTRATION] * K).logpdf(weights.numpy())
    value += sum(density_of_covariance(structure, each, scale) for each in covariances)
    matrices = structure.matrices(covariances).expand(K, D, D)
    for mean, matrix in zip(means, matrices, strict=True):
        value += multivariate_normal(terms.mean.numpy(), matrix.numpy() / KAPPA).logpdf(mean.numpy())
    return torch.tensor(value, dtype=torch.float64)


def log_density(structure, terms, log_weights, means, covariances):
    return terms.log_density(structure, log_weights, means, *structure.precision(covariances))


def test_differences_of_log_densities_are_those_of_the_named_distributions(structure, generator):
    terms, scale = terms_of(structure, generator)
    first, second = drawn(structure, generator), drawn(structure, generator)
    found = log_density(structure, terms, *first) - log_density(structure, terms, *second)
    expected = density(structure, terms, scale, *first) - density(structure, terms, scale, *second)
    torch.testing.assert_close(found, expected, **ROUNDING)


def test_log_densities_can_be_differentiated(structure, generator):
    terms, _ = terms_of(structure, generator)
    log_weights, means, covariances = drawn(structure, generator)
    numbers = structure.unconstrain(covariances).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b, c: log_density(structure, terms, a, b, structure.constrain(c, D)),
        (log_weights.requires_grad_(), means.requires_grad_(), numbers),
    )


def test_means_at_the_mode_minimise_both_distances_and_what_is_left_is_the_pull(generator):
    means, count = normal(K, D, generator=generator), torch.tensor([5.0, 0.3, 100.0], dtype=torch.float64)
    terms = ConjugateTerms(1.0, KAPPA, normal(D, generator=generator), 0.0, torch.zeros(D))
    mode, pull = terms.means(means, count)
    torch.testing.assert_close(
        count.unsqueeze(1) * (mode - means) + KAPPA * (mode - terms.mean), torch.zeros(K, D), check_dtype=False
    )
    for k in range(K):
        rest = count[k] * torch.outer(mode[k] - means[k], mode[k] - means[k])
        rest += KAPPA * torch.outer(mode[k] - terms.mean, mode[k] - terms.mean)
        torch.testing.assert_close(torch.outer(pull[k], pull[k]), rest, **ROUNDING)


def test_a_prior_that_counts_for_no_rows_leaves_means_alone(generator):
    means = normal(K, D, generator=generator)
    mode, pull = ConjugateTerms(1.0, 0.0, normal(D, generator=generator), 0.0, torch.zeros(D)).means(
        means, torch.tensor([3.0, 1e-10, 50.0], dtype=torch.float64)
    )
    torch.testing.assert_close(mode, means, rtol=0, atol=1e-15)
    assert bool((pull == 0).all())


@pytest.mark.parametrize("concentration", [1.0, 2.5])
def test_weights_at_the_mode_maximise_their_posterior(concentration, generator):
    count = torch.tensor([5.0, 0.25, 30.0], dtype=torch.float64)
    mode = mode_of_weights(count, concentration)
    logits = mode.clone().requires_grad_()
    value = ((count + concentration - 1) * torch.log_softmax(logits, 0)).sum()
    (gradient,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-13)
    torch.testing.assert_close(mode.exp().sum(), torch.tensor(1.0, dtype=torch.float64))


def test_a_component_without_rows_has_a_finite_log_weight():
    mode = mode_of_weights(torch.tensor([0.0, 4.0], dtype=torch.float64), 1.0)
    assert bool(mode.isfinite().all())
    assert float(mode[1]) == 0
