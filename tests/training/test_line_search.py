import math

import pytest
import torch

from skgen.training.line_search import (
    DECREASE,
    EVALUATIONS,
    ROUNDING,
    Trial,
    hessian_product,
    newton_direction,
    strong_wolfe,
)
from tests.parts import normal

EPS = torch.finfo(torch.float64).eps
LINES = {
    # function, derivative: all with a negative slope at 0 and a minimum beyond
    "parabola": (lambda t: 0.5 * (t - 3) ** 2, lambda t: t - 3),
    "quartic": (lambda t: (t - 2) ** 4, lambda t: 4 * (t - 2) ** 3),
    "logarithm": (lambda t: t - math.log(t + 1e-3), lambda t: 1 - 1 / (t + 1e-3)),
    "valley after a hill": (lambda t: -t * math.exp(-t / 5), lambda t: (t / 5 - 1) * math.exp(-t / 5)),
    "waves": (lambda t: 0.05 * t * t - math.sin(t), lambda t: 0.1 * t - math.cos(t)),
    "concave at first": (lambda t: t**4 / 4 - t * t - 0.01 * t, lambda t: t**3 - 2 * t - 0.01),
}


class Line:
    """A function of a step, outside of whose domain the loss is ``beyond``; counts its evaluations."""

    def __init__(self, function, slope, *, limit=math.inf, beyond=math.inf):
        self.function, self.slope, self.limit, self.beyond = function, slope, limit, beyond
        self.steps = []

    def __call__(self, step):
        self.steps.append(step)
        loss = self.function(step) if step < self.limit else self.beyond
        slope = self.slope(step)
        return Trial(step, loss, slope, torch.tensor([slope], dtype=torch.float64))

    def search(self, first, **options):
        start = self(0.0)
        self.steps.clear()
        return strong_wolfe(self, start, first, **{"curvature": 0.1} | options)


def conditions(start, found, curvature):
    decrease = start.loss + DECREASE * found.step * start.slope + ROUNDING * EPS * abs(start.loss)
    return found.loss <= decrease and abs(found.slope) <= curvature * abs(start.slope)


