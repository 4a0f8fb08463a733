"""The generalised Pareto distribution, and what it says of the largest importance weights."""

import math

import torch
from torch import Tensor

FEWEST = 25
"""Draws below which nothing is said about their tail."""
PRIOR_SIZE, PRIOR_SHAPE = 10.0, 0.5
"""Weight, in observations, and value of the shape that an estimate is drawn towards."""


def fit_generalized_pareto(x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Shape k and scale s of the density :math:`\frac1s (1 + k x / s)^{-1/k - 1}`, :math:`x > 0`.

    The estimate of Zhang and Stephens (2009, https://doi.org/10.1198/tech.2009.08017): with :math:`b = -k / s`, the
    mean of b over its profile likelihood on a grid, and :math:`k = \frac1n \sum_i \log(1 - b x_i)`. No iterations.

    Parameters
    ----------
    x : Tensor of shape (n, ...)
        Positive numbers.

    Returns
    -------
    shape, scale : Tensor of shape (...)
    """
    x = x.sort(0).values
    n, largest = len(x), x[-1]
    n_grid = 30 + math.isqrt(n)
    nodes = torch.arange(1, n_grid + 1, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.dim() - 1))
    quartile = x[int(n / 4 + 0.5) - 1].clamp_min(torch.finfo(x.dtype).eps * largest)
    grid = 1 / largest + (1 - torch.sqrt(n_grid / (nodes - 0.5))) / (3 * quartile)
    shapes = torch.log1p(-grid.unsqueeze(1) * x).mean(1)
    weight = torch.softmax(n * (torch.log(-grid / shapes) - shapes - 1), 0)
    b = (weight * grid).sum(0)
    shape = torch.log1p(-b * x).mean(0)
    return shape, -shape / b


def pareto_shape(log_weight: Tensor) -> Tensor:
    """Shape k of the upper tail of some importance weights, their Pareto-k: (draws, ...) to (...).

    Weights have 1 / k moments. Up to 0.7 the mean of the weights can be trusted at usual numbers of draws, and beyond
    no error estimate can (Vehtari et al. 2024, https://arxiv.org/abs/1507.02646). The tail is the largest of
    min(draws / 5, 3 sqrt(draws)) weights; k is drawn towards 0.5 as if by ten more. NaN for fewer than 25 draws, -inf
    where the tail has no spread.
    """
    n_draws = len(log_weight)
    if n_draws < FEWEST:
        return torch.full_like(log_weight[0], torch.nan)
    n_tail = math.ceil(min(n_draws / 5, 3 * math.sqrt(n_draws)))
    largest = torch.topk(log_weight, n_tail + 1, dim=0).values
    weight = torch.exp(largest - largest[0])
    tail = weight[:-1] - weight[-1]
    shape, _ = fit_generalized_pareto(tail)
    shape = (n_tail * shape + PRIOR_SIZE * PRIOR_SHAPE) / (n_tail + PRIOR_SIZE)
    return torch.where(tail[0] > 0, shape, -torch.inf)
