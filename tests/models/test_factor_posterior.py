import mpmath
import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from skgen._rows import Rows, Tile
from skgen.models.factor_mixture import NOISES, FactorMixture
from skgen.models.factor_posterior import pooled
from skgen.training.expectation import Expectation
from tests.models.factor_parts import (
    ROUNDING,
    D,
    K,
    Q,
    covariances,
    dense_joint,
    incomplete_tile,
    parameters_of,
    sampled,
    with_missing,
)
from tests.parts import normal


@pytest.fixture(params=sorted(NOISES))
def model(request):
    return FactorMixture(D, K, Q, request.param)


# -- densities ----------------------------------------------------------------------------------------------------


def test_densities_are_those_of_dense_normals(model, generator):
    parameters, x = sampled(model, 20, generator)
    joint = dense_joint(parameters, x)
    posterior = model.bind(parameters)
    np.testing.assert_allclose(posterior.joint(Tile(x)).T, joint, rtol=1e-10)
    np.testing.assert_allclose(posterior.log_prob(Tile(x)), logsumexp(joint, axis=1), rtol=1e-10)


def test_a_row_with_missing_entries_has_the_marginal_density(model, generator):
    parameters, x = sampled(model, 20, generator)
    x = with_missing(x, generator)
    posterior, tile = model.bind(parameters), incomplete_tile(x)
    np.testing.assert_allclose(posterior.joint(tile).T, dense_joint(parameters, x), **ROUNDING)


def test_factors_are_the_conditional_means_of_dense_normals(model, generator):
    parameters, x = sampled(model, 20, generator)
    x = with_missing(x, generator)
    r, z = model.bind(parameters).factors(incomplete_tile(x))
    for n, row in enumerate(x):
        there = ~torch.isnan(row)
        loadings, means = parameters["loadings"][:, there], parameters["means"][:, there]
        inside = covariances(parameters)[:, there][:, :, there]
        expected = loadings.mT @ torch.linalg.solve(inside, (row[there] - means).unsqueeze(2))
        torch.testing.assert_close(z[n], expected.squeeze(2), **ROUNDING)
    torch.testing.assert_close(r.sum(1), torch.ones(20, dtype=r.dtype))


@pytest.mark.parametrize("noise", sorted(NOISES))
def test_noise_of_a_billionth_costs_no_digits(noise, generator):
    """Against arithmetic of 50 digits: squares expanded about the center would lose all of them."""
    model = FactorMixture(3, 2, 1, noise)
    parameters = parameters_of(model, generator)
    parameters["noise"] *= 1e-18
    x, _ = model.sample(parameters, 6, generator)
    posterior = model.bind(parameters)
    assert not posterior.expanded
    with mpmath.workdps(50):
        for k, loadings in enumerate(parameters["loadings"].tolist()):
            w = mpmath.matrix(loadings)
            noise = parameters["noise"].expand(2, 3)[k].tolist()
            covariance = w * w.T + mpmath.diag(noise)
            for n, row in enumerate(x.tolist()):
                y = mpmath.matrix(row) - mpmath.matrix(parameters["means"][k].tolist())
                distance = (y.T * mpmath.inverse(covariance) * y)[0]
                value = -(distance + mpmath.log(mpmath.det(covariance)) + 3 * mpmath.log(2 * mpmath.pi)) / 2
                expected = float(value + parameters["log_weights"][k].item())
                # x itself is rounded to 1e-16 of its size, or 1e-7 standard deviations of the noise.
                assert float(posterior.joint(Tile(x))[k, n]) == pytest.approx(expected, rel=1e-6, abs=1e-6)


# -- statistics ---------------------------------------------------------------------------------------------------


def test_statistics_add_over_tiles(model, generator):
    parameters, x = sampled(model, 60, generator)
    x = with_missing(x, generator)
    weight = torch.empty(60, dtype=x.dtype).uniform_(generator=generator)
    whole = Expectation(model, Rows(x, weight, tile_rows=100, incomplete_tile_rows=100))(parameters)
    parts = Expectation(model, Rows(x, weight, tile_rows=7, incomplete_tile_rows=5))(parameters)
    torch.testing.assert_close(whole, parts, **ROUNDING)


def test_complete_rows_have_one_set_of_statistics_however_they_are_told(model, generator):
    parameters, x = sampled(model, 30, generator)
    posterior = model.bind(parameters)
    (complete, value), (incomplete, same) = posterior.expect(Tile(x)), posterior.expect(incomplete_tile(x))
    assert float(incomplete.pop("unseen").abs().max()) == 0
    torch.testing.assert_close(complete, incomplete, **ROUNDING)
    torch.testing.assert_close(value, same, **ROUNDING)


def test_integer_weights_are_repetitions(model, generator):
    parameters, x = sampled(model, 40, generator)
    x = with_missing(x, generator)
    times = torch.randint(0, 4, (40,), generator=generator)
    weighted = Expectation(model, Rows(x, times.double()))(parameters)
    repeated = Expectation(model, Rows(x.repeat_interleave(times, 0)))(parameters)
    torch.testing.assert_close(weighted, repeated, **ROUNDING)


def test_posterior_draws_have_the_expected_statistics_in_the_mean(model, generator):
    parameters, x = sampled(model, 12, generator, spread=0.3)
    posterior, n_draws = model.bind(parameters), 1000
    for tile in (Tile(x), incomplete_tile(with_missing(x, generator))):
        expected, _ = posterior.expect(tile)
        draws = [posterior.draw(tile, generator) for _ in range(n_draws)]
        for name, value in expected.items():
            each = torch.stack([draw[name] for draw in draws])
            error = each.std(0) / n_draws**0.5
            # Standard errors, of about 60 numbers; 1e-10 for those that do not vary.
            assert bool(((each.mean(0) - value).abs() <= 5 * error + 1e-10).all()), name


# -- missing entries ---------------------------------------------------------------------------------------------


def test_completed_rows_are_the_conditional_means_and_draws_scatter_about_them(model, generator):
    parameters, x = sampled(model, 3, generator)
    x[0, 1:3] = x[1] = x[2, 0] = float("nan")
    posterior, tile = model.bind(parameters), incomplete_tile(x)
    mean = posterior.impute(tile)
    r = torch.softmax(torch.tensor(dense_joint(parameters, x)), 1)
    for n, row in enumerate(x):
        there = ~torch.isnan(row)
        c, m = covariances(parameters), parameters["means"]
        weights = torch.linalg.solve(c[:, there][:, :, there], (row[there] - m[:, there]).unsqueeze(2))
        expected = r[n] @ (m[:, ~there] + (c[:, ~there][:, :, there] @ weights).squeeze(2))
        torch.testing.assert_close(mean[n, ~there], expected, **ROUNDING)
    draws = torch.stack([posterior.impute(tile, generator) for _ in range(1000)])
    error = (draws.mean(0) - mean).abs() / (draws.std(0) / 1000**0.5).clamp(min=1e-12)
    assert float(error.max()) < 5  # standard errors, of 8 numbers


# -- parts --------------------------------------------------------------------------------------------------------


def test_sums_over_no_axes_are_the_values(generator):
    values = normal(2, 3, generator=generator)
    assert pooled(values, ()) is values
    assert pooled(values, (0,)).shape == (1, 3)
