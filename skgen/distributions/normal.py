"""Normal distributions with diagonal covariance, and the noise blocks that integrals over them use."""

import math

import torch
from torch import Generator, Tensor

LOG_2PI = math.log(2 * math.pi)


def positive_scale(scale: Tensor) -> Tensor:
    """Scales with 1 in place of 0, the scale of constant columns."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def normal_log_prob(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    r"""Log-density of independent normals, summed over the last axis.

    .. math:: \sum_i -\tfrac12 ((x_i - m_i) / s_i)^2 - \log s_i - \tfrac12 \log 2\pi

    Shapes: broadcast to (..., features), gives (...).
    """
    return (-0.5 * ((x - mean) * torch.exp(-log_scale)) ** 2 - log_scale - 0.5 * LOG_2PI).sum(-1)


def standard_normal(like: Tensor, generator: Generator) -> Tensor:
    """Draws from N(0, 1), in the shape, in the dtype and on the device of a tensor."""
    return torch.empty_like(like).normal_(generator=generator)


def standard_normal_log_prob(x: Tensor) -> Tensor:
    r"""Log-density of N(0, I), summed over the last axis; shapes (..., features) to (...)."""
    return -0.5 * (x.square().sum(-1) + x.shape[-1] * LOG_2PI)


def kl_to_standard_normal(mean: Tensor, log_scale: Tensor) -> Tensor:
    r"""KL(N(m, s^2) || N(0, 1)) of each component, :math:`\tfrac12(m^2 + s^2 - 1) - \log s`; shape kept."""
    return 0.5 * (mean.square() + torch.exp(2 * log_scale) - 1) - log_scale


def sobol_uniform(n_draws: int, n_features: int, seed: int) -> Tensor:
    """Scrambled Sobol points in the unit cube, float64, shape (n_draws, n_features).

    A block of 2^k points integrates smooth functions far better than independent draws (Owen 1998,
    https://doi.org/10.1006/jcom.1998.0487). Its own seed is used; global random states are untouched. Features beyond
    the 21201 that have directions are points of further sequences.
    """
    most = torch.quasirandom.SobolEngine.MAXDIM
    if n_features > most:
        rest = sobol_uniform(n_draws, n_features - most, seed + 1)
        return torch.cat([sobol_uniform(n_draws, most, seed), rest], -1)
    engine = torch.quasirandom.SobolEngine(n_features, scramble=True, seed=seed)
    points: Tensor = engine.draw(n_draws, dtype=torch.float64)
    # The engine gives its first point in torch's default dtype, which is the user's to choose.
    points[0] = engine.shift.double() / 2**engine.MAXBIT
    return points


def sobol_normal(n_draws: int, n_features: int, seed: int) -> Tensor:
    """Scrambled Sobol points mapped to N(0, I), float64, shape (n_draws, n_features)."""
    points = sobol_uniform(n_draws, n_features, seed)
    normal: Tensor = torch.special.ndtri(points.clamp(1e-12, 1 - 1e-12))
    return normal


def balanced_normal(n_draws: int, n_features: int, seed: int) -> Tensor:
    """Scrambled Sobol points and their negatives, mapped to N(0, I) and scaled to unit variance, float64.

    Means and variances of linear functions of a feature are exact. Shape (n_draws, n_features) with ``n_draws`` even.
    """
    half = sobol_normal(n_draws // 2, n_features, seed)
    half = half / half.square().mean(0).sqrt()
    return torch.cat([half, -half])


def whitened_pairs(half: Tensor) -> Tensor:
    """Noise (n, n_features), n >= n_features, made orthogonal and joined by its negatives, (2 n, n_features).

    The mean is exactly 0 and the covariance exactly I.
    """
    orthonormal, triangle = torch.linalg.qr(half)
    whitened = orthonormal * torch.sign(torch.diagonal(triangle)) * math.sqrt(len(half))
    return torch.cat([whitened, -whitened])


def antithetic_normal(n_draws: int, n_features: int, generator: Generator) -> Tensor:
    """Noise block in antithetic pairs with mean exactly 0 and covariance exactly I, float64.

    Half the draws are Gaussian, whitened by QR; the other half are their negatives. Shape (n_draws, n_features) with
    ``n_draws`` even and at least ``2 * n_features``. A frozen block with these two moments keeps a bound with a
    quadratic integrand exact, where a single frozen draw leaves it unbounded above.
    """
    half = n_draws // 2
    if n_draws % 2 or half < n_features:
        raise ValueError(f"n_draws must be even and at least {2 * n_features}, got {n_draws}.")
    return whitened_pairs(torch.empty(half, n_features, dtype=torch.float64).normal_(generator=generator))
