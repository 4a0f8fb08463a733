"""From a prior on a mixture's parameters, as users write it, to its numbers."""

import numpy as np
import torch

from skgen._spec import resolve
from skgen.estimators._arrays import tiles
from skgen.models.conjugate import ConjugateTerms
from skgen.priors import PRIORS_ON_PARAMETERS, Conjugate

SINGULAR = 1e-10
"""Smallest eigenvalue of the columns' correlations, relative to their number, at which they are taken as they are."""
SHRINKAGE = 1e-3
"""How far singular correlations are moved towards none."""


def prior_terms(prior, covariance, n_components, data, moments, center):
    """The numbers of a prior by name, arrays and floats; None for no prior."""
    if prior is None:
        return None
    spec = resolve(prior, PRIORS_ON_PARAMETERS, Conjugate, "prior")
    d = len(center)
    spec.check(d)
    freedom = d + 2.0 if spec.degrees_of_freedom is None else float(spec.degrees_of_freedom)
    mean = moments.mean if spec.mean is None else np.asarray(spec.mean, dtype=np.float64)
    if mean.shape != (d,) or not np.isfinite(mean).all():
        raise ValueError(f"prior__mean must have shape ({d},), a finite number for each feature, got {spec.mean!r}.")
    if spec.covariance is None:
        scale = _covariance_of(data, moments) / n_components ** (2 / d)
    else:
        scale = _matrix(spec.covariance, d)
    packed = covariance.pack(covariance.from_matrices(torch.from_numpy(scale).unsqueeze(0)))[0]
    return {
        "concentration": float(spec.weight_concentration),
        "mean_precision": float(spec.mean_precision),
        "mean": mean - center,
        "count": covariance.prior_count(freedom, d, n_components),
        "scatter": packed.contiguous().numpy() / (d if covariance.pooled else 1),
    }


def conjugate_terms(numbers, device):
    """The terms that a model takes, from the numbers of a prior."""
    if numbers is None:
        return None
    return ConjugateTerms(
        **{name: torch.tensor(v, device=device) if isinstance(v, np.ndarray) else v for name, v in numbers.items()}
    )


def correlations(data, moments):
    """Correlations of the columns, with missing entries at the column's mean; shrunk where they are singular."""
    X, weight = data
    products = np.zeros((X.shape[1],) * 2)
    for tile in tiles(len(X), 4 * X.shape[1]):
        deviation = np.nan_to_num(X[tile].astype(np.float64) - moments.mean, nan=0.0)
        products += deviation.T @ (deviation if weight is None else deviation * weight[tile, None])
    scale = np.sqrt(np.where(moments.constant, 1.0, np.diag(products)))
    correlation = np.where(moments.constant | moments.constant[:, None], 0.0, products / scale / scale[:, None])
    np.fill_diagonal(correlation, 1.0)
    if np.linalg.eigvalsh(correlation)[0] > SINGULAR * len(correlation):
        return correlation
    return (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))


def _covariance_of(data, moments):
    """Covariance of all rows."""
    # A constant column has no scale of its own.
    scale = np.where(moments.constant, 1.0, moments.scale)
    return correlations(data, moments) * scale * scale[:, None]


def _matrix(value, d):
    """A covariance as a matrix, from a matrix, variances or one variance."""
    value = np.asarray(value, dtype=np.float64)
    matrix = np.diag(np.broadcast_to(value, d)) if value.ndim < 2 and value.shape in ((), (d,)) else value
    if matrix.shape != (d, d) or not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] <= 0:
        raise ValueError(
            f"prior__covariance must be a positive number, {d} of them, or a positive definite matrix of shape "
            f"({d}, {d}), got {value!r}."
        )
    return np.array(matrix)
