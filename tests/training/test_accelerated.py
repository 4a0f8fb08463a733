from itertools import pairwise

import pytest
import torch

from skgen.training.accelerated import AcceleratedEM
from skgen.training.em import BatchEM
from tests.exact_models import DiagonalMixture, mixture_problem

CLOSE = 1e-9


class Counted:
    """An E-step that counts the passes over the rows."""

    def __init__(self, expectation):
        self.expectation, self.n_passes = expectation, 0

    def __call__(self, parameters):
        self.n_passes += 1
        return self.expectation(parameters)

    def value(self, parameters):
        return self.expectation.value(parameters)


def counted(problem, solver_class):
    solver = problem.solver(solver_class)
    solver.expectation = Counted(solver.expectation)
    return solver


def passes_until(solver, best):
    while solver.step() < best - CLOSE:
        assert solver.expectation.n_passes < 5000
    return solver.expectation.n_passes


def overlapping(seed):
    return mixture_problem(distance=1.2, seed=seed, concentration=1.5, shape=1.0, scale=0.3)


@pytest.mark.parametrize("seed", range(2))
def test_overlapping_components_need_at_most_half_the_passes(seed):
    problem = overlapping(seed)
    solvers = [counted(problem, solver_class) for solver_class in (BatchEM, AcceleratedEM)]
    for solver in solvers:
        for _ in range(1500 if solver is solvers[0] else 200):
            solver.step()
    best = min(solver.value() for solver in solvers)
    assert abs(solvers[0].value() - solvers[1].value()) < CLOSE
    slow, fast = (passes_until(counted(problem, solver_class), best) for solver_class in (BatchEM, AcceleratedEM))
    assert 2 * fast < slow


def test_a_step_is_one_pass_and_two_where_an_extrapolation_is_turned_down():
    solver = counted(overlapping(0), AcceleratedEM)
    passes = []
    for _ in range(200):
        before = solver.expectation.n_passes
        solver.step()
        passes.append(solver.expectation.n_passes - before)
    assert set(passes) <= {1, 2}
    assert passes.count(2) <= 20


def test_the_first_two_steps_and_the_first_limit_are_those_of_em():
    problem = overlapping(1)
    plain, accelerated = problem.solver(BatchEM), problem.solver(AcceleratedEM)
    assert [plain.step() for _ in range(4)] == [accelerated.step() for _ in range(4)]


class Misleading(DiagonalMixture):
    """Turns every extrapolated vector into parameters that are worse, or that are none."""

    error = None

    def constrain(self, vector):
        if self.error is not None:
            raise self.error
        return super().constrain(10 * vector)


@pytest.mark.parametrize("error", [None, torch.linalg.LinAlgError("not positive definite")])
def test_where_no_extrapolation_is_better_the_steps_are_those_of_em(error):
    problem = overlapping(2)
    problem.model = Misleading(2, 2, concentration=1.5, shape=1.0, scale=0.3)
    problem.model.error = error
    plain, accelerated = problem.solver(BatchEM), problem.solver(AcceleratedEM)
    assert [plain.step() for _ in range(40)] == [accelerated.step() for _ in range(40)]
    assert accelerated.longest == 1.0 or accelerated.longest == 4.0


def test_the_bound_never_falls_on_the_way_to_a_far_optimum():
    solver = overlapping(0).solver(AcceleratedEM)
    values = []
    for _ in range(150):
        values.append(solver.step())
        assert solver.value() >= values[-1] - 1e-12
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(values))


def test_a_start_at_the_optimum_stays_there():
    problem = overlapping(1)
    solver = problem.solver(AcceleratedEM)
    for _ in range(600):
        solver.step()
    again = problem.solver(AcceleratedEM, start=solver.parameters)
    values = [again.step() for _ in range(20)]
    assert max(values) - min(values) < 1e-12
