"""Skeleton of a structure of covariances: copy into ``skgen/distributions/covariance.py``, rename, name in the tables.

It works as it stands: ``GaussianMixtureModel(Exchangeable(), n_components, n_features)`` learns by every solver, from
rows with missing entries too. A structure that is a matrix with constraints is a :class:`Full` one, and says what the
constraints are; one whose features are independent starts from :class:`~skgen.distributions.covariance.Diagonal`.
"""

import torch
from torch import Tensor

from skgen.distributions.covariance import Full


class Exchangeable(Full):
    r"""Equal variances and equal correlations, as of repeated measurements.

    .. math:: \Sigma = \lambda_1 P + \lambda_2 (I - P), \qquad P = 1 1^\top / d

    Its eigenvalues are :math:`\lambda_1` along the mean of the features and :math:`\lambda_2` across.
    """

    def n_parameters(self, n_features: int) -> int:
        return min(2, n_features)

    def unpack(self, packed: Tensor, n_features: int) -> Tensor:
        """The M-step: among the covariances of the structure, the one that is likeliest for a scatter per row."""
        return self.from_matrices(super().unpack(packed, n_features))

    def from_matrices(self, matrices: Tensor) -> Tensor:
        """Each matrix' mean variance along the mean of the features, and its mean variance across."""
        d = matrices.shape[-1]
        along = matrices.mean((-2, -1)) * d
        across = (matrices.diagonal(dim1=-2, dim2=-1).sum(-1) - along) / max(1, d - 1)
        return self._matrix(along, across, d)

    def unconstrain(self, covariance: Tensor) -> Tensor:
        d = covariance.shape[-1]
        along = covariance.mean((-2, -1)) * d
        if d == 1:
            return along.log().unsqueeze(1)
        across = (covariance.diagonal(dim1=-2, dim2=-1).sum(-1) - along) / (d - 1)
        return torch.stack([along.log(), across.log()], 1)

    def constrain(self, numbers: Tensor, n_features: int) -> Tensor:
        return self._matrix(numbers[:, 0].exp(), numbers[:, -1].exp(), n_features)

    @staticmethod
    def _matrix(along: Tensor, across: Tensor, n_features: int) -> Tensor:
        mean = along.new_full((n_features, n_features), 1 / n_features)
        rest = torch.eye(n_features, dtype=mean.dtype, device=mean.device) - mean
        return along[:, None, None] * mean + across[:, None, None] * rest
