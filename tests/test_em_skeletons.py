"""The skeletons of covariances, exact models and solvers are complete: each one keeps the contract of its family."""

import importlib.util
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils._param_validation import StrOptions

from skgen import BayesianGaussianMixture, GaussianMixture
from skgen._exact_model import added
from skgen._rows import Rows
from skgen.distributions.covariance import COVARIANCES
from skgen.models.mixture import GaussianMixtureModel
from skgen.training.em import EM_SOLVERS, BatchEM
from skgen.training.expectation import Expectation
from tests.exact_models import PROBLEMS, mixture_problem
from tests.parts import normal

FOLDER = Path(__file__).parents[1] / "doc" / "developer" / "skeletons"
# Of a bound in nats per row: sums over a few hundred rows of terms of order one to ten.
ROUNDING = 1e-11


def load(name):
    spec = importlib.util.spec_from_file_location(f"em_skeleton_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COVARIANCE, MODEL, SOLVER = load("covariance"), load("exact_model"), load("solver")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def bounds(solver, n_steps):
    """The bounds that steps report, and the one at the end."""
    return [*(solver.step() for _ in range(n_steps)), solver.value()]


def rising(values):
    return all(new >= old - ROUNDING for old, new in pairwise(values))


# -- covariance ----------------------------------------------------------------------------------------------


def exchangeable(d, generator):
    root = normal(3, d, d, generator=generator)
    return COVARIANCE.Exchangeable().from_matrices(root @ root.mT + 0.3 * torch.eye(d).double())


@pytest.mark.parametrize("d", [1, 2, 5])
def test_covariances_come_back_from_their_numbers(d, generator):
    structure, covariance = COVARIANCE.Exchangeable(), exchangeable(d, generator)
    numbers = structure.unconstrain(covariance)
    assert numbers.shape == (3, structure.n_parameters(d))
    torch.testing.assert_close(structure.constrain(numbers, d), covariance)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_covariance_of_a_scatter_has_the_largest_likelihood(d, generator):
    structure = COVARIANCE.Exchangeable()
    root = normal(3, d, 2 * d, generator=generator)
    scatter = root @ root.mT
    numbers = structure.unconstrain(structure.unpack(structure.pack(scatter), d)).requires_grad_()
    with torch.enable_grad():
        covariance = structure.constrain(numbers, d)
        inside = torch.logdet(covariance) + (torch.linalg.inv(covariance) * scatter).sum((1, 2))
        gradient = torch.autograd.grad(inside.sum(), numbers)[0]
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-10)


def mixture_start(model, generator):
    covariances = model.covariance.from_matrices(torch.eye(model.n_features).double().repeat(2, 1, 1))
    means = normal(2, model.n_features, generator=generator)
    return {"log_weights": torch.full((2,), 0.5).double().log(), "means": means, "covariances": covariances}


def test_a_mixture_of_the_structure_learns_from_incomplete_rows_and_keeps_it(generator):
    model = GaussianMixtureModel(COVARIANCE.Exchangeable(), 2, 4)
    x = normal(300, 4, generator=generator) + 2 * normal(300, 1, generator=generator)
    x[torch.rand(300, 4, generator=generator) < 0.2] = torch.nan
    solver = BatchEM(model, Rows(x), mixture_start(model, generator), generator=generator)
    assert rising(bounds(solver, 20))
    learnt = solver.parameters["covariances"]
    torch.testing.assert_close(learnt, model.covariance.from_matrices(learnt))


@pytest.mark.parametrize("estimator", [GaussianMixture, BayesianGaussianMixture])
def test_one_line_in_the_table_gives_mixtures_another_covariance_type(estimator, monkeypatch, generator):
    monkeypatch.setitem(COVARIANCES, "exchangeable", COVARIANCE.Exchangeable())
    monkeypatch.setitem(estimator._parameter_constraints, "covariance_type", [StrOptions({"exchangeable"})])
    X = normal(200, 3, generator=generator).numpy() + np.repeat([[0.0], [5.0]], 100, axis=0)
    X[::7, 1] = np.nan
    fitted = estimator(2, covariance_type="exchangeable", random_state=0).fit(X)
    assert fitted.covariances_.shape == fitted.precisions_cholesky_.shape == (2, 3, 3)
    np.testing.assert_allclose(fitted.covariances_, fitted.covariances_.transpose(0, 2, 1))
    np.testing.assert_allclose(fitted.covariances_[:, 0, 1], fitted.covariances_[:, 1, 2])
    if estimator is GaussianMixture:
        X = np.nan_to_num(X)
        np.testing.assert_allclose(fitted.to_sklearn().score_samples(X), fitted.score_samples(X), rtol=1e-9)
        again = GaussianMixture.from_parameters(
            fitted.weights_, fitted.means_, fitted.covariances_, covariance_type="exchangeable"
        )
        np.testing.assert_allclose(again.score_samples(X), fitted.score_samples(X), rtol=1e-9)
    else:
        given = estimator(2, covariance_type="exchangeable", covariance_prior=fitted.covariance_prior_, random_state=0)
        assert given.fit(X).lower_bound_ == pytest.approx(fitted.lower_bound_, rel=1e-12)


# -- exact model ---------------------------------------------------------------------------------------------


