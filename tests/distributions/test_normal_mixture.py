import pytest
import torch
from sklearn.mixture import GaussianMixture

from skgen._trace import autograd_trace
from skgen.distributions.normal_mixture import (
    component_log_probs,
    m_step,
    mixture_log_prob,
    mixture_tracer,
    weighted_moments,
)
from tests.parts import normal

K, D = 4, 3


@pytest.fixture
def parameters(generator):
    """Logits, means and log-scales."""
    return (
        normal(K, generator=generator),
        2 * normal(K, D, generator=generator),
        0.5 * normal(K, D, generator=generator),
    )


def test_components_are_normal(parameters, generator):
    _, mean, log_scale = parameters
    z = normal(2, 5, D, generator=generator)
    exact = torch.distributions.Normal(mean, log_scale.exp()).log_prob(z.unsqueeze(-2)).sum(-1)
    torch.testing.assert_close(component_log_probs(z, mean, log_scale), exact, rtol=1e-12, atol=1e-12)


def test_narrow_components_far_from_zero_lose_no_digits_to_cancellation(generator):
    mean = 1e4 + normal(K, D, generator=generator)
    log_scale = torch.full((K, D), -5.0, dtype=torch.float64)
    z = mean + log_scale.exp() * normal(K, D, generator=generator)
    exact = torch.distributions.Normal(mean, log_scale.exp()).log_prob(z).sum(-1)
    # Squares of at most about 10 times a precision of e^10 are rounded, and the rows themselves: 1e4 eps e^5 per scale.
    torch.testing.assert_close(component_log_probs(z, mean, log_scale).diagonal(), exact, rtol=1e-8, atol=1e-8)


def test_it_is_the_density_of_scikit_learn_s_mixture(parameters, generator):
    logits, mean, log_scale = parameters
    z = normal(50, D, generator=generator)
    mixture = GaussianMixture(K, covariance_type="diag")
    mixture.weights_, mixture.means_ = torch.softmax(logits, 0).numpy(), mean.numpy()
    mixture.covariances_ = (2 * log_scale).exp().numpy()
    mixture.precisions_cholesky_ = (-log_scale).exp().numpy()
    exact = torch.from_numpy(mixture.score_samples(z.numpy()))
    torch.testing.assert_close(mixture_log_prob(z, *parameters), exact, rtol=1e-12, atol=1e-12)


def test_it_integrates_to_one_in_the_plane(parameters):
    logits, mean, log_scale = parameters
    line = torch.linspace(-25, 25, 1001, dtype=torch.float64)
    plane = torch.cartesian_prod(line, line)
    density = mixture_log_prob(plane, logits, mean[:, :2], log_scale[:, :2]).exp().view(1001, 1001)
    assert abs(torch.trapezoid(torch.trapezoid(density, line), line) - 1) < 1e-8


@pytest.mark.parametrize("per_row", [True, False], ids=["rows", "number"])
def test_the_gradient_by_hand_is_that_of_autograd(parameters, generator, per_row):
    z = normal(2, 5, D, generator=generator)
    cotangent = normal(2, 5, generator=generator) if per_row else torch.tensor(-0.3, dtype=torch.float64)
    value, pullback = mixture_tracer(*parameters)(z)
    (expected,), backward = autograd_trace(mixture_log_prob, z, *parameters)
    torch.testing.assert_close(value, expected, rtol=0, atol=0)
    for ours, reference in zip(pullback(cotangent), backward(cotangent), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


def test_components_without_weight_and_points_far_away_leave_everything_finite(generator):
    logits = torch.tensor([0.0, -1e4], dtype=torch.float64)
    mean, log_scale = normal(2, 2, D, generator=generator)
    value, pullback = mixture_tracer(logits, mean, log_scale)(torch.full((3, D), 1e6, dtype=torch.float64))
    assert value.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in pullback(torch.ones(3, dtype=torch.float64)))


def complete_log_density(points, shares, log_weights, mean, variance):
    """Weighted sum of log w_k + log N(z; m_k, v_k)."""
    return (
        shares * (torch.log_softmax(log_weights, -1) + component_log_probs(points, mean, 0.5 * variance.log()))
    ).sum()


@pytest.mark.parametrize("floor", [1e-9, 1.0])
def test_the_m_step_is_the_best_of_all_parameters_above_the_floor(parameters, generator, floor):
    points, shares = normal(30, D, generator=generator), torch.rand(30, K, dtype=torch.float64, generator=generator)
    logits, mean, log_scale = parameters
    best = m_step(weighted_moments(points, shares), logits, mean, torch.exp(2 * log_scale), floor=floor)
    assert (best[2] == floor).any() == (floor == 1)
    value = complete_log_density(points, shares, *best)
    for size in (1e-3, 1e-1, 1.0):
        for _ in range(20):
            log_weights, mean = (part + size * normal(*part.shape, generator=generator) for part in best[:2])
            variance = best[2] * torch.exp(size * normal(K, D, generator=generator))
            assert complete_log_density(points, shares, log_weights, mean, variance.clamp_min(floor)) < value


def test_the_m_step_keeps_components_that_nothing_belongs_to(parameters, generator):
    logits, mean, log_scale = parameters
    variance = torch.exp(2 * log_scale)
    shares = torch.rand(30, K, dtype=torch.float64, generator=generator)
    shares[:, 1] = 0
    found = m_step(weighted_moments(normal(30, D, generator=generator), shares), logits, mean, variance, floor=0.1)
    assert found[0].isfinite().all()
    assert torch.equal(found[1][1], mean[1])
    assert torch.equal(found[2][1], variance[1])
    nothing = m_step(weighted_moments(normal(30, D, generator=generator), 0 * shares), *found, floor=0.1)
    for kept, before in zip(nothing, found, strict=True):
        assert torch.equal(kept, before)
