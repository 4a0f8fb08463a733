import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import gammaln

from skgen.distributions.student_t import log_gamma_step, student_t_draw, student_t_log_probs
from tests.oracles import process_state, within


def number(value, dtype=torch.float64):
    return torch.tensor([value], dtype=dtype)


@pytest.mark.parametrize("degrees", [0.1, 1.0, 2.5, 30.0, 1e8])
def test_densities_integrate_to_one_and_are_scipy_s(degrees):
    # Equal steps in u sample heavy tails as well as the centre.
    u = torch.linspace(-1, 1, 20001, dtype=torch.float64) * (400 if degrees < 1 else 40)
    x, weight = 1.5 + 0.7 * torch.sinh(u), 0.7 * torch.cosh(u) * (u[1] - u[0])
    log_prob = student_t_log_probs(x, number(1.5), number(0.7), number(degrees))
    assert abs((log_prob.exp() * weight).sum() - 1) < 1e-10
    near = x.abs() < 1e3
    expected = stats.t(degrees, 1.5, 0.7).logpdf(x[near].numpy())
    np.testing.assert_allclose(log_prob[near], expected, rtol=1e-9, atol=1e-7 if degrees > 1e6 else 1e-11)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    log_prob = student_t_log_probs(x, number(0.0), number(1.0), number(1e10))
    torch.testing.assert_close(log_prob, torch.distributions.Normal(0, 1).log_prob(x), rtol=0, atol=1e-7)


def test_the_step_of_the_log_gamma_function_is_its_definition():
    x = torch.tensor([1e-6, 0.05, 0.5, 1.0, 7.0, 15.8, 16.2, 100.0], dtype=torch.float64)
    exact = torch.from_numpy(gammaln(x.numpy() + 0.5) - gammaln(x.numpy()))
    torch.testing.assert_close(log_gamma_step(x), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_extremes(dtype):
    for x in (0.0, 1.0, 1e8):
        for degrees in (1e-2, 2.0, 1e6):
            for scale in (1e-4, 1.0, 1e6):
                leaves = [number(v, dtype).requires_grad_() for v in (0.0, scale, degrees)]
                value = student_t_log_probs(number(x, dtype), *leaves)
                value.backward()
                assert value.isfinite().all()
                assert all(leaf.grad.isfinite().all() for leaf in leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_their_law_and_leave_the_global_state_alone(dtype, generator):
    before = process_state()
    draws = student_t_draw(number(1.5, dtype).expand(40000, 1), number(0.7, dtype), number(9.0, dtype), generator)
    assert draws.dtype == dtype
    assert within(draws.double(), 1.5)
    assert within((draws.double() - 1.5) ** 2, 0.49 * 9 / 7)
    # Heavy tails have no moments; shares they have.
    for degrees in (0.5, 1.0, 2.0):
        law = stats.t(degrees)
        draws = student_t_draw(
            torch.zeros(40000, 1, dtype=dtype), number(1.0, dtype), number(degrees, dtype), generator
        )
        for value in (-20.0, -1.0, 0.3, 5.0):
            assert within((draws < value).double(), law.cdf(value))
    assert process_state() == before
