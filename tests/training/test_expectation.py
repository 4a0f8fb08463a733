import copy

import pytest
import torch

from skgen._exact_model import added
from skgen._rows import Rows
from skgen.training.expectation import Expectation, Solver, mixed
from tests.exact_models import PROBLEMS, DiagonalMixture, mixture_problem
from tests.oracles import central_differences
from tests.parts import normal

every_problem = pytest.mark.parametrize("problem", PROBLEMS)


def moved(problem, generator):
    """Parameters some way from the start."""
    vector = problem.model.unconstrain(problem.start)
    return problem.model.constrain(vector + 0.3 * normal(len(vector), generator=generator))


def assert_same(statistics, others):
    assert statistics.keys() == others.keys()
    for name, value in statistics.items():
        torch.testing.assert_close(value, others[name], rtol=1e-11, atol=1e-11)


@every_problem
@pytest.mark.parametrize("tile_rows", [1, 7, 1000])
def test_statistics_and_value_do_not_depend_on_the_tiles(problem, tile_rows, generator):
    problem = PROBLEMS[problem]()
    parameters = moved(problem, generator)
    statistics, value = Expectation(problem.model, problem.rows())(parameters)
    rows = Rows(problem.x, problem.weight, tile_rows=tile_rows, incomplete_tile_rows=tile_rows)
    others, other_value = Expectation(problem.model, rows)(parameters)
    assert_same(statistics, others)
    assert abs(value - other_value) < 1e-12


@every_problem
def test_statistics_and_log_likelihoods_of_batches_add_up(problem, generator):
    problem = PROBLEMS[problem]()
    parameters = moved(problem, generator)
    statistics, value = Expectation(problem.model, problem.rows()).sums(parameters)
    total, sum_of_values = {}, 0.0
    for index in torch.randperm(len(problem.x), generator=generator).split(70):
        more, part = Expectation(problem.model, problem.rows().take(index)).sums(parameters)
        total, sum_of_values = added(total, more), sum_of_values + part
    assert_same(statistics, total)
    assert abs(value - sum_of_values) < 1e-9


@every_problem
def test_an_integer_weight_is_that_many_rows_and_no_weight_is_none(problem, generator):
    problem = PROBLEMS[problem]()
    parameters = moved(problem, generator)
    count = torch.randint(0, 4, (len(problem.x),), generator=generator)
    weighted = Expectation(problem.model, Rows(problem.x, count.double()))(parameters)
    repeated = Expectation(problem.model, Rows(problem.x.repeat_interleave(count, 0)))(parameters)
    assert_same(weighted[0], repeated[0])
    assert abs(weighted[1] - repeated[1]) < 1e-12


@every_problem
def test_the_value_is_that_of_the_gradient_s_function(problem, generator):
    problem = PROBLEMS[problem]()
    expectation = Expectation(problem.model, problem.rows())
    vector = problem.model.unconstrain(moved(problem, generator))
    value, gradient = expectation.backward(vector)
    assert abs(value - expectation.value(problem.model.constrain(vector))) < 1e-12
    directions = normal(4, len(vector), generator=generator)
    slopes = central_differences(lambda: expectation.value(problem.model.constrain(vector)), vector, directions)
    torch.testing.assert_close(directions @ gradient, slopes, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("problem", ["mixture", "penalised"])
def test_the_gradient_is_that_of_the_expected_log_joint(problem, generator):
    """Fisher's identity."""
    problem = PROBLEMS[problem]()
    model, parameters = problem.model, moved(problem, generator)
    expectation = Expectation(model, problem.rows())
    vector = model.unconstrain(parameters)
    statistics, _ = expectation(parameters)
    leaf = vector.clone().requires_grad_()
    bound = model.expected_log_joint(statistics, model.constrain(leaf)) + model.log_prior(model.constrain(leaf))
    slope = torch.autograd.grad(bound / expectation.weight, leaf)[0]
    torch.testing.assert_close(expectation.backward(vector)[1], slope, rtol=1e-11, atol=1e-12)


def test_statistics_mix_by_a_rate_and_count_as_zero_where_they_are_absent():
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    result = mixed({"a": one, "b": two}, {"b": one, "c": two}, 0.25)
    assert {name: float(value) for name, value in result.items()} == {"a": 0.75, "b": 1.75, "c": 0.5}
    assert mixed({}, {"a": two}, 1.0) == {"a": two}
    assert float(one) == 1.0


class Plain(Solver):
    """EM, with what a test wants to happen."""

    def _step(self):
        statistics, value = self.expectation(self.parameters)
        self._finite(value)
        self._maximise(statistics)
        return value

    def _restart(self):
        self.restarted = True


class Spoilt(DiagonalMixture):
    """Gives parameters that are not numbers, or cannot be bound, from its third M-step on."""

    n_calls, error = 0, None

    def m_step(self, statistics, parameters):
        self.n_calls += 1
        parameters = super().m_step(statistics, parameters)
        if self.n_calls < 3:
            return parameters
        if self.error is not None:
            raise self.error
        return parameters | {"means": parameters["means"] * torch.nan}


@pytest.mark.parametrize("error", [None, torch.linalg.LinAlgError("not positive definite")])
def test_parameters_that_are_not_finite_raise_with_iteration_and_remedy_and_are_not_kept(error):
    problem = mixture_problem()
    problem.model = Spoilt(2, 2)
    problem.model.error = error
    solver = problem.solver(Plain)
    solver.step()
    solver.step()
    before = copy.copy(solver.parameters)
    with pytest.raises(FloatingPointError, match=r"iteration 3: .* not finite.*reg_covar"):
        solver.step()
    assert solver.parameters == before


def test_a_bound_that_is_not_finite_raises():
    problem = mixture_problem(missing=False)
    problem.x[3] = torch.inf
    solver = problem.solver(Plain)
    with pytest.raises(FloatingPointError, match="iteration 1: the log-likelihood is not finite"):
        solver.step()
    with pytest.raises(FloatingPointError, match="the log-likelihood is not finite"):
        solver.value()


def test_a_repair_replaces_the_parameters_and_ends_what_is_remembered():
    problem = mixture_problem()
    seen = []

    def repair(parameters, statistics):
        seen.append((parameters, statistics))
        return problem.start if len(seen) == 2 else None

    solver = problem.solver(Plain, repair=repair)
    solver.restarted = False
    solver.step()
    assert not solver.restarted
    assert solver.parameters == seen[0][0]
    solver.step()
    assert solver.restarted
    assert solver.parameters == problem.start
    assert seen[0][1].keys() == {"weight", "seen", "first", "second"}


def test_a_state_of_another_solver_is_refused():
    solver = mixture_problem().solver(Plain)
    with pytest.raises(ValueError, match="another solver"):
        solver.load(solver.state() | {"solver.path.0": torch.zeros(1)})
