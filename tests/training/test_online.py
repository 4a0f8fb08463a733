import math

import pytest
import torch

from skgen._rows import Rows
from skgen.training.em import BatchEM
from skgen.training.online import ENTRIES_PER_PARAMETER, OnlineEM
from tests.exact_models import PROBLEMS, mixture_problem
from tests.oracles import within

every_problem = pytest.mark.parametrize("problem", PROBLEMS)


def assert_same_parameters(one, other, tolerance=1e-12):
    for name, value in one.parameters.items():
        torch.testing.assert_close(value, other.parameters[name], rtol=tolerance, atol=tolerance)


@every_problem
def test_one_batch_of_all_rows_and_a_step_size_of_one_is_em(problem):
    problem = PROBLEMS[problem]()
    plain = problem.solver(BatchEM)
    online = problem.solver(OnlineEM, batch_size=len(problem.x), learning_decay=0.0)
    for _ in range(6):
        assert abs(plain.step() - online.step()) < 1e-12
    assert_same_parameters(plain, online)


def optimum(problem):
    best = problem.solver(BatchEM)
    for _ in range(400):
        best.step()
    return best


APART = {
    "mixture": lambda: mixture_problem(distance=4.0),
    "penalised": lambda: mixture_problem(distance=4.0, concentration=1.5, shape=1.0, scale=0.3),
    "factor": PROBLEMS["factor"],
}
"""Problems on which EM converges fast: with step sizes that fall, the start is forgotten as slowly as EM does."""


@pytest.mark.parametrize("problem", APART)
def test_estimates_are_those_of_em_within_standard_errors(problem):
    problem = APART[problem]()
    best = optimum(problem)
    estimates = []
    for seed in range(8):
        online = problem.solver(OnlineEM, seed=seed, batch_size=20)
        for _ in range(40):
            online.step()
        estimates.append(problem.model.unconstrain(online.parameters))
    assert within(torch.stack(estimates), problem.model.unconstrain(best.parameters))


def test_step_sizes_are_those_of_the_formula():
    problem = mixture_problem(n_rows=160, weighted=False)
    online = problem.solver(OnlineEM, batch_size=40, learning_decay=0.6, learning_offset=3.0)
    online.step()
    for n_batches in (5, 6, 7):
        assert online._rate(40) == pytest.approx((3.0 + n_batches) ** -0.6, rel=1e-12)
        online.n_seen += 40
    # A row is a fortieth of a batch: forty of them leave as much of what was there.
    online.n_seen = 1e9
    assert 1 - (1 - online._rate(1)) ** 40 == pytest.approx(online._rate(40), rel=1e-6)


@pytest.mark.parametrize("n_chunk", [1, 7, 100])
def test_parameters_wait_until_enough_has_been_seen(n_chunk):
    problem = mixture_problem(missing=False, weighted=False)
    state, parameters, n_seen = None, problem.start, 0
    needed = ENTRIES_PER_PARAMETER * len(problem.model.unconstrain(problem.start)) / problem.x.shape[1]
    assert needed == 45
    generator = torch.Generator()
    for x in problem.x[:100].split(n_chunk):
        online = OnlineEM(problem.model, Rows(x), parameters, generator=generator, total_weight=1000.0)
        if state is not None:
            online.load(state)
        online.step()
        state, parameters, n_seen = online.state(), online.parameters, n_seen + len(x)
        assert online.n_seen == n_seen
        moved = not torch.equal(parameters["means"], problem.start["means"])
        assert moved == (n_seen >= needed)


def test_until_then_statistics_are_those_of_all_rows_so_far():
    problem = mixture_problem(weighted=False)
    online = problem.solver(OnlineEM, batch_size=10)
    plain = problem.solver(BatchEM)
    online.held = len(problem.x)
    value = online.step()
    assert value == pytest.approx(plain.step(), abs=1e-12)
    assert_same_parameters(plain, online)


def in_chunks(problem, n_chunk, n_passes=4):
    options = {"batch_size": 40, "total_weight": float(len(problem.x)), "generator": torch.Generator()}
    state = problem.solver(OnlineEM, batch_size=40).state()
    for _ in range(n_passes):
        for x in problem.x.split(n_chunk):
            online = OnlineEM(problem.model, Rows(x), problem.start, **options)
            online.load(state)
            online.step()
            state = online.state()
    return problem.solver(BatchEM, start=online.parameters).value()


def test_the_size_of_chunks_matters_little():
    problem = mixture_problem(weighted=False, concentration=1.5, shape=1.0, scale=0.3)
    start, best = problem.solver(BatchEM).value(), optimum(problem).value()
    values = [in_chunks(problem, n_chunk) for n_chunk in (1, 4, 16)]
    assert max(values) - min(values) < 0.01 * (best - start)
    assert best - min(values) < 0.1 * (best - start)


def test_rows_without_weight_are_absent():
    problem = mixture_problem(weighted=False, missing=False)
    weight = torch.ones(len(problem.x)).double()
    weight[50:] = 0
    few = Rows(problem.x[:50])
    runs = [
        OnlineEM(problem.model, rows, problem.start, generator=torch.Generator(), batch_size=200)
        for rows in (Rows(problem.x, weight), few)
    ]
    for _ in range(3):
        assert abs(runs[0].step() - runs[1].step()) < 1e-12
    assert runs[0].n_seen == runs[1].n_seen == 150
    assert_same_parameters(*runs)
    batches = OnlineEM(problem.model, Rows(problem.x, weight), problem.start, generator=torch.Generator(), batch_size=1)
    assert math.isfinite(batches.step())
    assert batches.n_seen == 50


def test_the_scale_of_the_weights_does_not_matter_without_priors():
    problem = mixture_problem()
    one = problem.solver(OnlineEM, batch_size=40)
    problem.weight = 8 * problem.weight
    other = problem.solver(OnlineEM, batch_size=40)
    for _ in range(3):
        assert abs(one.step() - other.step()) < 1e-12
    assert_same_parameters(one, other)


def test_more_rows_to_come_make_priors_weaker():
    problem = mixture_problem(concentration=30.0, missing=False)
    few, many = (problem.solver(OnlineEM, total_weight=total) for total in (100.0, 1e6))
    few.step(), many.step()
    assert few.parameters["log_weights"].std() < many.parameters["log_weights"].std()


def test_a_repair_begins_the_statistics_again():
    problem = mixture_problem()
    calls = []

    def repair(parameters, statistics):
        calls.append(parameters)
        return problem.start if len(calls) == 3 else None

    online = problem.solver(OnlineEM, batch_size=40, repair=repair)
    online.step()
    assert online.n_seen < len(problem.x)
    assert math.isfinite(online.step())


def test_learning_resumes_from_statistics_at_the_parameters_given():
    problem = mixture_problem()
    whole = problem.solver(OnlineEM, batch_size=40)
    for _ in range(2):
        whole.step()
    resumed = problem.solver(OnlineEM, batch_size=40, start=whole.parameters)
    resumed.resume(whole.statistics, whole.n_seen)
    resumed.generator.set_state(whole.generator.get_state())
    assert whole.step() == resumed.step()
    assert_same_parameters(whole, resumed, tolerance=0.0)
