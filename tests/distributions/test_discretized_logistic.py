import numpy as np
import pytest
import torch
from scipy import stats

from skgen.distributions.discretized_logistic import (
    discretized_logistic_draw,
    discretized_logistic_log_probs,
    discretized_logistic_mean,
)
from tests.oracles import process_state, within

CASES = [(0.3, 0.4, 2), (-3.0, 2.0, 5), (130.2, 0.05, 256), (130.2, 7.0, 256), (300.0, 20.0, 256), (2.5, 500.0, 8)]


def offset(location, n_levels, dtype=torch.float64):
    return number(location - (n_levels - 1) / 2, dtype)


def number(value, dtype=torch.float64):
    return torch.tensor([value], dtype=dtype)


@pytest.mark.parametrize(("location", "scale", "n_levels"), CASES)
def test_masses_sum_to_one_have_the_stated_mean_and_are_differences_of_scipy_s(location, scale, n_levels):
    levels = torch.arange(n_levels, dtype=torch.float64)
    log_prob = discretized_logistic_log_probs(levels, offset(location, n_levels), number(scale), n_levels)
    assert abs(log_prob.exp().sum() - 1) < 1e-12
    mean = discretized_logistic_mean(offset(location, n_levels), number(scale), n_levels)
    torch.testing.assert_close(log_prob.exp() @ levels, mean[0], rtol=1e-12, atol=1e-12)
    edges = np.concatenate([[-np.inf], np.arange(n_levels - 1) + 0.5, [np.inf]])
    expected = np.diff(stats.logistic(location, scale).cdf(edges))
    np.testing.assert_allclose(log_prob.exp(), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_finite_however_far_the_level_is(dtype):
    for x in (0.0, 1.0, 200.0, 255.0):
        for location in (-1e5, 0.0, 128.0, 1e5):
            for scale in (0.05, 1.0, 1e4):
                leaves = [number(v, dtype).requires_grad_() for v in (location, scale)]
                value = discretized_logistic_log_probs(number(x, dtype), *leaves, 256)
                value.backward()
                assert value.isfinite().all()
                assert value <= 0
                assert all(leaf.grad.isfinite().all() for leaf in leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("location", "scale", "n_levels"), CASES)
def test_draws_have_their_law_and_leave_the_global_state_alone(location, scale, n_levels, dtype, generator):
    before = process_state()
    arguments = [offset(location, n_levels, dtype).expand(40000, 1), number(scale, dtype), n_levels]
    draws = discretized_logistic_draw(*arguments, generator)
    assert draws.dtype == dtype
    assert draws.min() >= 0
    assert draws.max() <= n_levels - 1
    assert torch.equal(draws, draws.round())
    levels = torch.arange(n_levels, dtype=torch.float64)
    mass = discretized_logistic_log_probs(levels, offset(location, n_levels), number(scale), n_levels).exp()
    for level in (0, n_levels // 2, n_levels - 1):
        share = float(mass[level])
        error = (share * (1 - share) / 40000) ** 0.5
        assert abs(float((draws == level).double().mean()) - share) < 5 * error + 1e-4
    assert within(draws.double(), mass @ levels)
    assert process_state() == before
