import math
from itertools import pairwise

import pytest
import torch
from scipy.optimize import minimize

from skgen.training.base import Optimizer
from skgen.training.descent import LineSearch
from skgen.training.flat import FlatVector
from skgen.training.line_search import ROUNDING
from skgen.training.optimizers import SOLVERS
from tests.parts import gradient_of, normal

EPS = torch.finfo(torch.float64).eps
LINE_SEARCHES = [name for name, solver in SOLVERS.items() if issubclass(solver, LineSearch)]

every_line_search = pytest.mark.parametrize("solver", LINE_SEARCHES)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


class Run:
    """An optimiser of a function of a vector."""

    def __init__(self, solver, function, start):
        self.function = function
        self.flat = FlatVector(start.clone())
        self.optimizer: Optimizer = SOLVERS[solver](self.flat)
        self.gradient = gradient_of(function, self.flat)
        self.losses = [float(function(self.flat.value))]

    @property
    def value(self):
        return self.flat.value

    def steps(self, n_steps):
        for _ in range(n_steps):
            self.optimizer.step(self.gradient, 1.0)
            self.losses.append(float(self.function(self.flat.value)))
        return self

    def never_rose(self):
        """Whether no step raised the loss by more than it is rounded."""
        return all(b <= a + ROUNDING * EPS * abs(a) for a, b in pairwise(self.losses))


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()


def logarithmic_barrier(x):
    inside = bool((x > 0).all())
    return (x - x.log()).sum() if inside else torch.full((), math.inf, dtype=x.dtype)


def bowl(n, generator, condition):
    basis, _ = torch.linalg.qr(normal(n, n, generator=generator))
    matrix = basis @ torch.diag(torch.linspace(1, condition, n, dtype=torch.float64)) @ basis.T
    centre = normal(n, generator=generator)
    return (lambda x: 0.5 * (x - centre) @ matrix @ (x - centre)), centre


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("condition", [1.0, 10.0, 100.0])
def test_conjugate_gradients_solve_a_quadratic_of_n_parameters_in_n_plus_one_steps(n, condition, generator):
    function, centre = bowl(n, generator, condition)
    run = Run("cg", function, torch.zeros(n, dtype=torch.float64)).steps(n + 1)
    # A relative error of EPS in each of n steps grows by no more than the condition number, twice: in the
    # directions' conjugacy and in the solution.
    assert (run.value - centre).norm() <= n * condition**2 * EPS * centre.norm()


@pytest.mark.parametrize("n", [1, 5, 12])
def test_newton_s_method_solves_a_quadratic_in_few_steps(n, generator):
    function, centre = bowl(n, generator, 100.0)
    # Directions are solved to half the gradient at first, and to ever more digits once it is short.
    run = Run("newton-cg", function, torch.zeros(n, dtype=torch.float64)).steps(12)
    assert (run.value - centre).norm() <= n * 100.0**2 * EPS * centre.norm()


def test_newton_s_method_converges_quadratically():
    def function(x):
        return (x.exp() - 2 * x).sum() + x.prod()

    run = Run("newton-cg", function, vector(0.9, 0.4, 0.6))
    optimum = Run("newton-cg", function, vector(0.5, 0.5, 0.5)).steps(30).value
    errors = []
    for _ in range(6):
        errors.append(float((run.value - optimum).norm()))
        run.steps(1)
    # Newton's factor is half the third derivative over the second, both about 2 here; the tolerance of the direction
    # adds the condition number. Differences of gradients leave 1e-8 of an error.
    assert errors[0] > 0.1
    assert all(after <= 3 * before**2 + 1e-7 * before + 4 * EPS for before, after in pairwise(errors))
    assert errors[-1] <= 10 * EPS


