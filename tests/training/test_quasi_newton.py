from itertools import pairwise

import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from skgen.training.flat import FlatParameters, FlatVector, FlatView
from skgen.training.line_search import ROUNDING
from skgen.training.optimizers import SOLVERS
from skgen.training.quasi_newton import BFGS, LARGEST, LBFGS, MEMORY
from tests.parts import gradient_of, normal

EPS = torch.finfo(torch.float64).eps

every_method = pytest.mark.parametrize("method", [BFGS, LBFGS])


def valley(x):
    return (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()


def quadratic(n, generator, condition=100.0):
    basis, _ = torch.linalg.qr(normal(n, n, generator=generator))
    matrix = basis @ torch.diag(torch.linspace(1, condition, n, dtype=torch.float64)) @ basis.T
    return matrix, lambda x: 0.5 * x @ matrix @ x


def start(n, generator):
    return FlatVector(normal(n, generator=generator))


def test_the_estimate_maps_the_last_change_of_the_gradient_to_the_last_step(generator):
    flat = start(6, generator)
    optimizer, gradient = BFGS(flat), gradient_of(valley, flat)
    gradient()
    for _ in range(15):
        value, slope = flat.value.clone(), flat.gradient.clone()
        optimizer.step(gradient, 1.0)
        step, change = flat.value - value, flat.gradient - slope
        # Both terms of the sum are as large as the estimate, and cancel.
        rounding = 100 * EPS * optimizer.inverse.norm() * change.norm()
        assert (optimizer.inverse @ change - step).norm() <= rounding
        assert torch.linalg.eigvalsh(optimizer.inverse).min() > 0


def test_steps_in_all_directions_make_the_estimate_the_inverse_hessian_of_a_quadratic(generator):
    matrix, _ = quadratic(6, generator, condition=10.0)
    optimizer = BFGS(start(6, generator))
    for _ in range(500):
        step = normal(6, generator=generator)
        square = step @ matrix @ step
        optimizer._learn(step, matrix @ step, square, square)
    # Every step takes away what is false in one direction, and puts nothing false in its place; rounding is all that
    # is left, of a sum whose terms are larger by the condition number.
    assert (matrix @ optimizer.inverse - torch.eye(6)).norm() <= 6 * 10**2 * EPS


def test_an_estimate_that_is_too_small_is_right_after_a_step(generator):
    flat = start(5, generator)
    optimizer, gradient = BFGS(flat), gradient_of(lambda x: 0.5 * x.square().sum(), flat)
    optimizer.load({"inverse": 1e-6 * torch.eye(5, dtype=torch.float64), "known": torch.tensor(True)})
    optimizer.step(gradient, 1.0)
    torch.testing.assert_close(optimizer.inverse, torch.eye(5, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_both_methods_take_the_same_two_steps(generator):
    begin = normal(8, generator=generator)
    ends = []
    for method in (BFGS, LBFGS):
        flat = FlatVector(begin.clone())
        optimizer, gradient = method(flat), gradient_of(valley, flat)
        for _ in range(2):
            optimizer.step(gradient, 1.0)
        ends.append(flat.value)
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-10)


@every_method
def test_convergence_is_faster_than_linear(method):
    def function(x):
        return (x.exp() - 2 * x).sum() + x.prod()

    flat = FlatVector(torch.tensor([0.9, 0.4, 0.6], dtype=torch.float64))
    optimizer, gradient = method(flat), gradient_of(function, flat)
    norms = []
    for _ in range(14):
        optimizer.step(gradient, 1.0)
        norms.append(optimizer.gradient_norm)
    above = [norm for norm in norms if norm > 1e-13]
    ratios = [after / before for before, after in pairwise(above)]
    assert min(norms) <= 1e-13
    assert max(ratios[-2:]) < 0.05


@every_method
def test_a_pair_is_of_a_single_loss(method, generator):
    flat = start(5, generator)
    optimizer = method(flat)
    _, first = quadratic(5, generator)
    for loss in (first, valley, first):
        optimizer.renew()
        kept = {name: value.clone() for name, value in optimizer.state().items()}
        value, gradient = flat.value.clone(), gradient_of(loss, flat)
        gradient()
        slope = flat.gradient.clone()
        optimizer.step(gradient, 1.0)
        expected = method(FlatVector(flat.value.clone()))
        expected.load(kept)
        step, change = flat.value - value, flat.gradient - slope
        newton = expected._newton(slope)
        along = 0 if newton is None else -torch.dot(step, newton) / torch.dot(newton, newton)
        expected._learn(step, change, torch.dot(step, change), -along * torch.dot(step, slope))
        for name, other in expected.state().items():
            torch.testing.assert_close(optimizer.state()[name], other, rtol=1e-9, atol=1e-9)


def test_the_limited_memory_is_limited(generator):
    flat = start(10, generator)
    optimizer, gradient = LBFGS(flat), gradient_of(valley, flat)
    for i in range(MEMORY + 5):
        optimizer.step(gradient, 1.0)
        assert len(optimizer.pairs) == min(i + 1, MEMORY)


@every_method
def test_a_step_without_curvature_teaches_nothing(method):
    flat = FlatVector(torch.tensor([3.0, 4.0], dtype=torch.float64))
    optimizer = method(flat)
    optimizer._finish(torch.ones(2, dtype=torch.float64), flat.gradient.clone(), 1.0)
    assert optimizer._newton(flat.value) is None


def test_more_parameters_than_a_matrix_is_kept_for_are_refused():
    BFGS(FlatView(FlatVector(torch.zeros(LARGEST + 1)), slice(1, LARGEST + 1)))
    with pytest.raises(ValueError, match=rf"matrix of n x n .* n = {LARGEST} parameters, got {LARGEST + 1}: .*'lbfgs'"):
        BFGS(FlatVector(torch.zeros(LARGEST + 1)))


def test_padding_and_what_is_held_take_no_room_in_the_matrix():
    module = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2)).double()
    flat = FlatParameters(module)
    assert BFGS(flat).inverse.shape == (32, 32)
    held = flat.marks(module[0], {"weight": torch.ones(5, 3)}) | flat.marks(module[1])
    assert BFGS(flat.marked(held)).inverse.shape == (27, 27)


