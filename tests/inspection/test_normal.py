"""Tests of skgen.inspection._normal."""

import numpy as np
import pytest
import sklearn.mixture
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import BayesianGaussianMixture, GaussianMixture, MixtureOfFactorAnalyzers
from skgen.distributions.covariance import COVARIANCES
from skgen.inspection import _normal

X = load_wine().data[:, :5]


def covariances(n, d, seed=0):
    root = np.random.RandomState(seed).normal(size=(n, d, d))
    return root @ root.swapaxes(1, 2) + 0.1 * np.eye(d)


def test_the_semi_axes_of_an_ellipse_are_eigenvectors_times_roots_of_eigenvalues():
    means, matrices = np.array([[1.0, 2.0], [0.0, -1.0]]), covariances(2, 2)
    for n_deviations in (1, 2):
        outlines = _normal.ellipses(means, matrices, n_deviations) - means[:, None]
        for outline, matrix in zip(outlines, matrices, strict=True):
            values, vectors = np.linalg.eigh(matrix)
            # The parameter of the circle is 0 at the first point and a right angle at the point a quarter further.
            first, second = outline[0], outline[(len(outline) - 1) // 4]
            np.testing.assert_allclose(np.abs(vectors.T @ first), [n_deviations * values[0] ** 0.5, 0], atol=1e-12)
            np.testing.assert_allclose(np.abs(vectors.T @ second), [0, n_deviations * values[1] ** 0.5], atol=1e-12)
            np.testing.assert_allclose(outline[0], outline[-1], atol=1e-12)


def test_a_singular_covariance_has_an_ellipse_without_width():
    (outline,) = _normal.ellipses([[0.0, 0.0]], [[[1.0, 1.0], [1.0, 1.0]]])
    np.testing.assert_allclose(outline[:, 0], outline[:, 1], atol=1e-7)


@pytest.mark.parametrize("structure", COVARIANCES)
def test_covariances_of_every_structure_are_matrices(structure):
    mixture = GaussianMixture(3, covariance_type=structure, random_state=0).fit(X)
    dense = _normal.dense_covariances(mixture)
    same = GaussianMixture.from_parameters(mixture.weights_, mixture.means_, dense)
    np.testing.assert_allclose(same.score_samples(X), mixture.score_samples(X), rtol=1e-9)


def test_the_projection_of_a_mixture_has_the_law_of_projected_draws():
    mixture = GaussianMixture.from_parameters(
        [0.3, 0.7], np.random.RandomState(1).normal(size=(2, 4)), covariances(2, 4)
    )
    A = np.random.RandomState(2).normal(size=(2, 4))
    plane = _normal.projected(mixture, A)
    draws = mixture.sample(20000, random_state=0)[0] @ A.T
    errors = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - plane.weights_ @ plane.means_) < 4 * errors).all()
    # Of two columns the projection is the marginal.
    marginal = mixture.marginal([2, 0])
    plane = _normal.projected(mixture, np.eye(4)[[2, 0]])
    points = draws[:50]
    np.testing.assert_allclose(plane.score_samples(points), marginal.score_samples(points), rtol=1e-9)
    np.testing.assert_allclose(plane.predict_proba(points), marginal.predict_proba(points), atol=1e-12)


def test_the_discriminant_plane_parts_means_more_than_any_other_in_units_of_the_mean_covariance():
    mixture = GaussianMixture(4, random_state=0).fit(X)
    A = _normal.discriminant_plane(mixture)
    within = np.tensordot(mixture.weights_, mixture.covariances_, 1)
    np.testing.assert_allclose(A @ within @ A.T, np.eye(2), atol=1e-9)
    deviations = mixture.means_ - mixture.weights_ @ mixture.means_
    between = (deviations.T * mixture.weights_) @ deviations

    def parted(A):
        return np.trace(np.linalg.solve(A @ within @ A.T, A @ between @ A.T))

    others = np.random.RandomState(0).normal(size=(200, 2, 5)) @ np.linalg.cholesky(np.linalg.inv(within)).T
    assert all(parted(A) >= parted(other) for other in others)


def test_mixtures_of_either_package_and_behind_scalers_become_one_of_the_same_density():
    for estimator in (
        GaussianMixture(3, random_state=0),
        MixtureOfFactorAnalyzers(2, n_factors=2, random_state=0),
        sklearn.mixture.GaussianMixture(3, random_state=0),
    ):
        fitted = estimator.fit(X)
        np.testing.assert_allclose(
            _normal.as_normal_mixture(fitted).score_samples(X), fitted.score_samples(X), rtol=1e-6
        )
    fitted = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0)).fit(X)
    jacobian = np.log(fitted[0].scale_).sum()
    expected = fitted.score_samples(X) - jacobian
    np.testing.assert_allclose(_normal.as_normal_mixture(fitted).score_samples(X), expected, rtol=1e-6)


@pytest.mark.parametrize("family", [BayesianGaussianMixture, sklearn.mixture.BayesianGaussianMixture])
def test_a_bayesian_mixture_stands_for_its_expected_parameters(family):
    fitted = family(n_components=3, random_state=0, max_iter=500).fit(X)
    mixture = _normal.as_normal_mixture(fitted)
    np.testing.assert_allclose(mixture.means_, fitted.means_)
    np.testing.assert_allclose(mixture.covariances_, fitted.covariances_)
