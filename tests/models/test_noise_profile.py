import itertools

import pytest
import torch

from skgen._rows import Rows
from skgen.distributions.normal import LOG_2PI
from skgen.models.linear_gaussian import LinearGaussian
from skgen.models.noise_profile import (
    curvature,
    gradient,
    improved,
    profile_parameters,
    profiled,
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


def steps(matrix, n_factors, n_steps=12, share=1e-8):
    lowest = floor(matrix, share)
    profile = profiled(matrix, torch.log(starting_noise(matrix, n_factors, lowest)), n_factors)
    found = [profile]
    for _ in range(n_steps):
        found.append(improved(matrix, found[-1], n_factors, lowest))
    return found


@pytest.mark.parametrize(("n_rows", "n_factors"), [(50, 0), (50, 2), (50, 8), (5, 2)])
def test_the_loss_is_the_likelihood_of_its_parameters(n_rows, n_factors, generator):
    x = rows(n_rows, 8, 2, generator)
    mean, matrix = covariance(x)
    profile = profiled(matrix, 0.3 * normal(8, generator=generator), n_factors)
    model, parameters = LinearGaussian(8, n_factors, "diagonal"), profile_parameters(profile, mean, n_factors)
    value = Expectation(model, Rows(x)).value(parameters)
    assert float(-0.5 * (profile.loss + 8 * LOG_2PI)) == pytest.approx(value, rel=1e-12)
    _, slope = Expectation(model, Rows(x)).backward(model.unconstrain(parameters))
    # The mean and the loadings are the best given the noise.
    assert slope[: 8 + 8 * n_factors].abs().sum() < 1e-10
    torch.testing.assert_close(slope[8 + 8 * n_factors :], -0.5 * gradient(profile))


@pytest.mark.parametrize("n_rows", [50, 5])
def test_the_gradient_is_that_of_the_loss(n_rows, generator):
    _, matrix = covariance(rows(n_rows, 8, 2, generator))
    log_noise = 0.3 * normal(8, generator=generator)
    found = central_differences(lambda: profiled(matrix, log_noise, 2).loss, log_noise, torch.eye(8).double())
    torch.testing.assert_close(gradient(profiled(matrix, log_noise, 2)), found, rtol=0, atol=1e-7)


def test_the_curvature_is_that_of_the_loss_where_factors_are_strong(generator):
    _, matrix = covariance(rows(50, 8, 2, generator, strength=300))
    log_noise = 0.3 * normal(8, generator=generator)
    found = torch.stack(
        [
            central_differences(
                lambda j=j: gradient(profiled(matrix, log_noise, 2))[j], log_noise, torch.eye(8).double(), 1e-4
            )
            for j in range(8)
        ]
    )
    torch.testing.assert_close(curvature(profiled(matrix, log_noise, 2)), found, rtol=0, atol=1e-4)
    assert torch.linalg.eigvalsh(curvature(profiled(matrix, log_noise, 2), definite=True)).min() > -1e-12


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
    _, matrix = covariance(rows(4, 7, 1, generator))
    noise = starting_noise(matrix, 2, floor(matrix))
    assert (noise > 0).all()
    assert (noise < torch.diagonal(matrix)).all()
