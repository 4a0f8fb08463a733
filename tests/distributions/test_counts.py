import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import gammaln

from skgen.distributions.counts import (
    negative_binomial_draw,
    negative_binomial_log_probs,
    poisson_draw,
    poisson_log_probs,
    stirling,
)
from tests.oracles import process_state, within

MEANS = [1e-4, 0.3, 4.0, 70.0]
SIZES = [0.05, 1.0, 30.0, 1e8]
COUNTS = torch.arange(20000, dtype=torch.float64)


def number(value, dtype=torch.float64):
    return torch.tensor([value], dtype=dtype)


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_masses_sum_to_one_and_are_scipy_s(mean):
    log_prob = poisson_log_probs(COUNTS, number(mean).log())
    assert abs(log_prob.exp().sum() - 1) < 1e-12
    expected = stats.poisson(mean).logpmf(COUNTS[:500].numpy())
    np.testing.assert_allclose(log_prob[:500], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mean", MEANS)
def test_negative_binomial_masses_sum_to_one_have_the_mean_and_are_scipy_s(mean, size):
    log_prob = negative_binomial_log_probs(COUNTS, number(mean).log(), number(size))
    mass = log_prob.exp()
    assert abs(mass.sum() - 1) < 1e-5 if size < 1 < mean else abs(mass.sum() - 1) < 1e-12
    if size >= 1:
        torch.testing.assert_close(mass @ COUNTS, number(mean)[0])
        variance = mass @ (COUNTS - mean) ** 2
        torch.testing.assert_close(variance, number(mean + mean**2 / size)[0])
    if size < 1e6:  # SciPy's own digits are lost in the difference of two log-gammas
        expected = stats.nbinom(size, size / (size + mean)).logpmf(COUNTS[:500].numpy())
        np.testing.assert_allclose(log_prob[:500], expected, rtol=1e-10, atol=1e-10)


def test_a_large_size_is_the_poisson_distribution():
    x, log_mean = torch.arange(60, dtype=torch.float64), number(20.0).log()
    one = negative_binomial_log_probs(x, log_mean, number(1e12))
    # What is left is of the order of the squared count over the size.
    torch.testing.assert_close(one, poisson_log_probs(x, log_mean), rtol=0, atol=3600 / 1e12)


def test_size_one_is_the_geometric_distribution():
    x = torch.arange(50, dtype=torch.float64)
    expected = stats.geom(1 / 4, loc=-1).logpmf(x.numpy())
    np.testing.assert_allclose(negative_binomial_log_probs(x, number(3.0).log(), number(1.0)), expected, rtol=1e-12)


def test_stirling_is_its_definition():
    x = torch.tensor([0.0, 1e-9, 0.5, 1.0, 15.9, 16.0, 16.1, 40.0, 200.0], dtype=torch.float64)
    exact = torch.xlogy(x, x) - x - torch.from_numpy(gammaln(x.numpy() + 1))
    torch.testing.assert_close(stirling(x), exact, rtol=0, atol=4 * 2e-16 * 1100)


def test_large_counts_keep_their_digits_in_float32():
    # As a sum of three terms the first of these would err by a nat.
    for mean, x in [(1e6, 1.001e6), (1e4, 9.9e3), (1e7, 1e7)]:
        exact = stats.poisson(np.float64(np.exp(np.float64(np.float32(np.log(mean)))))).logpmf(x)
        ours = poisson_log_probs(number(x, torch.float32), number(np.log(mean), torch.float32))
        # A rounded logarithm, of size 16, moves the result by its error times x - m.
        error = 16 * 2.0**-24 * abs(x - mean) + 1e-5
        assert abs(float(ours) - exact) < 2 * error + 2e-3
    for size in (1e-3, 1.0, 1e9):
        arguments = [number(v) for v in (1.001e6, float(np.float32(np.log(1e6))), size)]
        exact = negative_binomial_log_probs(*arguments)
        ours = negative_binomial_log_probs(*(a.float() for a in arguments)).double()
        torch.testing.assert_close(ours, exact, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_extremes_and_point_to_the_count(dtype):
    for x in (0.0, 1.0, 1e3, 1e9):
        for log_mean in (-60.0, -1.0, 0.0, 9.0, 30.0):
            for size in (1e-3, 1.0, 1e8):
                leaves = [number(v, dtype).requires_grad_() for v in (log_mean, size)]
                value = negative_binomial_log_probs(number(x, dtype), *leaves)
                value.backward()
                assert value.isfinite().all()
                assert all(leaf.grad.isfinite().all() for leaf in leaves)
                mean, rounding = np.exp(log_mean), 8 * torch.finfo(dtype).eps
                expected = (x - mean) / (1 + mean / size)
                assert float(leaves[0].grad) == pytest.approx(expected, rel=30 * rounding, abs=rounding * x)
                leaf = number(log_mean, dtype).requires_grad_()
                poisson_log_probs(number(x, dtype), leaf).backward()
                assert float(leaf.grad) == pytest.approx(x - mean, rel=30 * rounding, abs=rounding * x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_their_moments_and_leave_the_global_state_alone(dtype, generator):
    before = process_state()
    for mean in MEANS:
        rates = number(mean, dtype).expand(40000, 2)
        draws = poisson_draw(rates, generator)
        assert draws.dtype == dtype
        assert within(draws.double(), mean)
        assert within((draws.double() - mean) ** 2, mean)
        draws = negative_binomial_draw(rates, number(2.0, dtype), generator)
        assert draws.dtype == dtype
        assert torch.equal(draws, draws.round())
        assert within(draws.double(), mean)
        assert within((draws.double() - mean) ** 2, mean + mean**2 / 2)
    assert process_state() == before
