"""Student's t distributions."""

import math

import torch
from torch import Generator, Tensor

from skgen.distributions.counts import stirling
from skgen.distributions.normal import standard_normal


def log_gamma_step(x: Tensor) -> Tensor:
    r""":math:`\log \Gamma(x + \tfrac12) - \log \Gamma(x)` for :math:`x > 0`, element by element.

    By Stirling's series, without the difference of two large numbers.
    """
    above = x + 0.5
    difference = stirling(x) - stirling(above)
    return x * torch.log1p(0.5 / x) + 0.5 * torch.log(above) - 0.5 + difference - torch.log1p(0.5 / x)


def student_t_log_prob(x: Tensor, location: Tensor, scale: Tensor, degrees: Tensor) -> Tensor:
    r"""Log-density of independent t distributions, summed over the last axis.

    .. math:: \sum_i \log \frac{\Gamma((\nu_i + 1) / 2)}{\Gamma(\nu_i / 2) \sqrt{\nu_i \pi}\, s_i}
       - \frac{\nu_i + 1}{2} \log \left(1 + \frac{(x_i - m_i)^2}{\nu_i s_i^2}\right)

    Shapes: broadcast to (..., features), gives (...).
    """
    square = ((x - location) / scale).square() / degrees
    constant = log_gamma_step(0.5 * degrees) - 0.5 * torch.log(math.pi * degrees) - torch.log(scale)
    return (constant - 0.5 * (degrees + 1) * torch.log1p(square)).sum(-1)


def student_t_draw(location: Tensor, scale: Tensor, degrees: Tensor, generator: Generator) -> Tensor:
    """Independent draws: normal ones divided by roots of gamma ones; shape and dtype of the location kept."""
    half = (0.5 * degrees).expand_as(location).contiguous()
    precision: Tensor = torch._standard_gamma(half, generator=generator) / half
    return location + scale * standard_normal(location, generator) / torch.sqrt(precision)
