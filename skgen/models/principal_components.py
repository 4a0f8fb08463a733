"""Probabilistic PCA in closed form (Tipping and Bishop 1999, https://doi.org/10.1111/1467-9868.00196)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from skgen._exact_model import Parameters, Statistics
from skgen._rows import Rows
from skgen.distributions.gram import gram
from skgen.distributions.rotation import signs

Eigen = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Eigenvalues of a symmetric matrix in ascending order, and its eigenvectors."""


class Spectrum(NamedTuple):
    """Mean and principal directions of rows, with variances that divide by the number of rows.

    Attributes
    ----------
    mean : Tensor of shape (features,)
    variances : Tensor of shape (directions,)
        In descending order. There are as many directions as features, or as rows where these are fewer.
    directions : Tensor of shape (features, directions)
        Orthonormal; the entry of largest size of each is positive.
    """

    mean: Tensor
    variances: Tensor
    directions: Tensor


def _descending(matrix: Tensor, eigh: Eigen) -> tuple[Tensor, Tensor]:
    """Eigenvalues, none below 0, and eigenvectors of a symmetric matrix, largest first."""
    values, vectors = eigh(matrix)
    return values.flip(0).clamp_min(0), vectors.flip(1)


def moment_covariance(moments: Statistics) -> tuple[Tensor, Tensor]:
    """Mean (features,) and covariance (features, features) of moments "weight", "first" and "second"."""
    mean = moments["first"] / moments["weight"]
    return mean, moments["second"] / moments["weight"] - mean[:, None] * mean


def moment_spectrum(moments: Statistics, eigh: Eigen = torch.linalg.eigh) -> Spectrum:
    """The spectrum of moments, O(features^3)."""
    mean, covariance = moment_covariance(moments)
    variances, directions = _descending(covariance, eigh)
    return Spectrum(mean, variances, directions * signs(directions))


def centred_rows(rows: Rows) -> tuple[Tensor, Tensor]:
    """Mean (features,) of complete rows, and the rows about it times square roots of their shares of the weight."""
    tiles = list(rows.complete_tiles())
    x = torch.cat([tile.x for tile in tiles])
    weight = torch.cat([tile.x.new_ones(len(tile.x)) if tile.weight is None else tile.weight for tile in tiles])
    share = weight / weight.sum()
    mean = share @ x
    return mean, (x - mean) * torch.sqrt(share)[:, None]


def row_spectrum(rows: Rows, eigh: Eigen = torch.linalg.eigh) -> Spectrum:
    """The spectrum of complete rows fewer than their features, O(features * rows^2), from their inner products."""
    mean, x = centred_rows(rows)
    variances, vectors = _descending(gram(x.T), eigh)
    # The product has orthogonal columns, but for directions without variance; QR normalises all.
    directions = torch.linalg.qr(x.T @ vectors).Q
    return Spectrum(mean, variances, directions * signs(directions))


def principal_parameters(spectrum: Spectrum, n_factors: int, floor: float) -> Parameters:
    r"""The maximum of the likelihood with isotropic noise of at least ``floor``, for any number of rows.

    .. math:: \sigma^2 = \frac1{d-q} \sum_{i>q} \lambda_i, \quad w_i = (\lambda_i - \sigma^2)^{1/2} u_i

    All d - q discarded variances count, those that are 0 for want of rows included.
    """
    n_features = len(spectrum.mean)
    kept = spectrum.variances[:n_factors]
    rest = spectrum.variances[n_factors:].sum() / max(1, n_features - n_factors)
    noise = rest.clamp_min(floor)
    loadings = spectrum.directions[:, :n_factors] * torch.sqrt((kept - noise).clamp_min(0))
    padding = loadings.new_zeros(n_features, n_factors - loadings.shape[1])
    return {"mean": spectrum.mean, "loadings": torch.cat([loadings, padding], 1), "noise": noise}


def principal_axes(loadings: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal directions (features, factors) and variances (factors,) of W z, in descending order."""
    directions, scales, _ = torch.linalg.svd(loadings, full_matrices=False)
    return directions * signs(directions), scales.square()
