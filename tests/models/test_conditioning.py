"""Tests of skgen.models.conditioning."""

import pytest
import torch

from skgen._rows import Tile
from skgen.distributions.covariance import COVARIANCES
from skgen.models.conditioning import conditional, marginal
from skgen.models.mixture import GaussianMixtureModel
from tests.mixtures import ROUNDING, parameters_of
from tests.oracles import conditional_normal
from tests.parts import normal

every_structure = pytest.mark.parametrize("kind", COVARIANCES)
GIVEN = torch.tensor([True, False, True, False])


def log_prob(structure, parameters, x):
    n_components, n_features = parameters["means"].shape
    return GaussianMixtureModel(structure, n_components, n_features).bind(parameters).log_prob(Tile(x))


@every_structure
def test_a_marginal_is_the_density_of_the_columns_kept(kind, generator):
    structure = COVARIANCES[kind]
    parameters = parameters_of(GaussianMixtureModel(structure, 3, 4), generator)
    kept = torch.tensor([3, 1])
    found = marginal(structure, parameters, kept)
    x = normal(20, 4, generator=generator)
    matrices = structure.matrices(parameters["covariances"]).expand(3, 4, 4)
    parts = [
        torch.distributions.MultivariateNormal(mean[kept], matrix[kept][:, kept]).log_prob(x[:, kept])
        for mean, matrix in zip(parameters["means"], matrices, strict=True)
    ]
    expected = torch.logsumexp(parameters["log_weights"] + torch.stack(parts, 1), 1)
    torch.testing.assert_close(log_prob(structure, found, x[:, kept]), expected, **ROUNDING)


@every_structure
def test_the_joint_density_is_marginal_times_conditional(kind, generator):
    structure = COVARIANCES[kind]
    parameters = parameters_of(GaussianMixtureModel(structure, 3, 4), generator)
    x = 3 * normal(10, 4, generator=generator)
    log_weights, means, covariances = conditional(structure, parameters, GIVEN, x[:, GIVEN])
    torch.testing.assert_close(log_weights.exp().sum(1), torch.ones(10, dtype=torch.float64), **ROUNDING)
    of_given = log_prob(structure, marginal(structure, parameters, torch.nonzero(GIVEN).squeeze(1)), x[:, GIVEN])
    for row, (weights, places) in enumerate(zip(log_weights, means, strict=True)):
        rest = {"log_weights": weights, "means": places, "covariances": covariances}
        joint = of_given[row] + log_prob(structure, rest, x[row : row + 1, ~GIVEN])[0]
        torch.testing.assert_close(joint, log_prob(structure, parameters, x[row : row + 1])[0], **ROUNDING)


@every_structure
def test_each_component_is_conditioned_as_a_normal_distribution(kind, generator):
    structure = COVARIANCES[kind]
    parameters = parameters_of(GaussianMixtureModel(structure, 3, 4), generator)
    x = normal(2, 4, generator=generator).masked_fill(~GIVEN, float("nan"))
    _, means, covariances = conditional(structure, parameters, GIVEN, x[:, GIVEN])
    matrices = structure.matrices(parameters["covariances"]).expand(3, 4, 4)
    for row in range(2):
        for k in range(3):
            mean, covariance = conditional_normal(parameters["means"][k], matrices[k], x[row])
            torch.testing.assert_close(means[row, k], mean[~GIVEN], **ROUNDING)
            found = structure.matrices(covariances).expand(3, 2, 2)[k]
            torch.testing.assert_close(found, covariance[~GIVEN][:, ~GIVEN], **ROUNDING)


def test_far_rows_have_finite_conditionals(generator):
    structure = COVARIANCES["full"]
    parameters = parameters_of(GaussianMixtureModel(structure, 3, 4), generator)
    log_weights, means, _ = conditional(structure, parameters, GIVEN, torch.full((1, 2), 1e6, dtype=torch.float64))
    assert bool(log_weights.exp().sum(1).isclose(torch.ones(1, dtype=torch.float64)).all())
    assert bool(means.isfinite().all())
