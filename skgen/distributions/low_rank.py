"""Normal distributions with a low-rank plus diagonal covariance, W W' + diag(noise), without a matrix of d x d.

Shapes: loadings W (..., features, factors), noise variances (..., features) or (..., 1) where all are equal, means
(..., features). Leading axes are those of components; all functions take them together. With Psi = diag(noise), the
identity of Woodbury (1950) and the determinant lemma need only the capacity matrix M = I + W' Psi^-1 W, factors x
factors: M^-1 is the covariance of the factors given a row, and M^-1 W' Psi^-1 (x - mean) their mean (Tipping and
Bishop 1999, https://doi.org/10.1111/1467-9868.00196). Everything is differentiable.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from skgen.distributions.normal import LOG_2PI, standard_normal


class Capacity(NamedTuple):
    """What the rows of a component share.

    Attributes
    ----------
    factor : Tensor of shape (..., factors, factors)
        Lower Cholesky factor L of M = I + W' Psi^-1 W.
    projection : Tensor of shape (..., factors, features)
        L^-1 W' Psi^-1, which takes a centred row to coordinates u with L^-T u = E[z | x].
    log_determinant : Tensor of shape (...)
        Log-determinant of the covariance W W' + Psi.
    """

    factor: Tensor
    projection: Tensor
    log_determinant: Tensor


def capacity(loadings: Tensor, noise: Tensor) -> Capacity:
    """The capacity of W W' + diag(noise), O(features * factors^2) for each component."""
    noise = noise.expand(loadings.shape[:-1])
    scaled = (loadings / noise[..., None]).mT
    factor = torch.linalg.cholesky(scaled @ loadings + _identity(loadings))
    projection = torch.linalg.solve_triangular(factor, scaled, upper=False)
    return Capacity(factor, projection, torch.log(noise).sum(-1) + _log_determinant(factor))


def _identity(loadings: Tensor) -> Tensor:
    return torch.eye(loadings.shape[-1], dtype=loadings.dtype, device=loadings.device)


def _log_determinant(factor: Tensor) -> Tensor:
    """Log-determinant of a matrix from its Cholesky factor."""
    total: Tensor = 2 * torch.log(torch.diagonal(factor, dim1=-2, dim2=-1)).sum(-1)
    return total


def projected(x: Tensor, mean: Tensor, shared: Capacity) -> Tensor:
    """Coordinates u = L^-1 W' Psi^-1 (x - mean) of rows (rows, features), (..., rows, factors).

    All components share one product with the rows; their coordinates of a row lie together in memory.
    """
    n_factors, n_features = shared.projection.shape[-2:]
    offset = (shared.projection @ mean[..., None]).squeeze(-1)
    product = x @ shared.projection.reshape(-1, n_features).T
    product = (product - offset.reshape(-1)).view(len(x), *mean.shape[:-1], n_factors)
    return product.movedim(0, -2)


def posterior_mean(coordinates: Tensor, factor: Tensor) -> Tensor:
    """E[z | x] = L^-T u of coordinates u (..., rows, factors), in their shape."""
    mean: Tensor = torch.linalg.solve_triangular(factor, coordinates, upper=False, left=False)
    return mean


def posterior_covariance(factor: Tensor) -> Tensor:
    """Cov[z | x] = M^-1 from the Cholesky factor of M, (..., factors, factors)."""
    return torch.cholesky_inverse(factor)


def posterior_draw(mean: Tensor, factor: Tensor, generator: Generator) -> Tensor:
    """Draws from N(E[z | x], M^-1) about means (..., factors), in their shape; factors L of M have the same axes."""
    noise = standard_normal(mean, generator).unsqueeze(-1)
    deviation: Tensor = torch.linalg.solve_triangular(factor.mT, noise, upper=True)
    return mean + deviation.squeeze(-1)


def squared_distances(x: Tensor, mean: Tensor, noise: Tensor) -> Tensor:
    """The sums (x - mean)^2 / noise over features of rows (rows, features), (..., rows).

    Squares are expanded, so that all components share two products with the rows. Its error is that of rounding
    relative to the largest of mean^2 / noise: centre the rows.
    """
    precision = (1 / noise).expand(mean.shape)
    flat = [value.reshape(-1, x.shape[1]) for value in (precision, mean * precision, mean.square() * precision)]
    total = x.square() @ flat[0].T - 2 * (x @ flat[1].T) + flat[2].sum(-1)
    return total.view(len(x), *mean.shape[:-1]).movedim(0, -1)


