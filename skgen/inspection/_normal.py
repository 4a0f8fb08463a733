"""Normal distributions in a plane: a mixture's components, their projections, and outlines of ellipses."""

import numpy as np
import torch
from scipy.linalg import eigh
from sklearn.mixture import BayesianGaussianMixture as SklearnBayesianMixture

from skgen.estimators._density_adapter import conditioned, unwrapped
from skgen.estimators.bayesian_mixture import BayesianGaussianMixture
from skgen.estimators.gaussian_mixture import GaussianMixture

CIRCLE = np.column_stack([f(np.linspace(0, 2 * np.pi, 181)) for f in (np.cos, np.sin)])
"""Points of the unit circle, the last equal to the first."""


def as_normal_mixture(estimator):
    """The Gaussian mixture that an estimator is; of a Bayesian one, that of its expected parameters."""
    estimator = unwrapped(estimator)
    if isinstance(estimator, (BayesianGaussianMixture, SklearnBayesianMixture)):
        return GaussianMixture.from_sklearn(estimator)
    return conditioned(estimator, "conditional")


def dense_covariances(mixture):
    """Covariances of a Gaussian mixture of ours as matrices, (n_components, n_features, n_features)."""
    matrices = mixture._covariance.matrices(torch.tensor(mixture.parameters_["covariances"])).numpy()
    return np.broadcast_to(matrices, (mixture.n_components_, *matrices.shape[1:]))


def projected(mixture, A):
    """The mixture of A x for rows x of a Gaussian mixture, of means A mean and covariances A covariance A'."""
    covariances = A @ dense_covariances(mixture) @ A.T
    covariances = (covariances + covariances.swapaxes(1, 2)) / 2
    weights = mixture.weights_.astype(np.float64)
    return GaussianMixture.from_parameters(weights / weights.sum(), mixture.means_ @ A.T, covariances)


def discriminant_plane(mixture):
    """The two directions (2, n_features) in which means lie apart most, where the mean covariance has variance 1.

    They solve B v = lambda S v, with B the covariance of the means and S the mean covariance (Fisher 1936,
    https://doi.org/10.1111/j.1469-1809.1936.tb02137.x). The largest entry of each is positive.
    """
    weights = mixture.weights_.astype(np.float64)
    deviations = mixture.means_ - weights @ mixture.means_
    between = (deviations.T * weights) @ deviations
    within = np.tensordot(weights, dense_covariances(mixture), 1)
    directions = eigh(between, within)[1][:, :-3:-1].T
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1, keepdims=True), 1)
    return directions * np.sign(largest)


def ellipses(means, covariances, n_deviations=1.0):
    """Outlines (n, points, 2) at a Mahalanobis distance from means (n, 2), of covariances (n, 2, 2).

    The semi-axes are the eigenvectors times the roots of the eigenvalues.
    """
    values, vectors = np.linalg.eigh(np.asarray(covariances, dtype=float))
    axes = vectors * np.sqrt(values.clip(0))[..., None, :]
    return np.asarray(means)[:, None, :] + n_deviations * CIRCLE @ axes.swapaxes(-1, -2)
