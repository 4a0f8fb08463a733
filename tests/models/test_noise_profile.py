import itertools

import pytest
import torch

from skgen._rows import Rows
from skgen.distributions.normal import LOG_2PI
from skgen.models import noise_profile
from skgen.models.linear_gaussian import LinearGaussian
from skgen.models.noise_profile import (
    Scatter,
    curvature,
    curvature_product,
    gradient,
    improved,
    profile_parameters,
    profiled,
    raced,
    starting_noise,
)
from skgen.models.principal_components import moment_covariance
from skgen.training.em import BatchEM
from skgen.training.expectation import Expectation
from tests.oracles import central_differences
from tests.parts import normal


def rows(n_rows, n_features, n_factors, generator, *, strength=1.0):
    x = strength * normal(n_rows, n_factors, generator=generator) @ normal(n_factors, n_features, generator=generator)
    scale = torch.exp(0.3 * normal(n_features, generator=generator))
    return x + scale * normal(n_rows, n_features, generator=generator)


def covariance(x):
    return moment_covariance(Expectation(LinearGaussian(x.shape[1], 1, "diagonal"), Rows(x)).moments)


def floor(matrix, share=1e-8):
    return share * torch.diagonal(matrix)


def scatter(matrix):
    return Scatter(torch.diagonal(matrix), matrix)


def row_scatter(x):
    x = (x - x.mean(0)) / len(x) ** 0.5
    return Scatter(x.square().sum(0), x, of_rows=True)


def steps(matrix, n_factors, n_steps=12, share=1e-8):
    lowest, data = floor(matrix, share), scatter(matrix)
    profile = profiled(data, torch.log(starting_noise(data, n_factors, lowest)), n_factors)
    found = [profile]
    for _ in range(n_steps):
        found.append(improved(data, found[-1], n_factors, lowest))
    return found


@pytest.mark.parametrize(("n_rows", "n_factors"), [(50, 0), (50, 2), (50, 8), (5, 2)])
def test_the_loss_is_the_likelihood_of_its_parameters(n_rows, n_factors, generator):
    x = rows(n_rows, 8, 2, generator)
    mean, matrix = covariance(x)
    profile = profiled(scatter(matrix), 0.3 * normal(8, generator=generator), n_factors)
    model, parameters = LinearGaussian(8, n_factors, "diagonal"), profile_parameters(profile, mean, n_factors)
    value = Expectation(model, Rows(x)).value(parameters)
    assert float(-0.5 * (profile.loss + 8 * LOG_2PI)) == pytest.approx(value, rel=1e-12)
    _, slope = Expectation(model, Rows(x)).backward(model.unconstrain(parameters))
    # The mean and the loadings are the best given the noise.
    assert slope[: 8 + 8 * n_factors].abs().sum() < 1e-10
    torch.testing.assert_close(slope[8 + 8 * n_factors :], -0.5 * gradient(profile))


@pytest.mark.parametrize(("n_rows", "of_rows"), [(50, False), (5, False), (5, True)])
def test_gradient_and_curvature_are_those_of_the_loss(n_rows, of_rows, generator):
    x = rows(n_rows, 8, 2, generator)
    data = row_scatter(x) if of_rows else scatter(covariance(x)[1])
    log_noise, axes = 0.3 * normal(8, generator=generator), torch.eye(8).double()
    profile = profiled(data, log_noise, 2)
    found = central_differences(lambda: profiled(data, log_noise, 2).loss, log_noise, axes)
    torch.testing.assert_close(gradient(profile), found, rtol=0, atol=1e-7)
    rows_found = [
        central_differences(lambda j=j: gradient(profiled(data, log_noise, 2))[j], log_noise, axes) for j in range(8)
    ]
    torch.testing.assert_close(curvature(profile), torch.stack(rows_found), rtol=0, atol=1e-7)
    assert torch.linalg.eigvalsh(curvature(profile, definite=True)).min() > -1e-12


def test_products_with_the_curvature_need_no_matrix(generator):
    profile = profiled(row_scatter(rows(6, 15, 2, generator)), 0.3 * normal(15, generator=generator), 3)
    direction = normal(15, generator=generator)
    torch.testing.assert_close(curvature_product(profile, direction), curvature(profile) @ direction)


def test_fewer_rows_than_features_have_the_same_profile_either_way(generator):
    x = rows(6, 15, 2, generator)
    log_noise = 0.3 * normal(15, generator=generator)
    one, other = profiled(scatter(covariance(x)[1]), log_noise, 2), profiled(row_scatter(x), log_noise, 2)
    torch.testing.assert_close(one.loss, other.loss)
    torch.testing.assert_close(one.vectors.abs(), other.vectors.abs())
    torch.testing.assert_close(gradient(one), gradient(other))
    torch.testing.assert_close(curvature(one), curvature(other))


