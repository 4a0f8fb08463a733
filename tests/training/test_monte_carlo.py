import pytest
import torch

from skgen.samplers import langevin
from skgen.training.em import BatchEM
from skgen.training.expectation import Expectation
from skgen.training.monte_carlo import AVERAGING_DECAY, MonteCarloEM
from tests.exact_models import PROBLEMS, factor_problem, mixture_problem
from tests.oracles import within

every_problem = pytest.mark.parametrize("problem", PROBLEMS)
SAMPLERS = {"draws": None, "langevin": langevin}
CASES = [(problem, sampler) for problem in PROBLEMS for sampler in SAMPLERS]
CASES = [case for case in CASES if case[1] == "draws" or case[0] in ("factor", "complete")]


@pytest.mark.parametrize(("problem", "sampler"), CASES)
def test_estimates_are_those_of_em_within_standard_errors(problem, sampler):
    problem = PROBLEMS[problem]()
    best = problem.solver(BatchEM)
    for _ in range(300):
        best.step()
    estimates = []
    for seed in range(6):
        solver = problem.solver(MonteCarloEM, seed=seed, n_warmup=30, sampler=SAMPLERS[sampler])
        for _ in range(80):
            solver.step()
        estimates.append(problem.model.unconstrain(solver.parameters))
    assert within(torch.stack(estimates), problem.model.unconstrain(best.parameters))


@every_problem
def test_a_step_returns_the_exact_bound_before_it(problem):
    solver = PROBLEMS[problem]().solver(MonteCarloEM)
    for _ in range(3):
        exact = solver.value()
        assert solver.step() == exact


@pytest.mark.parametrize(("problem", "sampler"), CASES)
def test_the_mean_of_draws_is_the_expectation(problem, sampler):
    problem = PROBLEMS[problem]()
    expected = Expectation(problem.model, problem.rows())(problem.start)[0]
    solver = problem.solver(MonteCarloEM, sampler=SAMPLERS[sampler], n_moves=20)
    draws = []
    posterior = problem.model.bind(problem.start)
    for _ in range(80):
        total = {}
        for i, tile in enumerate(solver.rows):
            for name, value in solver._draw(posterior, tile, i).items():
                total[name] = total.get(name, 0.0) + value
        draws.append(total)
    for name, value in expected.items():
        # Chains take a few draws to forget where they began.
        assert within(torch.stack([each[name] for each in draws[10:]]), value), name


def test_weights_of_draws_fall_after_the_warm_up():
    solver = mixture_problem().solver(MonteCarloEM, n_warmup=2)
    rates = []
    for _ in range(6):
        rates.append(solver.rate)
        solver.step()
    assert rates == [1.0, 1.0, *(t**-AVERAGING_DECAY for t in (1, 2, 3, 4))]


def test_more_draws_make_less_noise():
    problem = mixture_problem()
    spread = {}
    for n_draws in (1, 16):
        means = []
        for seed in range(20):
            solver = problem.solver(MonteCarloEM, seed=seed, n_draws=n_draws)
            solver.step()
            means.append(solver.parameters["means"])
        spread[n_draws] = torch.stack(means).var(0).mean()
    # The variance is a sixteenth; that of an estimate of it from 20 runs is about a tenth, squared.
    assert spread[16] < spread[1] / 4


def test_a_repair_begins_the_average_again():
    problem = mixture_problem()
    calls = []

    def repair(parameters, statistics):
        calls.append(parameters)
        return problem.start if len(calls) == 5 else None

    solver = problem.solver(MonteCarloEM, n_warmup=2, repair=repair)
    rates = []
    for _ in range(8):
        rates.append(solver.rate)
        solver.step()
    assert rates[5:] == [1.0, 2**-AVERAGING_DECAY, 3**-AVERAGING_DECAY]


@pytest.mark.parametrize("first", [1, 4])
def test_chains_continue_from_a_state_bit_for_bit(first):
    problem = factor_problem()
    options = {"sampler": langevin, "n_warmup": 2}
    whole, continued = problem.solver(MonteCarloEM, **options), problem.solver(MonteCarloEM, seed=3, **options)
    for _ in range(first):
        whole.step()
    continued.load({name: value.clone() for name, value in whole.state().items()})
    continued.generator.set_state(whole.generator.get_state())
    assert [whole.step() for _ in range(3)] == [continued.step() for _ in range(3)]
    for name, value in whole.state().items():
        assert torch.equal(value, continued.state()[name])
    with pytest.raises(ValueError, match="the sampler that made it"):
        problem.solver(MonteCarloEM).load(whole.state())
