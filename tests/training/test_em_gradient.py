from itertools import pairwise

import pytest
import torch

from skgen.training.em_gradient import GradientEM
from skgen.training.optimizers import SOLVERS
from tests.exact_models import PROBLEMS, DiagonalMixture, mixture_problem

LINE_SEARCHES = [name for name, optimizer in SOLVERS.items() if optimizer.line_search]


class Cramped(DiagonalMixture):
    """A domain that ends near the start: beyond it there are no parameters."""

    n_outside = 0
    limit = 1.6

    def constrain(self, vector):
        if vector.abs().max() > self.limit:
            self.n_outside += 1
            if self.n_outside % 2:
                raise torch.linalg.LinAlgError("outside")
            return super().constrain(vector * torch.nan)
        return super().constrain(vector)


@pytest.mark.parametrize("method", LINE_SEARCHES)
def test_trials_outside_the_domain_shorten_the_step(method):
    problem = mixture_problem()
    problem.model = Cramped(2, 2)
    solver = problem.solver(GradientEM, method=method)
    values = [solver.step() for _ in range(15)]
    assert problem.model.n_outside > 0
    assert values[-1] > values[0] + 0.05
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(values))
    assert problem.model.unconstrain(solver.parameters).abs().max() <= problem.model.limit


def test_a_start_outside_the_domain_raises():
    problem = mixture_problem()
    problem.model = Cramped(2, 2)
    problem.model.limit = 1.0
    with pytest.raises(FloatingPointError, match="iteration 1"):
        problem.solver(GradientEM).step()


@pytest.mark.parametrize("method", LINE_SEARCHES)
def test_a_step_begins_where_the_one_before_has_evaluated(method):
    solver = mixture_problem().solver(GradientEM, method=method)
    expectation, visited = solver.expectation.backward, []

    def backward(vector):
        visited.append(vector.clone())
        return expectation(vector)

    solver.expectation.backward = backward
    for _ in range(4):
        solver.step()
    assert not any(torch.equal(one, other) for one, other in pairwise(visited))
    assert len(visited) < 4 * (4 if method != "newton-cg" else 40)


def test_a_learning_rate_of_zero_changes_nothing():
    problem = mixture_problem()
    solver = problem.solver(GradientEM, method="adam", learning_rate=0.0)
    values = {solver.step() for _ in range(3)}
    assert len(values) == 1
    for name, value in solver.parameters.items():
        torch.testing.assert_close(value, problem.start[name], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("problem", ["penalised", "complete"])
def test_adam_comes_to_the_optimum_of_the_line_searches(problem):
    problem = PROBLEMS[problem]()
    adam = problem.solver(GradientEM, method="adam", learning_rate=0.05)
    search = problem.solver(GradientEM)
    for _ in range(40):
        search.step()
    for _ in range(500):
        adam.step()
    assert abs(search.value() - adam.value()) < 1e-5
