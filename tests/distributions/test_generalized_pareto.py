"""The fit of :mod:`skgen.distributions.generalized_pareto`, on exact samples."""

import math

import pytest
import torch

from skgen.distributions.generalized_pareto import fit_generalized_pareto, pareto_shape
from tests.parts import normal

SHAPES = [-0.3, 0.2, 0.7, 1.2]


def exact(shape, scale, size, generator):
    """Independent draws by the inverse of the distribution function."""
    u = torch.rand(size, generator=generator, dtype=torch.float64)
    return scale * torch.expm1(-shape * torch.log1p(-u)) / shape


@pytest.mark.parametrize(("shape", "scale"), [*zip(SHAPES, [1e-3, 7.0] * 2, strict=True)])
def test_the_fit_finds_shape_and_scale_of_exact_samples(shape, scale, generator):
    n = 2000
    shapes, scales = fit_generalized_pareto(exact(shape, scale, (n, 300), generator))
    # The large-sample standard deviation of the likeliest shape is (1 + k) / sqrt(n), and its bias of order 1 / n.
    error = (1 + shape) / math.sqrt(n)
    assert abs(shapes.mean() - shape) < 5 * error / math.sqrt(300) + 5 / n
    assert 0.8 * error < shapes.std() < 1.25 * error
    assert abs(scales.mean() / scale - 1) < 0.02


def test_scale_and_order_of_the_sample_do_not_matter_for_the_shape(generator):
    x = exact(0.5, 1.0, (100, 4), generator)
    shape, scale = fit_generalized_pareto(x)
    again, scaled = fit_generalized_pareto(1e6 * x.flip(0))
    torch.testing.assert_close(again, shape)
    torch.testing.assert_close(scaled, 1e6 * scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shape_of_pareto_weights_is_theirs_drawn_to_a_half(shape, generator):
    n_draws, n_tail = 5000, 213
    # What exceeds a threshold is generalised Pareto again, with the same shape.
    shapes = pareto_shape(torch.log(exact(shape, 1.0, (n_draws, 400), generator)))
    expected = (n_tail * shape + 5) / (n_tail + 10)
    error = (1 + shape) / math.sqrt(n_tail)
    assert abs(shapes.mean() - expected) < 5 * error / math.sqrt(400) + 5 / n_tail
    assert shapes.std() < 1.25 * error


def test_weights_of_a_normal_target_have_the_shape_that_their_moments_say(generator):
    """For q = N(0, 1) and p = N(0, s^2), P(w > t) falls like t to the power of -1 / k, k = 1 - 1 / s^2."""
    z = normal(20_000, 50, generator=generator)
    for variance, low, high in ((0.5, -math.inf, 0.5), (1.2, 0.0, 0.6), (20.0, 0.7, 1.3)):
        log_weight = 0.5 * z**2 * (1 - 1 / variance)
        k = pareto_shape(log_weight + 1000.0).mean()
        assert low < k < high


def test_few_weights_say_nothing_and_equal_ones_have_no_tail():
    assert pareto_shape(torch.zeros(24, 3).double()).isnan().all()
    assert (pareto_shape(torch.zeros(25, 3).double()) == -math.inf).all()


def test_weights_of_zero_and_ties_leave_the_shape_finite(generator):
    log_weight = normal(100, 2, generator=generator)
    log_weight[20:, 0] = -math.inf
    log_weight[:, 1] = log_weight[:, 1].round()
    assert pareto_shape(log_weight).isfinite().all()
