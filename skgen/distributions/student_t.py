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


def student_t_log_probs(x: Tensor, location: Tensor, scale: Tensor, degrees: Tensor) -> Tensor:
    r"""Log-density of t distributions, element by element.

    .. math:: \log \frac{\Gamma((\nu + 1) / 2)}{\Gamma(\nu / 2) \sqrt{\nu \pi}\, s}
       - \frac{\nu + 1}{2} \log \left(1 + \frac{(x - m)^2}{\nu s^2}\right)
    """
    square = ((x - location) / scale).square() / degrees
    constant = log_gamma_step(0.5 * degrees) - 0.5 * torch.log(math.pi * degrees) - torch.log(scale)
    return constant - 0.5 * (degrees + 1) * torch.log1p(square)


def student_t_draw(location: Tensor, scale: Tensor, degrees: Tensor, generator: Generator) -> Tensor:
    """Independent draws: normal ones divided by roots of gamma ones; shape and dtype of the location kept."""
    half = (0.5 * degrees).expand_as(location).contiguous()
    precision: Tensor = torch._standard_gamma(half, generator=generator) / half
    return location + scale * standard_normal(location, generator) / torch.sqrt(precision)
