"""EM of mixtures (skgen.models.mixture) against scikit-learn's, its theorems, and its digits."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as PlainMixture

from skgen._rows import Rows, Tile
from skgen.distributions.covariance import COVARIANCES
from skgen.models.mixture import EPSILON, RESOLVED, GaussianMixtureModel
from skgen.training.expectation import Expectation
from tests.mixtures import (
    NAN,
    ROUNDING,
    D,
    K,
    close,
    drawn,
    expected_log_joint,
    matrices_of,
    maximised,
    parameters_of,
    prior_of,
    start_at,
    with_gaps,
)
from tests.oracles import exact_normal_terms
from tests.parts import normal

# An iteration of EM magnifies rounding errors by the condition of the problem; scikit-learn makes errors of its own.
STEP = {"rtol": 1e-8, "atol": 1e-8}


@pytest.fixture(params=sorted(COVARIANCES))
def structure(request):
    return COVARIANCES[request.param]


@pytest.fixture
def model(structure):
    return GaussianMixtureModel(structure, K, D)


def plain_steps(kind, x, n_iter, reg_covar):
    """Start and steps of scikit-learn, in float64: means, weights, covariances and the bound of every step."""
    means = x[:K]
    precision = {"full": np.stack([np.eye(D)] * K), "tied": np.eye(D), "diag": np.ones((K, D)), "spherical": np.ones(K)}
    plain = PlainMixture(
        K,
        covariance_type=kind,
        max_iter=1,
        tol=0,
        reg_covar=reg_covar,
        means_init=means,
        weights_init=np.full(K, 1 / K),
        precisions_init=precision[kind],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain.fit(x)
    steps = []
    for _ in range(n_iter):
        value, log_r = plain._e_step(x)
        steps.append((plain.means_.copy(), plain.weights_.copy(), plain.covariances_.copy(), value))
        plain._m_step(x, log_r)
    return steps


@pytest.mark.parametrize("reg_covar", [0.0, 1e-2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("far", [0.0, 1e5])
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_each_iteration_is_scikit_learns_at_any_distance_from_the_origin(kind, far, dtype, reg_covar, generator):
    model = GaussianMixtureModel(COVARIANCES[kind], K, D, reg_covar=reg_covar)
    truth = parameters_of(model, generator)
    x = (drawn(model, truth, 300, generator) + far).to(dtype)
    # scikit-learn loses digits far from the origin; these differences have no rounding error.
    near = x.double() - far
    parameters, rows = model.refreshed(start_at(model, x[:K].double())), Rows(x, tile_rows=64)
    expectation = Expectation(model, rows)
    for means, weights, covariances, value in plain_steps(kind, near.numpy(), 15, reg_covar):
        statistics, _ = expectation(parameters)
        parameters = model.refreshed(model.m_step(statistics, parameters))
        found = parameters["covariances"]
        found = {"spherical": found[:, 0], "tied": found[0]}.get(kind, found)
        torch.testing.assert_close(parameters["means"] - far, torch.tensor(means), **STEP)
        torch.testing.assert_close(parameters["log_weights"].exp(), torch.tensor(weights), **STEP)
        torch.testing.assert_close(found, torch.tensor(covariances), **STEP)
        assert expectation.value(parameters) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("far", [0.0, 1e3])
def test_rows_multiplied_in_float32_give_the_likelihood_of_float64(structure, far, generator):
    model = GaussianMixtureModel(structure, K, D, reg_covar=1e-3)
    x = (far + drawn(model, parameters_of(model, generator), 500, generator)).float()
    center = x.double().mean(0)
    start = start_at(model, x[:K].double() - center)
    _, found = maximised(model, Rows(x, center=center, tile_rows=64, single=True), start, 15)
    _, expected = maximised(model, Rows(x, center=center, tile_rows=64), start, 15)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=0)


@pytest.mark.parametrize("centred", [False, True])
def test_the_variance_of_two_far_points_in_float32_is_what_is_added_to_it(structure, centred):
    x = torch.tensor([[9999.0], [0.0]], dtype=torch.float32)
    model = GaussianMixtureModel(structure, 2, 1, reg_covar=0.1)
    center = x.double().mean(0) if centred else None
    rows = Rows(x, center=center)
    start = {
        "log_weights": torch.full((2,), -math.log(2), dtype=torch.float64),
        "means": x.double() - (center if centred else 0),
        "covariances": torch.full(start_at(model, torch.zeros(2, 1))["covariances"].shape, 1e6, dtype=torch.float64),
    }
    parameters, _ = maximised(model, rows, start, 5)
    torch.testing.assert_close(
        parameters["covariances"], torch.full_like(start["covariances"], 0.1), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(parameters["means"], start["means"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("penalised", [False, True])
def test_em_never_lowers_the_penalised_bound(structure, penalised, gaps, generator):
    model = GaussianMixtureModel(structure, K, D, prior=prior_of(structure, generator) if penalised else None)
    x = drawn(model, parameters_of(model, generator), 200, generator)
    rows = Rows(with_gaps(x, generator) if gaps else x, tile_rows=64, incomplete_tile_rows=37)
    _, values = maximised(model, rows, start_at(model, x[:K]), 30)
    values = torch.tensor(values)
    assert bool((values.diff() >= -1e-13 * values[1:].abs()).all())
    assert float(values[-1] - values[0]) > 0.1


@pytest.mark.parametrize("penalised", [False, True])
def test_the_m_step_maximises_the_expected_complete_log_likelihood(structure, penalised, generator):
    prior = prior_of(structure, generator) if penalised else None
    model = GaussianMixtureModel(structure, K, D, prior=prior)
    parameters = parameters_of(model, generator)
    x = with_gaps(drawn(model, parameters, 100, generator), generator, share=0.1)
    statistics, _ = Expectation(model, Rows(x)).sums(parameters)
    vector = model.unconstrain(model.m_step(statistics, parameters)).requires_grad_()
    found = model.constrain(vector)
    (gradient,) = torch.autograd.grad(expected_log_joint(model, found, statistics) + model.log_prior(found), vector)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_gradient_of_the_likelihood_is_that_of_the_expected_complete_one(model, gaps, generator):
    parameters = parameters_of(model, generator)
    x = drawn(model, parameters_of(model, generator), 100, generator)
    rows = Rows(with_gaps(x, generator) if gaps else x, tile_rows=33)
    vector = model.unconstrain(parameters).requires_grad_()
    statistics, value = Expectation(model, rows).sums(parameters)
    (expected,) = torch.autograd.grad(expected_log_joint(model, model.constrain(vector), statistics), vector)
    total = sum(model.bind(model.constrain(vector)).log_prob(tile).sum() for tile in rows)
    torch.testing.assert_close(total, value, **ROUNDING)
    torch.testing.assert_close(torch.autograd.grad(total, vector)[0], expected, **ROUNDING)


@pytest.mark.parametrize("penalised", [False, True])
def test_a_fixed_point_of_em_has_no_gradient(structure, penalised, generator):
    model = GaussianMixtureModel(structure, K, D, prior=prior_of(structure, generator) if penalised else None)
    parameters = parameters_of(model, generator, spread=5.0)
    x = drawn(model, parameters, 200, generator)
    rows = Rows(with_gaps(x, generator, share=0.1))
    parameters, values = maximised(model, rows, parameters, 200)
    close(model.m_step(Expectation(model, rows).sums(parameters)[0], parameters), parameters)
    value, gradient = Expectation(model, rows).backward(model.unconstrain(parameters))
    assert value == pytest.approx(values[-1], rel=1e-12)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-10)


def test_a_row_with_nothing_observed_moves_no_fixed_point(model, generator):
    parameters = parameters_of(model, generator, spread=5.0)
    x = drawn(model, parameters, 200, generator)
    parameters, _ = maximised(model, Rows(x), parameters, 200)
    more = torch.cat([x, torch.full((50, D), NAN, dtype=torch.float64)])
    close(model.m_step(Expectation(model, Rows(more)).sums(parameters)[0], parameters), parameters)


def test_a_component_without_rows_gets_finite_parameters(structure, generator):
    model = GaussianMixtureModel(structure, K, D, reg_covar=1e-3)
    x = normal(50, D, generator=generator)
    start = start_at(model, torch.cat([x[: K - 1], torch.full((1, D), 1e4)]))
    parameters, values = maximised(model, Rows(x), start, 5)
    assert all(bool(value.isfinite().all()) for value in parameters.values())
    assert all(math.isfinite(value) for value in values)


# -- rounding ---------------------------------------------------------------------------------------------------------


def correlated(condition, d, generator):
    """A covariance with any axes and a given condition number."""
    axes, _ = torch.linalg.qr(normal(d, d, generator=generator))
    matrix = (axes * torch.logspace(0, -math.log10(condition), d, dtype=torch.float64)) @ axes.T
    return (matrix + matrix.T) / 2


def exact_log_prob(model, parameters, x):
    """Log-densities of the only component by rational arithmetic."""
    matrix = matrices_of(model, parameters)[0]
    terms = [exact_normal_terms(row, parameters["means"][0], matrix) for row in x]
    return torch.tensor(
        [-0.5 * (sum(pair) + len(matrix) * math.log(2 * math.pi)) for pair in terms], dtype=torch.float64
    )


@pytest.mark.parametrize("d", [2, 5, 12])
@pytest.mark.parametrize("spread", [0.0, 3.0, 1e3])
@pytest.mark.parametrize("condition", [1e1, 1e4, 1e8])
def test_the_bound_on_rounding_holds_for_features_about_the_center(condition, spread, d, structure, generator):
    model = GaussianMixtureModel(structure, K, d)
    parameters = parameters_of(model, generator, spread=spread)
    groups = structure.n_groups(K)
    matrices = torch.stack([correlated(condition, d, generator) for _ in range(groups)])
    parameters["covariances"] = structure.from_matrices(matrices)
    tile = Tile(drawn(model, parameters, 200, generator))
    fast = model.bind(parameters).log_prob(tile)
    careful = model.bind(parameters | {"reference": parameters["means"]}).log_prob(tile)
    assert float((fast - careful).abs().mean()) <= model.rounding(parameters) + 1e-15 * float(fast.abs().max())


@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4, 1e6])
def test_statistics_are_taken_about_the_means_where_digits_would_be_lost(model, spread, generator):
    parameters = parameters_of(model, generator, spread=spread)
    for start in (parameters, parameters | {"reference": torch.zeros(K, D)}):
        found = model.refreshed(start)
        assert ("reference" in found) == (model.rounding(parameters) > RESOLVED)
        assert "reference" not in found or found["reference"] is found["means"]
    assert (spread > 1e3) == ("reference" in found)


def test_log_densities_are_exact_a_million_deviations_from_the_center(structure, generator):
    model = GaussianMixtureModel(structure, 1, D)
    parameters = model.refreshed(parameters_of(model, generator, spread=1e6))
    x = drawn(model, parameters, 20, generator)
    found = model.bind(parameters).log_prob(Tile(x))
    torch.testing.assert_close(found, exact_log_prob(model, parameters, x), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("condition", [1e8, 1e12])
def test_log_densities_lose_no_more_digits_than_the_condition_number(condition, generator):
    model = GaussianMixtureModel(COVARIANCES["full"], 1, D)
    parameters = parameters_of(model, generator)
    parameters["covariances"] = correlated(condition, D, generator).unsqueeze(0)
    parameters = model.refreshed(parameters)
    x = drawn(model, parameters, 20, generator)
    found = model.bind(parameters).log_prob(Tile(x))
    expected = exact_log_prob(model, parameters, x)
    # The Cholesky factor is that of a matrix within (D + 1) eps: distances of about D move by that times the condition.
    bound = D * (D + 1) * EPSILON * condition * (10 + float(expected.abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)


def test_log_densities_are_exact_in_any_units(structure, generator):
    model = GaussianMixtureModel(structure, 1, D)
    parameters = parameters_of(model, generator)
    units = 10.0 ** torch.tensor([-6.0, 0.0, 0.0, 6.0]).double()
    if not getattr(structure, "pooled", False):
        scaled = units * units.unsqueeze(1) if parameters["covariances"].dim() == 3 else units.square()
        parameters["covariances"] = parameters["covariances"] * scaled
    parameters["means"] = parameters["means"] * units
    parameters = model.refreshed(parameters)
    x = drawn(model, parameters, 20, generator)
    found = model.bind(parameters).log_prob(Tile(x))
    torch.testing.assert_close(found, exact_log_prob(model, parameters, x), rtol=1e-11, atol=1e-11)