def low_rank_log_prob(
    x: Tensor, mean: Tensor, loadings: Tensor, noise: Tensor, shared: Capacity | None = None
) -> Tensor:
    r"""Log-density of N(mean, W W' + diag(noise)) in O(rows * features * factors) for each component.

    .. math:: -\tfrac12 (x-m)'\Psi^{-1}(x-m) + \tfrac12 \|u\|^2 - \tfrac12 \log|W W' + \Psi| - \tfrac d2 \log 2\pi

    A single component is given the sum of squares :math:`(x-m-Wz)'\Psi^{-1}(x-m-Wz) + \|z\|^2` at z = E[z | x],
    which is the same and subtracts nothing, so that small noise costs no digits.

    Shapes: rows (rows, features) give (..., rows).
    """
    shared = capacity(loadings, noise) if shared is None else shared
    coordinates = projected(x, mean, shared)
    if mean.dim() == 1:
        z = posterior_mean(coordinates, shared.factor)
        # One product takes W z + mean from the rows, and no other array of their size is written.
        ones, affine = z.new_ones(len(z), 1), torch.cat([loadings.mT, mean[None]])
        residual = torch.addmm(x, torch.cat([z, ones], 1), affine, alpha=-1)
        distance = _squares(residual, 1 / noise) + z.square().sum(-1)
    else:
        distance = squared_distances(x, mean, noise) - coordinates.square().sum(-1)
    return -0.5 * (distance + shared.log_determinant[..., None] + x.shape[1] * LOG_2PI)


def _squares(residual: Tensor, precision: Tensor) -> Tensor:
    """Sums of squares of rows (rows, features) with a precision for each feature, or one for all, (rows,)."""
    if len(precision) == 1:
        norm: Tensor = torch.linalg.vector_norm(residual, dim=1)
        return norm.square() * precision
    return residual.square() @ precision


class Partial(NamedTuple):
    """Rows of which some entries are missing, under each component.

    Attributes
    ----------
    log_prob : Tensor of shape (..., rows)
        Log-density of the observed entries.
    mean : Tensor of shape (..., rows, factors)
        E[z | observed entries].
    factor : Tensor of shape (..., rows, factors, factors)
        Lower Cholesky factors of the inverse of Cov[z | observed entries].
    """

    log_prob: Tensor
    mean: Tensor
    factor: Tensor


def partial_capacity(patterns: Tensor, loadings: Tensor, noise: Tensor) -> Tensor:
    """Cholesky factors of M_p = I + sum over the observed features j of w_j w_j' / noise_j.

    Patterns (patterns, features), True where observed, give (..., patterns, factors, factors): one product of the
    patterns with the products of loadings, then a factorisation for each.
    """
    scaled = loadings / noise.expand(loadings.shape[:-1])[..., None]
    features = (scaled[..., :, None] * loadings[..., None, :]).flatten(-2)
    matrices = (patterns.to(loadings) @ features).unflatten(-1, (loadings.shape[-1],) * 2)
    factor: Tensor = torch.linalg.cholesky(matrices + _identity(loadings))
    return factor


def low_rank_partial(
    x: Tensor, patterns: Tensor, index: Tensor, mean: Tensor, loadings: Tensor, noise: Tensor
) -> Partial:
    """Log-density of, and factors given, the observed entries of rows; missing entries of x are 0.

    Parameters
    ----------
    x : Tensor of shape (rows, features)
    patterns : Tensor of shape (patterns, features)
        True where an entry is observed.
    index : Tensor of shape (rows,)
        The pattern of each row.
    mean, loadings, noise : Tensors of shape (..., features), (..., features, factors), (..., features) or (..., 1)
    """
    noise = noise.expand(loadings.shape[:-1])
    there = patterns.to(loadings)
    mask = there[index]
    factor = partial_capacity(patterns, loadings, noise)
    determinant = _log_determinant(factor) + torch.log(noise) @ there.T
    factor = factor[..., index, :, :]
    deviation = (x - mean[..., None, :]) * mask
    scaled = deviation / noise[..., None, :]
    sums = scaled @ loadings
    z = torch.cholesky_solve(sums[..., None], factor).squeeze(-1)
    residual = (deviation - z @ loadings.mT) * mask
    distance = (residual.square() / noise[..., None, :]).sum(-1) + z.square().sum(-1)
    log_prob = -0.5 * (distance + determinant[..., index] + mask.sum(-1) * LOG_2PI)
    return Partial(log_prob, z, factor)
