"""From a prior on a mixture's parameters, as users write it, to its numbers."""

import numpy as np
import torch

from skgen._spec import resolve
from skgen.models.conjugate import ConjugatePrior, ConjugateTerms

SINGULAR = 1e-10
"""Least eigenvalue of the rows' correlations below which a prior takes their variances alone."""
PRIORS_ON_PARAMETERS = {"conjugate": ConjugatePrior}


def prior_terms(prior, covariance, n_components, data, moments, center):
    """The numbers of a prior by name, arrays and floats; None for no prior."""
    if prior is None:
        return None
    spec = resolve(prior, PRIORS_ON_PARAMETERS, ConjugatePrior, "prior")
    d = len(center)
    spec.check(d)
    freedom = d + 2.0 if spec.degrees_of_freedom is None else float(spec.degrees_of_freedom)
    mean = moments.mean if spec.mean is None else np.asarray(spec.mean, dtype=np.float64)
    if mean.shape != (d,) or not np.isfinite(mean).all():
        raise ValueError(f"prior__mean must have shape ({d},), a finite number for each feature, got {spec.mean!r}.")
    scale = _whole(data, moments) / n_components ** (2 / d) if spec.covariance is None else _matrix(spec.covariance, d)
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


def _whole(data, moments):
    """Covariance of all rows, missing entries at their column's mean; variances alone where it is singular."""
    X, weight = data
    total = np.zeros((X.shape[1],) * 2)
    for start in range(0, len(X), 8192):
        part = slice(start, start + 8192)
        deviation = np.nan_to_num(X[part] - moments.mean, nan=0.0)
        total += deviation.T @ (deviation if weight is None else deviation * weight[part, None])
    total /= len(X) if weight is None else weight.sum()
    # A constant column has no scale of its own.
    scale = np.where(moments.constant, 1.0, np.sqrt(np.diag(total)))
    correlation = total / scale / scale[:, None] + np.diag(np.where(moments.constant, 1.0, 0.0))
    if np.linalg.eigvalsh(correlation)[0] < SINGULAR:
        return np.diag(scale**2)
    return correlation * scale * scale[:, None]


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
