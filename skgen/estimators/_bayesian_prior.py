"""From the prior of a Bayesian mixture, as users write it, to its numbers."""

from dataclasses import replace

import numpy as np
import torch

from skgen.distributions.covariance import COVARIANCES
from skgen.estimators import _mixture_parameters
from skgen.estimators._conjugate_prior import correlations
from skgen.models.bayesian_mixture import BayesianMixture, NormalWishart

FLAT = 1e-6
"""Prior variance of a constant column, relative to that of the others, without ``reg_covar``."""


def normal_wishart(estimator, data, moments, *, mean_precision, mean, degrees_of_freedom, covariance):
    """The numbers of the prior, arrays and floats, in the units of X; None stands for what the rows suggest."""
    d = len(moments.mean)
    freedom = float(d if degrees_of_freedom is None else degrees_of_freedom)
    if freedom <= d - 1:
        raise ValueError(f"The parameter 'degrees_of_freedom_prior' should be greater than {d - 1}, but got {freedom}.")
    mean = moments.mean if mean is None else np.array(mean, dtype=np.float64)
    if mean.shape != (d,) or not np.isfinite(mean).all():
        raise ValueError(
            f"The parameter 'mean_prior' should have the shape ({d},), a finite number for each feature, got {mean!r}."
        )
    structure = replace(COVARIANCES[estimator.covariance_type], tied=True)
    if covariance is None:
        scale = np.sqrt(_variances(estimator, moments))
        correlation = correlations(data, moments) if len(structure.shape_of_one(d)) == 2 else np.eye(d)
        matrix = torch.from_numpy(correlation * scale * scale[:, None])
        scale_matrix = structure.from_matrices(matrix.unsqueeze(0))[0]
    else:
        given = _mixture_parameters.checked(covariance, "covariance_prior", structure.shape_of_one(d))
        scale_matrix = _mixture_parameters.in_groups(structure, given, d, "covariance_prior")[0]
    return {
        "mean_precision": 1.0 if mean_precision is None else float(mean_precision),
        "mean": mean,
        "degrees_of_freedom": freedom,
        "covariance": scale_matrix.contiguous().numpy(),
    }


def _variances(estimator, moments):
    """Unbiased variances of the columns, small ones for constant columns."""
    # Where weights are shares of a few rows only, one row less than their sum would be none.
    variances = moments.squares / np.maximum(moments.count - 1, moments.count / 2)
    usual = 1.0 if moments.constant.all() else variances[~moments.constant].mean()
    return np.where(moments.constant, estimator.reg_covar or FLAT * usual, variances)


def model_of(covariance, numbers, center, n_components, weights, reg_covar, device):
    """The model with the numbers of a prior, relative to a center, on a device."""
    prior = NormalWishart(
        numbers["mean_precision"],
        torch.from_numpy(numbers["mean"] - center).to(device),
        numbers["degrees_of_freedom"],
        torch.tensor(numbers["covariance"]).to(device),
    )
    return BayesianMixture(covariance, n_components, len(center), weights, prior, reg_covar=reg_covar)
