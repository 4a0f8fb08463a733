"""Logistic distributions rounded to the levels 0 to n - 1; what lies beyond the ends is moved to them.

The location m is given by its offset from the middle of the levels, (n - 1) / 2, so that float32 keeps digits.
Salimans et al. (2017), PixelCNN++, https://arxiv.org/abs/1701.05517.
"""

import torch
from torch import Generator, Tensor

from skgen.distributions.bernoulli import softplus


def discretized_logistic_log_probs(x: Tensor, offset: Tensor, scale: Tensor, n_levels: int) -> Tensor:
    r"""Log-probability of levels, element by element, with F the logistic function.

    .. math:: \log \left(F\left(\tfrac{x + 1/2 - m}{s}\right) - F\left(\tfrac{x - 1/2 - m}{s}\right)\right)

    At level 0 the second term is 0, at level n - 1 the first is 1. The difference of F(a) and F(b) is the product of
    F(a), F(-b) and 1 - exp(b - a), whose logarithms keep their digits however far away the level is.
    """
    distance = (x - 0.5 * (n_levels - 1)) - offset
    below = -softplus((-0.5 - distance) / scale)
    above = -softplus((distance - 0.5) / scale)
    width = torch.log(-torch.expm1(-1 / scale))
    first, last = x <= 0, x >= n_levels - 1
    return torch.where(last, 0, below) + torch.where(first, 0, above) + torch.where(first | last, 0, width)


def discretized_logistic_mean(offset: Tensor, scale: Tensor, n_levels: int) -> Tensor:
    """The mean: the sum of the probabilities to reach each level; shape of the offset kept."""
    total = torch.zeros_like(offset)
    for level in range(1, n_levels):
        total += torch.sigmoid((offset - (level - 0.5 * n_levels)) / scale)
    return total


def discretized_logistic_draw(offset: Tensor, scale: Tensor, n_levels: int, generator: Generator) -> Tensor:
    """Independent draws of levels; shape and dtype of the offset kept."""
    uniform = torch.empty_like(offset).uniform_(generator=generator)
    return torch.round(0.5 * (n_levels - 1) + offset + scale * torch.logit(uniform)).clamp(0, n_levels - 1)
