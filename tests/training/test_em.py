"""What every solver of exact models keeps."""

from functools import cache
from itertools import pairwise

import pytest
import torch

from skgen.training.em import EM_SOLVERS, BatchEM
from skgen.training.optimizers import SOLVERS
from tests.exact_models import PROBLEMS, DiagonalMixture, SingleMixture, mixture_problem
from tests.oracles import process_state

LINE_SEARCHES = [name for name, optimizer in SOLVERS.items() if optimizer.line_search]
CONFIGURATIONS = {
    "em": {},
    "em-accelerated": {},
    "incremental": {"n_blocks": 4},
    "online": {"batch_size": 64},
    "mcem": {"n_warmup": 3},
} | {f"gradient-{name}": {"method": name} for name in ("adam", *LINE_SEARCHES)}
"""Options for each solver; a name may go on after that of the solver."""
EXACT = ["em", "em-accelerated", "incremental", *(f"gradient-{name}" for name in LINE_SEARCHES)]
REPAIRABLE = [name for name in CONFIGURATIONS if not name.startswith("gradient")]
GAIN = 1e-12
"""Rounding of a bound per unit of weight."""

every_problem = pytest.mark.parametrize("problem", PROBLEMS)
every_solver = pytest.mark.parametrize("name", CONFIGURATIONS)


def solver_class(name):
    return EM_SOLVERS[name if name in EM_SOLVERS else name.partition("-")[0]]


def solver(name, problem, **options):
    return problem.solver(solver_class(name), **(CONFIGURATIONS[name] | options))


@cache
def optimum(problem):
    """EM on a problem until nothing moves."""
    found = PROBLEMS[problem]().solver(BatchEM)
    for _ in range(500):
        found.step()
    return found


def test_every_solver_of_the_table_has_a_configuration():
    assert {solver_class(name) for name in CONFIGURATIONS} == set(EM_SOLVERS.values())


@every_problem
@pytest.mark.parametrize("name", EXACT)
def test_all_reach_the_same_optimum(name, problem):
    best, problem = optimum(problem), PROBLEMS[problem]()
    found = solver(name, problem)
    values = [found.step()]
    while len(values) < 400 and best.value() - values[-1] > 1e-11:
        values.append(found.step())
    assert abs(found.value() - best.value()) < 1e-10
    # The bound is flat there: a gap of 1e-11 is a distance of 1e-5 or so.
    torch.testing.assert_close(
        problem.model.unconstrain(found.parameters), problem.model.unconstrain(best.parameters), rtol=0, atol=1e-4
    )


@every_problem
@pytest.mark.parametrize("name", EXACT)
def test_no_step_lowers_the_bound(name, problem):
    found = solver(name, PROBLEMS[problem]())
    assert found.monotone
    values = [found.step() for _ in range(12)]
    assert all(later >= earlier - GAIN for earlier, later in pairwise(values))
    assert found.value() >= values[-1] - GAIN


@every_problem
def test_the_gradient_is_zero_where_em_stands_still(problem):
    best = optimum(problem)
    _, gradient = best.expectation.backward(best.model.unconstrain(best.parameters))
    assert gradient.abs().max() < 1e-9


@every_solver
@every_problem
@pytest.mark.parametrize("first", [0, 1, 2, 5])
def test_a_run_continues_from_its_state_bit_for_bit(name, problem, first):
    problem = PROBLEMS[problem]()
    whole, continued = solver(name, problem), solver(name, problem)
    for _ in range(first):
        whole.step()
    continued.load({key: value.clone() for key, value in whole.state().items()})
    continued.generator.set_state(whole.generator.get_state())
    assert [whole.step() for _ in range(4)] == [continued.step() for _ in range(4)]
    for key, value in whole.state().items():
        assert torch.equal(value, continued.state()[key])


@every_solver
def test_a_state_does_not_change_with_the_steps_after_it(name):
    found = solver(name, mixture_problem())
    for _ in range(3):
        found.step()
    state = found.state()
    kept = {key: value.clone() for key, value in state.items()}
    for _ in range(3):
        found.step()
    for key, value in kept.items():
        assert torch.equal(state[key], value)


class Pruned(DiagonalMixture):
    """Loses its last component at the fourth M-step."""

    n_calls = 0

    def repair(self, parameters, statistics):
        assert statistics["weight"].shape == parameters["log_weights"].shape
        self.n_calls += 1
        if self.n_calls != 4:
            return None
        self.n_components -= 1
        return {key: torch.log_softmax(v[:2], 0) if v.dim() == 1 else v[:2] for key, v in parameters.items()}


@pytest.mark.parametrize("name", REPAIRABLE)
def test_learning_goes_on_with_fewer_components(name):
    best, problem = optimum("mixture"), mixture_problem()
    problem.model = Pruned(3, 2)
    more = {"log_weights": torch.zeros(1), "means": torch.full((1, 2), -1.0), "variances": torch.ones(1, 2)}
    problem.start = {key: torch.cat([value, more[key].double()]) for key, value in problem.start.items()}
    problem.start["log_weights"] = torch.log_softmax(problem.start["log_weights"], 0)
    found = solver(name, problem, repair=problem.model.repair)
    n_steps = 150 if name in EXACT else 60
    for _ in range(n_steps):
        found.step()
    assert found.parameters["means"].shape == (2, 2)
    assert problem.model.n_calls >= n_steps
    # Parameters drawn from their posterior would have this mean gap, half of one over n for each of them.
    noise = 0.5 * len(problem.model.unconstrain(found.parameters)) / len(problem.x)
    assert abs(found.value() - best.value()) < (1e-9 if name in EXACT else noise)


@pytest.mark.parametrize("name", REPAIRABLE)
@pytest.mark.parametrize("last", [1, 4, 7])
def test_a_step_that_float32_does_not_resolve_is_repeated_from_its_start(name, last):
    problem = mixture_problem(missing=False)
    problem.x = problem.x.float()
    plain = solver(name, problem)
    problem.model = SingleMixture(2, 2, last=last)
    found = solver(name, problem)
    found.rows.single = True
    for i in range(9):
        problem.model.dtypes.clear()
        assert found.step() == plain.step()
        assert i or torch.float32 in problem.model.dtypes
    assert problem.model.n_calls == last
    assert set(problem.model.dtypes) == {torch.float64}
    assert all(torch.equal(value, plain.state()[key]) for key, value in found.state().items())


@every_solver
def test_global_state_and_the_start_are_untouched(name):
    problem = mixture_problem()
    before, start = process_state(), {key: value.clone() for key, value in problem.start.items()}
    found = solver(name, problem)
    for _ in range(3):
        found.step()
    found.value()
    assert process_state() == before
    assert all(torch.equal(problem.start[key], value) for key, value in start.items())


@every_solver
def test_equal_generators_give_equal_runs(name):
    one, two = solver(name, mixture_problem()), solver(name, mixture_problem())
    assert [one.step() for _ in range(4)] == [two.step() for _ in range(4)]
