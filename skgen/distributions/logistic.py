"""The logistic map from all real numbers to an interval, and normal distributions under it."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LARGEST_NOISE, N_NODES = 9.0, 129
"""Quadrature nodes are evenly spaced: the trapezoidal rule converges exponentially, for the map is analytic."""


def box_from_reals(y: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    r"""Points of a box and the log-determinant of the map's derivative, summed over the last axis.

    .. math:: z_i = a + (b - a) \sigma(y_i), \quad
        \log \frac{dz_i}{dy_i} = \log(b - a) + \log \sigma(y_i) + \log \sigma(-y_i)

    Shapes: (..., features) to (..., features) and (...).
    """
    span = high - low
    log_slope = logsigmoid(y) + logsigmoid(-y) + math.log(span)
    return (low + span * torch.sigmoid(y)).clamp(low, high), log_slope.sum(-1)


def reals_from_box(z: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Inverse of :func:`box_from_reals` inside the box, and the log-determinant of that map there; shapes as there."""
    y = torch.logit((z - low) / (high - low))
    return y, box_from_reals(y, low, high)[1]


def logistic_normal_moments(mean: Tensor, scale: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of what :func:`box_from_reals` makes of normal numbers, of the shape of both."""
    noise = torch.linspace(-LARGEST_NOISE, LARGEST_NOISE, N_NODES, dtype=mean.dtype, device=mean.device)
    weight = torch.softmax(-0.5 * noise.square(), 0)
    share = torch.sigmoid(mean.unsqueeze(-1) + scale.unsqueeze(-1) * noise)
    first = share @ weight
    second = (share - first.unsqueeze(-1)).square() @ weight
    return low + (high - low) * first, (high - low) * second.sqrt()
