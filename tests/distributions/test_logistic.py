import pytest
import torch

from skgen.distributions.logistic import box_from_reals, logistic_normal_moments
from tests.parts import normal


def test_the_log_slope_is_that_of_autograd(generator):
    y = normal(6, 3, generator=generator).requires_grad_()
    z, log_slope = box_from_reals(y, -2.0, 3.0)
    slope = torch.autograd.grad(z.sum(), y)[0]
    torch.testing.assert_close(log_slope, slope.log().sum(-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_numbers_stay_in_the_box_with_a_finite_slope(dtype):
    y = torch.tensor([[-1e4], [-50.0], [50.0], [1e4]], dtype=dtype)
    z, log_slope = box_from_reals(y, 0.1, 0.7)
    assert ((z >= 0.1) & (z <= 0.7)).all()
    assert log_slope.isfinite().all()


@pytest.mark.parametrize("scale", [0.01, 1.0, 5.0])
def test_moments_are_those_of_an_integral(scale):
    mean = torch.tensor([-3.0, 0.0, 1.5], dtype=torch.float64)
    scales = torch.full_like(mean, scale)
    grid = torch.linspace(-12, 12, 200001, dtype=torch.float64)
    z, _ = box_from_reals((mean[:, None] + scale * grid).unsqueeze(-1), -2.0, 3.0)
    density = torch.exp(-0.5 * grid.square()) / (2 * torch.pi) ** 0.5
    first = torch.trapezoid(z[..., 0] * density, grid)
    second = torch.trapezoid((z[..., 0] - first[:, None]).square() * density, grid)
    ours = logistic_normal_moments(mean, scales, -2.0, 3.0)
    torch.testing.assert_close(ours[0], first, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours[1], second.sqrt(), rtol=1e-6, atol=1e-6)
