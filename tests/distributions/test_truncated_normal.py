"""Functions of :mod:`skgen.distributions.truncated_normal` against quadrature and SciPy's distribution."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncnorm

from skgen.distributions.truncated_normal import (
    TAIL,
    truncated_normal_draw,
    truncated_normal_log_mass,
    truncated_normal_mean,
)
from tests.oracles import process_state, within

FIELDS = [-1e4, -40.0, -8.0, TAIL - 1e-3, TAIL + 1e-3, -1.0, 0.0, 0.7, 5.0, 40.0, 1e4]
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-12}
"""Relative errors: about 16 units in the last place, as many as the field at TAIL cancels."""
N_DRAWS = 20000


def by_quadrature(field):
    """Logarithm of the mass, and the mean, by the rule of Gauss and Legendre about the peak of the density."""
    peak = max(field, 0.0)
    low, high = max(-40.0, -peak), 40 / max(1.0, -field)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    x = low + (high - low) * (1 + nodes) / 2
    terms = weights * (high - low) / 2 * np.exp((field - peak) * x - 0.5 * x**2)
    log_scale = peak * (field - 0.5 * peak) - 0.5 * math.log(2 * math.pi)
    return math.log(terms.sum()) + log_scale, peak + (x * terms).sum() / terms.sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("field", FIELDS)
def test_mass_and_mean_are_those_of_quadrature(field, dtype):
    log_mass, mean = by_quadrature(float(torch.tensor(field, dtype=dtype)))
    theta = torch.tensor([field], dtype=dtype)
    assert float(truncated_normal_log_mass(theta)) == pytest.approx(log_mass, rel=ROUNDING[dtype], abs=ROUNDING[dtype])
    assert float(truncated_normal_mean(theta)) == pytest.approx(mean, rel=ROUNDING[dtype])


def test_the_derivative_of_the_log_mass_is_the_mean():
    field = torch.linspace(-60, 60, 241, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(truncated_normal_log_mass(field).sum(), field)
    # Autograd subtracts two numbers of the size of the field, whose difference is 1 / |field| in the tail.
    torch.testing.assert_close(slope, truncated_normal_mean(field.detach()), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("field", FIELDS)
def test_draws_have_the_law(field, dtype, generator):
    draws = truncated_normal_draw(torch.full((N_DRAWS,), field, dtype=dtype), generator)
    assert draws.dtype == dtype
    assert (draws >= 0).all()
    assert torch.isfinite(draws).all()
    mean = truncated_normal_mean(torch.tensor([field], dtype=torch.float64))
    assert within(draws.double(), mean)
    if abs(field) <= 40:
        law = truncnorm(-field, np.inf, loc=field)
        assert kstest(draws.double().numpy(), law.cdf).pvalue > 1e-3
        assert within((draws.double() - mean) ** 2, law.var())


def test_global_state_is_untouched(generator):
    before = process_state()
    truncated_normal_draw(torch.zeros(5), generator)
    assert process_state() == before