def counts(generator, *, missing=True):
    """Counts of two kinds of rows, some entries missing, with weights."""
    rates = torch.tensor([[1.0, 5.0, 2.0], [6.0, 2.0, 2.0]]).double()
    x = torch.poisson(rates[(torch.arange(200) % 3 == 0).long()], generator=generator)
    if missing:
        x[torch.rand(x.shape, generator=generator) < 0.1] = torch.nan
    return Rows(x, 0.5 + torch.rand(200, generator=generator).double(), tile_rows=50, incomplete_tile_rows=20)


def poisson_start():
    rates = torch.tensor([[2.0, 4.0, 2.0], [4.0, 3.0, 2.0]]).double()
    return {"log_weights": torch.tensor([0.5, 0.5]).double().log(), "rates": rates}


def test_the_density_of_counts_adds_up_to_one():
    model = MODEL.PoissonMixture(2, 2)
    parameters = {"log_weights": torch.tensor([0.3, 0.7]).double().log(), "rates": poisson_start()["rates"][:, :2]}
    grid = torch.cartesian_prod(torch.arange(60), torch.arange(60)).double()
    tile = next(iter(Rows(grid, tile_rows=3600)))
    # The tails beyond 60 of rates of at most 4 are below 1e-40.
    assert float(model.bind(parameters).log_prob(tile).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_a_missing_count_is_summed_over():
    model = MODEL.PoissonMixture(2, 3)
    posterior = model.bind(poisson_start())
    some = next(iter(Rows(torch.tensor([[1.0, torch.nan, 3.0]]).double())))
    each = torch.tensor([[1.0, k, 3.0] for k in range(80)]).double()
    whole = torch.logsumexp(posterior.log_prob(next(iter(Rows(each)))), 0)
    torch.testing.assert_close(posterior.log_prob(some)[0], whole)


def test_statistics_of_the_model_add_over_tiles(generator):
    model, rows = MODEL.PoissonMixture(2, 3), counts(generator)
    whole = Rows(rows.x, rows.weight)
    found, value = Expectation(model, rows)(poisson_start())
    expected, expected_value = Expectation(model, whole)(poisson_start())
    assert value == pytest.approx(expected_value, rel=1e-13)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("name", ["em", "em-accelerated", "incremental", "gradient"])
def test_solvers_find_the_maximum_of_the_model(name, generator):
    model, rows = MODEL.PoissonMixture(2, 3), counts(generator)
    solver = EM_SOLVERS[name](model, rows, poisson_start(), generator=generator)
    for _ in range(100):
        solver.step()
    slope = Expectation(model, rows).backward(model.unconstrain(solver.parameters))[1]
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-7)


def test_draws_of_the_model_are_unbiased(generator):
    model = MODEL.PoissonMixture(2, 3)
    posterior, tile = model.bind(poisson_start()), next(counts(generator).incomplete_tiles())
    expected = posterior.expect(tile)[0]
    draws = [posterior.draw(tile, generator) for _ in range(2000)]
    for name, value in expected.items():
        values = torch.stack([each[name] for each in draws])
        error = values.std(0) / len(values) ** 0.5
        assert (torch.abs(values.mean(0) - value) <= 5 * error + 1e-12).all()


def test_counts_are_filled_in_by_means_and_by_draws_of_them(generator):
    model = MODEL.PoissonMixture(2, 3)
    posterior, tile = model.bind(poisson_start()), next(counts(generator).incomplete_tiles())
    mean = posterior.impute(tile)
    assert mean[tile.observed.mask].equal(tile.x[tile.observed.mask])
    draws = torch.stack([posterior.impute(tile, generator) for _ in range(2000)])
    error = draws.std(0) / len(draws) ** 0.5
    assert (torch.abs(draws.mean(0) - mean) <= 5 * error).all()


# -- solver --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_bound_of_the_solver_never_falls(name):
    assert rising(bounds(PROBLEMS[name]().solver(SOLVER.OverrelaxedEM), 40))


def test_the_solver_gains_on_em_and_ends_where_the_gradient_is_zero():
    problem = mixture_problem(distance=1.5)
    plain, faster = problem.solver(BatchEM), problem.solver(SOLVER.OverrelaxedEM)
    assert bounds(faster, 50)[-1] > bounds(plain, 50)[-1] + ROUNDING
    for _ in range(300):
        faster.step()
    slope = faster.expectation.backward(problem.model.unconstrain(faster.parameters))[1]
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-7)


def test_the_solver_continues_bit_for_bit():
    problem = mixture_problem()
    whole, first, second = (problem.solver(SOLVER.OverrelaxedEM) for _ in range(3))
    expected = bounds(whole, 12)
    assert bounds(first, 5)[:5] == expected[:5]
    second.load({name: value.clone() for name, value in first.state().items()})
    assert bounds(second, 7) == expected[5:]


def test_the_solver_starts_over_after_a_repair():
    calls = []

    def repair(parameters, statistics):
        calls.append(added({}, statistics))
        moved = parameters | {"means": parameters["means"] + 0.5}
        return moved if len(calls) == 3 else None

    solver = mixture_problem().solver(SOLVER.OverrelaxedEM, repair=repair)
    values = bounds(solver, 10)
    assert rising(values[3:])
    assert math.isfinite(solver.reference)
