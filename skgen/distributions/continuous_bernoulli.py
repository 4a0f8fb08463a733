r"""Continuous Bernoulli distributions, with density proportional to :math:`e^{l x}` on [0, 1], parameterised by l.

Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli: fixing a pervasive error in variational autoencoders,
https://arxiv.org/abs/1907.06845. At l = 0 they are uniform; around it formulas divide 0 by 0, and series take over.
"""

import torch
from torch import Generator, Tensor

SMALL = 0.5
"""Size of l below which the series are used: seven terms of them are exact to rounding in float64."""
EVEN = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000, 1 / 1046139494400)
"""Coefficients of l^2, l^4 and so on in the logarithm of sinh(l / 2) / (l / 2)."""
ODD = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600)
"""Coefficients of l, l^3 and so on in its derivative."""


def _series(coefficients: tuple[float, ...], square: Tensor) -> Tensor:
    total = torch.zeros_like(square)
    for coefficient in reversed(coefficients):
        total = total * square + coefficient
    return total


def log_partition(logits: Tensor) -> Tensor:
    r""":math:`\log \int_0^1 e^{l x} dx = \log \frac{e^l - 1}{l}`, element by element."""
    near, size = logits.clamp(-SMALL, SMALL), logits.abs().clamp_min(SMALL)
    square = near.square()
    far = logits.clamp_min(0) + torch.log(-torch.expm1(-size) / size)
    return torch.where(logits.abs() < SMALL, 0.5 * near + square * _series(EVEN, square), far)


def continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    r"""The mean :math:`\frac{1}{1 - e^{-l}} - \frac1l`, element by element: the derivative of the above."""
    near, size = logits.clamp(-SMALL, SMALL), logits.abs().clamp_min(SMALL)
    series = 0.5 + near * _series(ODD, near.square())
    # Of the law of 1 - x, whose l is negative, where l is positive.
    low = 1 / size - torch.exp(-size) / -torch.expm1(-size)
    return torch.where(logits.abs() < SMALL, series, torch.where(logits > 0, 1 - low, low))


def continuous_bernoulli_log_probs(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log-density :math:`l x - \log \frac{e^l - 1}{l}`, element by element."""
    return x * logits - log_partition(logits)


def continuous_bernoulli_draw(logits: Tensor, generator: Generator) -> Tensor:
    """Independent draws by the inverse of the distribution function; shape and dtype kept."""
    uniform = torch.empty_like(logits).uniform_(generator=generator)
    size = logits.abs()
    known = size > torch.finfo(logits.dtype).tiny
    # Draws for -|l|; a draw for |l| is 1 minus one.
    low = -torch.log1p(uniform * torch.expm1(-size)) / torch.where(known, size, 1)
    low = torch.where(known, low, uniform).clamp(0, 1)
    return torch.where(logits > 0, 1 - low, low)


def continuous_bernoulli_logits(mean: Tensor, largest: float) -> Tensor:
    """Values of l that give means, between minus and plus the largest, by bisection; shape and dtype kept."""
    low, high = torch.full_like(mean, -largest), torch.full_like(mean, largest)
    for _ in range(64):
        middle = 0.5 * (low + high)
        below = continuous_bernoulli_mean(middle) < mean
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)