class Bound:
    """The negative evidence lower bound of a small network, per row, with one antithetic block of noise."""

    def __init__(self, n_hidden, generator):
        self.x = normal(60, 2, generator=generator) @ normal(2, 4, generator=generator)
        self.x = self.x.tanh() + 0.3 * normal(60, 4, generator=generator)
        half = normal(4, 1, 2, generator=generator)
        self.noise = torch.cat([half, -half])
        self.shapes = [(4, n_hidden), (n_hidden,), (n_hidden, 4), (4,), (2, n_hidden), (n_hidden,), (n_hidden, 4)]
        self.shapes += [(4,), (4,)]
        self.start = 0.3 * normal(sum(torch.Size(shape).numel() for shape in self.shapes), generator=generator)

    def __call__(self, vector):
        parts = vector.split([torch.Size(shape).numel() for shape in self.shapes])
        w1, b1, w2, b2, v1, c1, v2, c2, log_scale = (
            part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)
        )
        mean, log_variance = ((self.x @ w1 + b1).tanh() @ w2 + b2).chunk(2, -1)
        z = mean + self.noise * (0.5 * log_variance).exp()
        outputs = (z @ v1 + c1).tanh() @ v2 + c2
        error = 0.5 * ((self.x - outputs) / log_scale.exp()).square() + log_scale
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        # Decay makes the optimum a point: hidden units may otherwise go to infinity.
        return error.sum(-1).mean() + kl.sum(-1).mean() + 0.05 * vector.square().sum()

    def scipy(self, point):
        flat = FlatVector(torch.from_numpy(point.copy()))
        return float(gradient_of(self, flat)()), flat.gradient.numpy()


@pytest.mark.parametrize("solver", ["bfgs", "lbfgs"])
@pytest.mark.parametrize("n_hidden", [2, 4])
def test_a_small_bound_is_raised_as_far_as_by_scipy(solver, n_hidden, generator):
    bound = Bound(n_hidden, generator)
    flat = FlatVector(bound.start.clone())
    optimizer, gradient = SOLVERS[solver](flat), gradient_of(bound, flat)
    losses = [float(bound(flat.value))]
    for _ in range(500):
        optimizer.step(gradient, 1.0)
        losses.append(float(bound(flat.value)))
        if optimizer.gradient_norm <= 1e-7:
            break
    assert optimizer.gradient_norm <= 1e-7
    assert all(after <= before + ROUNDING * EPS * abs(before) for before, after in pairwise(losses))
    # From the point that is found scipy finds nothing lower: what a gradient of 1e-7 leaves is far below.
    polished = minimize(bound.scipy, flat.value.numpy(), jac=True, method="BFGS", options={"gtol": 1e-9})
    assert losses[-1] - polished.fun <= 1e-9