def test_many_features_end_where_few_would(generator, monkeypatch):
    # Conjugate gradients and a factorisation solve the same equations.
    matrix = covariance(rows(300, 12, 3, generator))[1]
    factorised = steps(matrix, 3)[-1]
    monkeypatch.setattr(noise_profile, "NARROW", 5)
    torch.testing.assert_close(steps(matrix, 3)[-1].log_noise, factorised.log_noise, rtol=0, atol=1e-7)


def test_other_optima_are_looked_for_in_heywood_cases_only(generator):
    matrix = covariance(rows(300, 12, 3, generator))[1]
    proper = steps(matrix, 3)[-1]
    assert raced(scatter(matrix), proper, 3, floor(matrix)) is proper
    gains = []
    for _ in range(30):
        matrix = covariance(rows(20, 8, 3, generator))[1]
        end = steps(matrix, 3, 40)[-1]
        gains.append(float(end.loss - raced(scatter(matrix), end, 3, floor(matrix)).loss))
    assert min(gains) >= 0
    assert sum(gain > 1e-3 for gain in gains) >= 2


def test_the_loss_falls_to_a_heywood_case_in_few_steps(generator):
    x = rows(100, 6, 2, generator)
    x[:, 1] = 2 * x[:, 0]
    found = steps(covariance(x)[1], 2, 12)
    assert found[-2].loss - found[-1].loss < 1e-9


@pytest.mark.parametrize(("n_rows", "n_features", "n_factors"), [(300, 12, 3), (30, 12, 2), (60, 80, 3), (200, 9, 1)])
def test_a_few_newton_steps_never_raise_the_loss_and_end_where_em_stays(n_rows, n_features, n_factors, generator):
    x = rows(n_rows, n_features, n_factors, generator)
    mean, matrix = covariance(x)
    found = steps(matrix, n_factors)
    assert all(b.loss <= a.loss + 1e-12 for a, b in itertools.pairwise(found))
    assert gradient(found[-1]).abs().max() < 1e-7
    model = LinearGaussian(n_features, n_factors, "diagonal")
    solver = BatchEM(model, Rows(x), profile_parameters(found[-1], mean, n_factors), generator=generator)
    before = solver.step()
    assert abs(solver.value() - before) < 1e-12


def test_noise_that_tends_to_zero_is_held_at_its_floor(generator):
    # A feature that equals its factor: a Heywood case.
    x = rows(100, 6, 2, generator)
    x[:, 1] = 2 * x[:, 0]
    _, matrix = covariance(x)
    found = steps(matrix, 2, 40, share=1e-4)
    noise, slope = torch.exp(found[-1].log_noise), gradient(found[-1])
    held = noise <= floor(matrix, 1e-4) * (1 + 1e-12)
    assert held[:2].all()
    assert (slope[held] > 0).all()
    assert slope[~held].abs().max() < 1e-6
    assert all(b.loss <= a.loss + 1e-9 for a, b in itertools.pairwise(found))


def test_features_that_factors_explain_entirely_do_not_hold_up_the_others(generator):
    n_explained = 0
    scale = torch.linspace(0.3, 2, 12, dtype=torch.float64)
    for _ in range(40):
        x = 2 * normal(50, 5, generator=generator) @ normal(5, 12, generator=generator)
        matrix = covariance(x + scale * normal(50, 12, generator=generator))[1]
        end = steps(matrix, 3, n_steps=40)[-1]
        free = end.log_noise > torch.log(floor(matrix)) + 1e-3
        n_explained += int((~free).any())
        # The loss is within the square of this, in nats, of its minimum; rounding to 1e-8 of the loss hides less.
        assert gradient(end)[free].abs().max() < 1e-4
    assert n_explained > 20


def test_a_singular_covariance_has_a_start(generator):
    x = rows(4, 7, 1, generator)
    matrix = covariance(x)[1]
    for data in (scatter(matrix), row_scatter(x)):
        noise = starting_noise(data, 2, floor(matrix))
        assert (noise > 0).all()
        assert (noise < data.variance).all()


def test_a_feature_with_next_to_no_noise_takes_no_digits_from_the_others(generator):
    x = rows(30, 6, 2, generator)
    scale = torch.ones(6, dtype=torch.float64)
    scale[2] = 1e5
    # What is left of the other features by a regression on this one are the limits of the other eigenvalues.
    half = row_scatter(x).root
    half = half - half[:, 2:3] * (half.T @ half[:, 2] / half[:, 2].square().sum())
    limits = torch.linalg.svdvals(half).square()[:5]
    for each in (row_scatter(x), scatter(covariance(x)[1])):
        values = each.spectrum(scale)[0][1:]
        # The limits are reached up to the inverse of the dominant eigenvalue, about 1e-10, times their own size.
        torch.testing.assert_close(values, limits, rtol=1e-8, atol=0)
    one, other = (each.spectrum(scale)[0] for each in (row_scatter(x), scatter(covariance(x)[1])))
    # Singular values up to 1e5 are rounded to 1e-11, which is felt in squares of at least 0.1 by 1e-10 relative.
    torch.testing.assert_close(one, other, rtol=1e-10, atol=0)
