"""Marginal and conditional distributions of mixtures of normal distributions, which are such mixtures too."""

import torch
from torch import Tensor

from skgen._exact_model import Parameters
from skgen.distributions.covariance import Covariance
from skgen.distributions.normal import LOG_2PI


def marginal(covariance: Covariance, parameters: Parameters, kept: Tensor) -> Parameters:
    """The mixture of some features, (kept,), of the same structure."""
    matrices = covariance.matrices(parameters["covariances"])[:, kept][:, :, kept]
    return {
        "log_weights": parameters["log_weights"],
        "means": parameters["means"][:, kept],
        "covariances": covariance.from_matrices(matrices),
    }


def conditional(
    covariance: Covariance, parameters: Parameters, given: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The mixtures of the other features given some, which share their covariances.

    Parameters
    ----------
    covariance : Covariance
        Structure.
    parameters : dict of str to Tensor
        Of the joint mixture.
    given : Tensor of shape (features,)
        True for the features that are known.
    values : Tensor of shape (rows, given)
        What they are.

    Returns
    -------
    log_weights : Tensor of shape (rows, K)
    means : Tensor of shape (rows, K, others)
    covariances : Tensor of shape (groups, ...)
    """
    matrices = covariance.matrices(parameters["covariances"])
    cross = matrices[:, ~given][:, :, given]
    factor = torch.linalg.cholesky(matrices[:, given][:, :, given])
    regression = torch.cholesky_solve(cross.mT, factor).mT
    deviation = values.unsqueeze(1) - parameters["means"][:, given]
    whitened = torch.linalg.solve_triangular(factor, deviation.unsqueeze(-1), upper=False).squeeze(-1)
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    joint = parameters["log_weights"] - 0.5 * (whitened.square().sum(-1) + log_det + LOG_2PI * values.shape[1])
    means = parameters["means"][:, ~given] + (regression @ deviation.unsqueeze(-1)).squeeze(-1)
    rest = matrices[:, ~given][:, :, ~given] - regression @ cross.mT
    return torch.log_softmax(joint, 1), means, covariance.from_matrices(0.5 * (rest + rest.mT))