@every_line_search
@pytest.mark.parametrize(("n", "n_steps"), [(2, 80), (10, 300)])
def test_rosenbrock_s_valley_is_followed_to_its_end(solver, n, n_steps):
    run = Run(solver, rosenbrock, vector(-1.2, 1.0).repeat(n // 2)).steps(n_steps)
    assert (run.value - 1).abs().max() <= 1e-8
    assert run.never_rose()


@every_line_search
def test_a_logistic_regression_is_scipy_s(solver, generator):
    x = normal(200, 5, generator=generator) * torch.tensor([1, 2, 0.5, 1, 3])
    sign = torch.sign(x[:, 0] - x[:, 2] + normal(200, generator=generator))

    def function(weight):
        return torch.nn.functional.softplus(-sign * (x @ weight)).mean() + 0.005 * weight.square().sum()

    def both(weight):
        flat = FlatVector(torch.from_numpy(weight.copy()))
        loss = gradient_of(function, flat)()
        return float(loss), flat.gradient.numpy()

    run = Run(solver, function, torch.zeros(5, dtype=torch.float64)).steps(40)
    reference = minimize(both, torch.zeros(5).double().numpy(), jac=True, method="BFGS", options={"gtol": 1e-11})
    torch.testing.assert_close(run.value, torch.from_numpy(reference.x), rtol=0, atol=1e-8)
    assert run.losses[-1] <= reference.fun + ROUNDING * EPS
    assert run.never_rose()


@every_line_search
@pytest.mark.parametrize("start", [(1e-3, 50.0, 3.0), (1e-8, 1.0, 1e4), (5.0, 5.0, 5.0)])
def test_a_barrier_is_never_crossed(solver, start):
    run = Run(solver, logarithmic_barrier, vector(*start)).steps(60)
    assert all(math.isfinite(loss) for loss in run.losses)
    assert run.never_rose()
    torch.testing.assert_close(run.value, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-6)


@every_line_search
@pytest.mark.parametrize("beyond", [math.nan, math.inf])
def test_a_domain_s_edge_below_which_all_is_better_is_approached_from_inside(solver, beyond):
    def function(x):
        return x.sum() if bool((x > 1).all()) else x.sum() * beyond

    run = Run(solver, function, vector(3.0, 3.0)).steps(30)
    assert bool((run.value > 1).all())
    assert run.losses[-1] <= 2 + 1e-6
    assert run.never_rose()


@every_line_search
def test_a_start_of_negative_curvature_leads_to_a_minimum(solver):
    def function(x):
        return x[0] ** 4 - x[0] ** 2 + x[1] ** 2

    run = Run(solver, function, vector(1e-6, 1.0)).steps(30)
    torch.testing.assert_close(run.value.abs(), vector(0.5**0.5, 0.0), rtol=0, atol=1e-6)
    assert run.losses[-1] == pytest.approx(-0.25, rel=4 * EPS)


@every_line_search
def test_at_an_optimum_a_step_changes_nothing(solver):
    run = Run(solver, lambda x: (x - 2).square().sum(), vector(2.0, 2.0)).steps(3)
    assert torch.equal(run.value, vector(2.0, 2.0))
    assert run.optimizer.gradient_norm == 0


@every_line_search
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_start_outside_the_domain_is_left_as_it_is(solver, bad):
    run = Run(solver, lambda x: x.square().sum() * bad, vector(1.0, -3.0)).steps(3)
    assert torch.equal(run.value, vector(1.0, -3.0))


@every_line_search
def test_where_nothing_is_lower_parameters_and_gradient_stay(solver):
    # The gradient points the wrong way, as rounding may make it near an optimum.
    run = Run(solver, lambda x: 0.5 * x.square().sum(), vector(1.0, 2.0))
    start = run.value.clone()

    def wrong():
        run.flat.gradient.copy_(-run.flat.value)
        return run.function(run.flat.value)

    for _ in range(3):
        run.optimizer.step(wrong, 1.0)
        assert torch.equal(run.value, start)
        assert torch.equal(run.flat.gradient, -start)


@every_line_search
def test_steps_after_convergence_stay_at_the_optimum(solver, generator):
    function, centre = bowl(5, generator, 10.0)
    run = Run(solver, function, torch.zeros(5, dtype=torch.float64)).steps(60)
    assert (run.value - centre).norm() <= 1e-12
    assert run.never_rose()


@every_line_search
def test_the_gradient_is_that_of_the_parameters_in_force(solver):
    run = Run(solver, rosenbrock, vector(-1.2, 1.0))
    for _ in range(20):
        run.steps(1)
        left = run.flat.gradient.clone()
        run.gradient()
        assert torch.equal(left, run.flat.gradient)


@every_line_search
@pytest.mark.parametrize("first", [1, 7, 30])
def test_a_curved_run_continues_from_its_state_bit_for_bit(solver, first):
    whole = Run(solver, rosenbrock, vector(-1.2, 1.0, 0.3, 2.0)).steps(first)
    continued = Run(solver, rosenbrock, whole.value)
    continued.optimizer.load({name: value.clone() for name, value in whole.optimizer.state().items()})
    assert torch.equal(continued.steps(10).value, whole.steps(10).value)


@every_line_search
def test_a_change_of_scale_and_offset_of_the_loss_does_not_stop_progress(solver):
    for factor, offset in ((1e-6, 0.0), (1e6, 0.0), (1.0, 1e3)):
        run = Run(solver, lambda x, a=factor, b=offset: a * rosenbrock(x) + b, vector(-1.2, 1.0)).steps(150)
        assert (run.value - 1).abs().max() <= 1e-4


@every_line_search
@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_a_renewed_solver_minimises_one_loss_after_another(solver, n_steps, generator):
    (first, _), (second, centre) = bowl(5, generator, 10.0), bowl(5, generator, 100.0)
    run = Run(solver, first, torch.zeros(5, dtype=torch.float64)).steps(n_steps)
    run.optimizer.renew()
    run.function, run.losses = second, [float(second(run.value))]
    run.gradient = gradient_of(second, run.flat)
    run.steps(60)
    assert run.never_rose()
    assert (run.value - centre).norm() <= 1e-9


@every_line_search
def test_a_solver_may_be_renewed_before_its_first_step(solver):
    run = Run(solver, rosenbrock, vector(-1.2, 1.0))
    run.optimizer.renew()
    assert torch.equal(run.steps(3).value, Run(solver, rosenbrock, vector(-1.2, 1.0)).steps(3).value)


@pytest.mark.parametrize("solver", sorted(name for name, kind in SOLVERS.items() if kind.line_search))
def test_a_step_that_goes_on_is_the_same_without_an_evaluation(solver, generator):
    matrix = normal(6, 6, generator=generator)
    curvature = matrix @ matrix.T + torch.eye(6, dtype=torch.float64)
    ends, counts = [], []
    for again in (False, True):
        flat = FlatVector(torch.ones(6, dtype=torch.float64))
        optimizer, count = SOLVERS[solver](flat), [0]

        def gradient(flat=flat, count=count):
            count[0] += 1
            flat.gradient.copy_(curvature @ flat.value)
            return 0.5 * flat.value @ curvature @ flat.value

        for i in range(4):
            optimizer.step(gradient, 1.0, again=again and i > 0)
        ends.append(flat.value)
        counts.append(count[0])
    assert torch.equal(*ends)
    assert counts[0] - counts[1] == 3