@pytest.mark.parametrize("first", [1e-6, 1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("curvature", [0.01, 0.1, 0.9])
@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("name", LINES)
def test_the_strong_wolfe_conditions_hold_at_the_end(name, first, curvature, refine):
    line = Line(*LINES[name])
    found = line.search(first, curvature=curvature, refine=refine)
    assert conditions(line(0.0), found, curvature)


@pytest.mark.parametrize("first", [0.04, 0.5, 2.9, 3.1, 20.0, 200.0])
def test_one_secant_finds_the_minimum_of_a_parabola(first):
    line = Line(*LINES["parabola"])
    found = line.search(first, refine=True)
    # A secant of the slopes -3 and first - 3 loses the digits by which the larger exceeds the smaller.
    assert abs(found.step - 3) <= 4 * EPS * max(first, 3 / first * 3)
    assert len(line.steps) == 2


def test_an_acceptable_first_trial_is_the_only_one():
    line = Line(*LINES["parabola"])
    assert line.search(2.9).step == 2.9
    assert len(line.steps) == 1


@pytest.mark.parametrize("beyond", [math.inf, math.nan, -math.inf])
@pytest.mark.parametrize("limit", [1e-6, 1.0, 3.5])
@pytest.mark.parametrize("first", [0.1, 5.0, 100.0])
def test_a_trial_outside_the_domain_is_followed_by_one_nearer(limit, first, beyond):
    line = Line(*LINES["parabola"], limit=limit, beyond=beyond)
    found = line.search(first)
    assert found.step < limit
    assert found.loss < line(0.0).loss
    if limit > 3:
        assert conditions(line(0.0), found, 0.1)


def test_a_slope_that_is_not_a_number_is_outside_the_domain():
    line = Line(*LINES["parabola"])
    line.slope = lambda t: t - 3 if t < 1 else math.nan
    assert line.search(2.0).step < 1


@pytest.mark.parametrize(
    "function", [lambda t: t, lambda t: 5.0, lambda t: math.inf if t else 0.0, lambda t: math.nan if t else 0.0]
)
def test_there_is_no_result_where_nothing_is_lower(function):
    line = Line(function, lambda t: -1.0)
    assert line.search(1.0) is None
    assert len(line.steps) <= EVALUATIONS


def test_a_function_without_a_minimum_still_goes_down():
    line = Line(lambda t: -t, lambda t: -1.0)
    found = line.search(1.0)
    assert found.loss < -1
    assert len(line.steps) == EVALUATIONS


def test_slopes_decide_where_losses_differ_by_rounding_alone():
    # At 1e9 neighbouring numbers lie 1.2e-7 apart, and the whole fall is 5e-9.
    line = Line(lambda t: 1e9 + 0.5e-9 * (t - 3) ** 2, lambda t: 1e-9 * (t - 3))
    assert abs(line.search(0.1, refine=True).step - 3) <= 1e-12


def curvature_of(n, generator, *, smallest=1.0, largest=10.0):
    """A symmetric matrix with given extreme eigenvalues."""
    basis, _ = torch.linalg.qr(normal(n, n, generator=generator))
    return basis @ torch.diag(torch.linspace(smallest, largest, n, dtype=torch.float64)) @ basis.T


def test_a_difference_of_gradients_is_the_product_with_the_hessian(generator):
    matrix = curvature_of(6, generator)
    point, direction = normal(6, generator=generator), normal(6, generator=generator)
    product = hessian_product(lambda x: matrix @ x, point, direction)
    # Exact but for rounding of the gradients, at most 10 |x|, over a step of 6e-6 (1 + |x|) / |d|.
    bound = 4 * 10 * EPS ** (2 / 3) * direction.norm()
    assert (product - matrix @ direction).norm() <= bound


@pytest.mark.parametrize("length", [1e-8, 1.0, 1e8])
def test_a_difference_does_not_depend_on_the_length_of_the_direction(generator, length):
    point, direction = normal(4, generator=generator), normal(4, generator=generator)
    product = hessian_product(lambda x: torch.exp(x), point, length * direction)
    # The third derivative times a sixth of the squared step, and rounding, about 1e-10 each.
    torch.testing.assert_close(product / length, torch.exp(point) * direction, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("tolerance", [0.5, 1e-3, 1e-10])
def test_the_direction_solves_newton_s_equation_to_the_tolerance(generator, tolerance):
    matrix, gradient = curvature_of(8, generator), normal(8, generator=generator)
    direction = newton_direction(lambda v: matrix @ v, gradient, tolerance=tolerance, n_iterations=20)
    # The residual that conjugate gradients carry along drifts from the true one by rounding.
    assert (matrix @ direction + gradient).norm() <= (tolerance + 100 * EPS) * gradient.norm()


def test_products_are_limited(generator):
    matrix, gradient, n_calls = curvature_of(8, generator), normal(8, generator=generator), []

    def product(vector):
        n_calls.append(1)
        return matrix @ vector

    direction = newton_direction(product, gradient, tolerance=0.0, n_iterations=3)
    assert len(n_calls) == 3
    assert direction @ gradient < 0


@pytest.mark.parametrize("smallest", [-1.0, -1e-3, -100.0])
def test_a_direction_of_negative_curvature_descends_and_bends_down(generator, smallest):
    matrix, gradient = curvature_of(8, generator, smallest=smallest), normal(8, generator=generator)
    products = []

    def product(vector):
        products.append((vector, matrix @ vector))
        return products[-1][1]

    direction = newton_direction(product, gradient, tolerance=1e-12, n_iterations=100)
    vector, curved = products[-1]
    assert vector @ curved < 0
    assert vector @ gradient < 0
    assert direction @ gradient < vector @ gradient / 2


@pytest.mark.parametrize("product", [torch.zeros_like, lambda v: -v, lambda v: v * math.nan, lambda v: v * math.inf])
def test_the_gradient_is_followed_where_no_curvature_is_known(generator, product):
    gradient = normal(5, generator=generator)
    assert torch.equal(newton_direction(product, gradient, tolerance=0.1, n_iterations=5), -gradient)
