import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from skgen._exact_model import added
from skgen._rows import Rows
from skgen.models.linear_gaussian import LinearGaussian
from skgen.models.principal_components import (
    moment_spectrum,
    principal_axes,
    principal_parameters,
    row_spectrum,
)
from skgen.training.em import BatchEM
from skgen.training.expectation import Expectation
from tests.parts import normal


def rows(n_rows, n_features, n_factors, generator, *, weighted=False):
    x = 3 * normal(n_rows, n_factors, generator=generator) @ normal(n_factors, n_features, generator=generator)
    x = 1 + x / n_features**0.5 + normal(n_rows, n_features, generator=generator)
    return Rows(x, torch.rand(n_rows, generator=generator).double() if weighted else None, tile_rows=7)


def moments(rows):
    model, total = LinearGaussian(rows.n_features, 1), {}
    for tile in rows:
        added(total, model.moments(tile))
    return total


@pytest.mark.parametrize("weighted", [False, True])
def test_both_spectra_are_that_of_the_covariance(weighted, generator):
    data = rows(12, 8, 3, generator, weighted=weighted)
    weight = np.ones(12) if data.weight is None else data.weight.numpy()
    covariance = torch.from_numpy(np.cov(data.x.numpy().T, bias=True, aweights=weight))
    for spectrum in (moment_spectrum(moments(data)), row_spectrum(data)):
        v = spectrum.directions
        torch.testing.assert_close(v @ torch.diag(spectrum.variances[: v.shape[1]]) @ v.T, covariance)
        torch.testing.assert_close(v.T @ v, torch.eye(v.shape[1], dtype=torch.float64))
        torch.testing.assert_close(spectrum.mean, torch.from_numpy(np.average(data.x.numpy(), axis=0, weights=weight)))
        assert (spectrum.variances.diff() <= 0).all()


def test_fewer_rows_than_features_have_the_same_spectrum_either_way(generator):
    data = rows(6, 20, 2, generator)
    one, other = moment_spectrum(moments(data)), row_spectrum(data)
    torch.testing.assert_close(one.variances[:6], other.variances)
    torch.testing.assert_close(one.directions[:, :5], other.directions[:, :5])
    torch.testing.assert_close(other.directions.T @ other.directions, torch.eye(6, dtype=torch.float64))


def test_directions_are_scikit_learn_s_with_their_signs(generator):
    data = rows(40, 6, 3, generator)
    pca = PCA().fit(data.x.numpy())
    spectrum = moment_spectrum(moments(data))
    np.testing.assert_allclose(spectrum.directions.T, pca.components_, atol=1e-10)
    np.testing.assert_allclose(spectrum.variances * 40 / 39, pca.explained_variance_)


@pytest.mark.parametrize("n_rows", [15, 200])
def test_em_does_not_improve_on_the_closed_form(n_rows, generator):
    data = rows(n_rows, 30, 3, generator)
    spectrum = row_spectrum(data) if n_rows < 30 else moment_spectrum(moments(data))
    start = principal_parameters(spectrum, 3, 1e-12)
    model = LinearGaussian(30, 3)
    value, gradient = Expectation(model, data).backward(model.unconstrain(start))
    assert gradient.abs().max() < 1e-9
    solver = BatchEM(model, data, start, generator=generator)
    for _ in range(5):
        solver.step()
    assert abs(solver.value() - value) < 1e-10


def test_the_noise_variance_divides_by_all_discarded_directions_where_features_outnumber_rows(generator):
    x = np.random.default_rng(0).normal(size=(50, 5)) @ np.random.default_rng(1).normal(size=(5, 200))
    x = torch.from_numpy(x + np.random.default_rng(2).normal(size=(50, 200)))
    noise = float(principal_parameters(row_spectrum(Rows(x)), 5, 1e-12)["noise"])
    pca = PCA(5).fit(x.numpy())
    # The trace of what is left of the covariance, over its rank or over the dimension of its space.
    assert noise == pytest.approx(pca.noise_variance_ * 45 / 195 * 49 / 50, rel=1e-9)
    assert 0.8 < noise < 1 < 3 < pca.noise_variance_


def test_more_factors_than_the_rank_leave_the_noise_at_its_floor(generator):
    data = rows(4, 6, 1, generator)
    parameters = principal_parameters(row_spectrum(data), 5, 1e-3)
    assert float(parameters["noise"]) == 1e-3
    assert parameters["loadings"].shape == (6, 5)
    assert parameters["loadings"][:, 4].abs().max() == 0


def test_principal_axes_are_those_of_the_loadings(generator):
    loadings = normal(6, 3, generator=generator)
    directions, values = principal_axes(loadings)
    torch.testing.assert_close(directions * values @ directions.T, loadings @ loadings.T)
    torch.testing.assert_close(directions.T @ directions, torch.eye(3, dtype=torch.float64))
