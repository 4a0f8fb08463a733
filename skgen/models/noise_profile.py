r"""Factor analysis by the profile likelihood of its noise variances.

Given the noise Psi, the best loadings come from the eigenvalues theta and eigenvectors omega of
:math:`S^* = \Psi^{-1/2} S \Psi^{-1/2}`, with S the covariance of the rows: those of the q largest eigenvalues, where
they are above 1. What remains is a function of d numbers, which a few Newton steps minimise (Lawley and Maxwell 1971,
Factor analysis as a statistical method; Joreskog 1967, https://doi.org/10.1007/BF02289658). A step costs one
decomposition of a matrix of features x features, whatever the number of rows.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from skgen._exact_model import Parameters
from skgen.distributions.rotation import signs

SUFFICIENT_SHARE = 1e-4
"""Share of the decrease promised by the gradient that a step has to reach."""
LARGEST_STEP = 3.0
"""Largest change of a logarithm of a noise variance in one step; each is cut by itself."""
N_HALVINGS = 30
RIDGE = 1e-8
"""Share of the diagonal added to a curvature that is not positive definite."""


class Profile(NamedTuple):
    """The decomposition at some noise variances.

    Attributes
    ----------
    log_noise : Tensor of shape (features,)
    loss : Tensor of shape ()
        Twice the negative profile log-likelihood per row in nats, less d log(2 pi).
    values : Tensor of shape (features,)
        Eigenvalues of S*, in ascending order.
    vectors : Tensor of shape (features, features)
        Its eigenvectors.
    n_discarded : int
        Number of eigenvalues that the noise explains; the others are explained by factors.
    """

    log_noise: Tensor
    loss: Tensor
    values: Tensor
    vectors: Tensor
    n_discarded: int


def profiled(covariance: Tensor, log_noise: Tensor, n_factors: int) -> Profile:
    r"""The profile at some noise variances.

    .. math:: \sum_j \log\psi_j + \sum_{k \le q} (1 + \log\theta_k) + \sum_{k > q} \theta_k
    """
    scale = torch.exp(-0.5 * log_noise)
    values, vectors = torch.linalg.eigh(covariance * scale * scale[:, None])
    values = values.clamp_min(0)
    n_discarded = max(len(values) - n_factors, int((values <= 1).sum()))
    kept = values[n_discarded:]
    loss = log_noise.sum() + torch.log(kept).sum() + len(kept) + values[:n_discarded].sum()
    return Profile(log_noise, loss, values, vectors, n_discarded)


def gradient(profile: Profile) -> Tensor:
    r"""Derivatives of the loss in log noise, :math:`\sum_{k>q} (1 - \theta_k) \omega_{jk}^2`, (features,)."""
    rest = profile.vectors[:, : profile.n_discarded]
    return rest.square() @ (1 - profile.values[: profile.n_discarded])


def curvature(profile: Profile, *, definite: bool = False) -> Tensor:
    r"""Second derivatives of the loss in log noise, for eigenvalues of factors far above those of the noise.

    .. math:: A \circ B + C \circ D

    with the sums over discarded directions A of :math:`\theta \omega\omega'`, B of :math:`\omega\omega'` and C of
    :math:`(1-\theta) \omega\omega'`, and D that of :math:`\omega\omega'` over the directions of factors. The first term
    alone is never negative.
    """
    n = profile.n_discarded
    rest, values = profile.vectors[:, :n], profile.values[:n]
    first = ((rest * values) @ rest.T) * (rest @ rest.T)
    if definite:
        return first
    kept = profile.vectors[:, n:]
    return first + ((rest * (1 - values)) @ rest.T) * (kept @ kept.T)


def improved(covariance: Tensor, profile: Profile, n_factors: int, floor: Tensor) -> Profile:
    """The profile after one Newton step, which never raises the loss; noise variances stay above their floor.

    Those at the floor that would fall further are held there, and the step is one in the others.
    """
    slope, lowest = gradient(profile), torch.log(floor)
    free = (profile.log_noise > lowest) | (slope < 0)
    direction = torch.zeros_like(slope)
    # Where a factor explains a feature entirely, slope and curvature are rounding, and their ratio any number: it must
    # not shorten the step of the other features.
    direction[free] = _newton_direction(profile, slope, free).clamp(-LARGEST_STEP, LARGEST_STEP)
    if torch.dot(slope, direction) >= 0:
        direction[free] = -slope[free].clamp(-LARGEST_STEP, LARGEST_STEP)
    length = 1.0
    for _ in range(N_HALVINGS if direction.any() else 0):
        log_noise = torch.maximum(profile.log_noise + length * direction, lowest)
        candidate = profiled(covariance, log_noise, n_factors)
        promised = torch.dot(slope, log_noise - profile.log_noise).clamp_max(0)
        if candidate.loss <= profile.loss + SUFFICIENT_SHARE * promised:
            return candidate
        length /= 2
    return profile


def _newton_direction(profile: Profile, slope: Tensor, free: Tensor) -> Tensor:
    """Where the curvature sends the free variables; always downhill."""
    factor, failed = torch.linalg.cholesky_ex(curvature(profile)[free][:, free])
    if failed:
        matrix = curvature(profile, definite=True)[free][:, free]
        ridge = RIDGE * torch.diagonal(matrix) + torch.finfo(matrix.dtype).tiny
        factor, failed = torch.linalg.cholesky_ex(matrix + torch.diag(ridge))
    if failed:
        return -slope[free]
    return -torch.cholesky_solve(slope[free][:, None], factor).squeeze(1)


def starting_noise(covariance: Tensor, n_factors: int, floor: Tensor) -> Tensor:
    """Noise variances to start from, (features,).

    Shares of what no other feature explains (Joreskog 1967), or half of the variances where the covariance is
    singular, as it is for fewer rows than features.
    """
    variance = torch.diagonal(covariance)
    scale = torch.sqrt(torch.maximum(variance, floor))
    factor, failed = torch.linalg.cholesky_ex(covariance / scale / scale[:, None])
    unexplained = 0.5 * torch.ones_like(variance)
    if not failed:
        inverse = torch.diagonal(torch.cholesky_inverse(factor))
        unexplained = (1 - 0.5 * n_factors / len(variance)) / inverse
    return torch.maximum(unexplained * scale.square(), floor)


def profile_parameters(profile: Profile, mean: Tensor, n_factors: int) -> Parameters:
    """The parameters of a profile: noise, and the best loadings given it, in descending order of explained rows."""
    kept = slice(profile.n_discarded, None)
    loadings = profile.vectors[:, kept] * torch.sqrt(profile.values[kept] - 1)
    loadings = (torch.exp(0.5 * profile.log_noise)[:, None] * loadings).flip(1)
    padding = loadings.new_zeros(len(mean), n_factors - loadings.shape[1])
    loadings = torch.cat([loadings * signs(loadings), padding], 1)
    return {"mean": mean, "loadings": loadings, "noise": torch.exp(profile.log_noise)}
