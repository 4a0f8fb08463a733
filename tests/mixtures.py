"""Mixtures of normal distributions for tests: parameters, rows of theirs, and their EM by dense matrices."""

import math

import pytest
import torch

from skgen._rows import Observed, Tile
from skgen.models.conjugate import ConjugateTerms
from skgen.training.expectation import Expectation
from tests.parts import normal

K, D = 3, 4
# Sums of a few hundred products of numbers of order one to a hundred.
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}
NAN = float("nan")
ABOUT = pytest.mark.parametrize("about", ["center", "reference"])


def eye(d=D):
    return torch.eye(d, dtype=torch.float64)


def parameters_of(model, generator, spread=2.0, ridge=0.3):
    d = model.n_features
    root = normal(model.covariance.n_groups(model.n_components), d, d, generator=generator)
    return {
        "log_weights": torch.log_softmax(normal(model.n_components, generator=generator), 0),
        "means": spread * normal(model.n_components, d, generator=generator),
        "covariances": model.covariance.from_matrices(root @ root.mT / d + ridge * eye(d)),
    }


def placed(parameters, about):
    """The parameters, with statistics taken about the center or about a point for each component."""
    return parameters if about == "center" else parameters | {"reference": parameters["means"] + 0.25}


def matrices_of(model, parameters):
    matrices = model.covariance.matrices(parameters["covariances"])
    return matrices.expand(model.n_components, *matrices.shape[1:])


def drawn(model, parameters, n_rows, generator):
    """Rows of the mixture."""
    labels = torch.multinomial(parameters["log_weights"].exp(), n_rows, replacement=True, generator=generator)
    factors = torch.linalg.cholesky(matrices_of(model, parameters))[labels]
    noise = normal(n_rows, model.n_features, generator=generator).unsqueeze(2)
    return parameters["means"][labels] + (factors @ noise).squeeze(2)


def with_gaps(x, generator, share=0.3):
    """A copy with some entries missing: none in the first row, all in the second."""
    missing = torch.empty_like(x).uniform_(generator=generator) < share
    missing[0], missing[1] = False, True
    return x.masked_fill(missing, NAN)


def incomplete_tile(x):
    """All rows in one incomplete tile, sorted by pattern, also those that miss nothing."""
    patterns, index = torch.unique(~torch.isnan(x), dim=0, return_inverse=True)
    index, order = index.sort(stable=True)
    return Tile(x[order].nan_to_num(), None, Observed(patterns, index)), order


def prior_of(structure, generator):
    count = structure.prior_count(D + 3.5, D, K)
    scatter = structure.pack(structure.from_matrices(0.7 * eye().unsqueeze(0)))[0]
    return ConjugateTerms(1.5, 0.5, normal(D, generator=generator), count, scatter)


def maximised(model, rows, parameters, n_iter):
    """Parameters after some iterations of EM, and the bounds at all of them."""
    expectation, values = Expectation(model, rows), []
    for _ in range(n_iter):
        parameters = model.refreshed(parameters)
        statistics, value = expectation(parameters)
        values.append(value)
        parameters = model.m_step(statistics, parameters)
    parameters = model.refreshed(parameters)
    return parameters, [*values, expectation.value(parameters)]


def expected_log_joint(model, parameters, statistics):
    """Expected complete-data log-likelihood at the parameters, of statistics about the center, by dense matrices."""
    count, first = statistics["weight"], statistics["first"]
    second = statistics["second"]
    square = model.covariance.unpack(second, D) if second.shape[1] > D else torch.diag_embed(second)
    means, matrices = parameters["means"], model.covariance.matrices(parameters["covariances"])
    cross = first.unsqueeze(2) * means.unsqueeze(1)
    moved = count[:, None, None] * means.unsqueeze(2) * means.unsqueeze(1) - cross - cross.mT
    log_det = torch.logdet(matrices).expand(model.n_components)
    value = (count * (parameters["log_weights"] - 0.5 * log_det - 0.5 * D * math.log(2 * math.pi))).sum()
    precision = torch.linalg.inv(matrices)
    return value - 0.5 * (precision * square).sum() - 0.5 * (precision * moved).sum()


def close(found, expected, **tolerance):
    assert set(found) - {"reference"} == set(expected) - {"reference"}
    for name in set(expected) - {"reference"}:
        torch.testing.assert_close(found[name], expected[name], **(tolerance or ROUNDING))


def start_at(model, means):
    groups = model.covariance.n_groups(model.n_components)
    d = model.n_features
    return {
        "log_weights": torch.full((len(means),), -math.log(len(means)), dtype=torch.float64),
        "means": means,
        "covariances": model.covariance.from_matrices(eye(d).repeat(groups, 1, 1)),
    }
