"""Poisson and negative binomial distributions, parameterised by the logarithm of their mean.

Log-masses are differences of terms that grow with the counts. They are rearranged as Loader (2000, Fast and accurate
computation of binomial probabilities) does, so that what is left is of the size of the result.
"""

import math

import torch
from torch import Generator, Tensor

SERIES = 16.0
"""Where Stirling's series takes over: its first five terms are exact to rounding in float64 from here on."""


def stirling(x: Tensor) -> Tensor:
    r""":math:`x \log x - x - \log \Gamma(x + 1)` for :math:`x \ge 0`, element by element.

    Between 0 and minus half of :math:`\log(2 \pi x)` and a little: without the large terms that its parts have.
    """
    large = x.clamp_min(SERIES)
    inverse = 1 / large
    square = inverse.square()
    tail = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    series = -0.5 * torch.log(2 * math.pi * large) - tail
    small = x.clamp_max(SERIES)
    direct = torch.xlogy(small, small) - small - torch.lgamma(small + 1)
    return torch.where(x > SERIES, series, direct)


def _excess(x: Tensor, log_mean: Tensor) -> tuple[Tensor, Tensor]:
    """x log(m / x) and m - x, the latter exact to rounding where the two are close."""
    ratio = log_mean - torch.log(torch.where(x > 0, x, 1))
    return x * ratio, torch.where(x > 0, x * torch.expm1(ratio), torch.exp(log_mean))


def poisson_log_probs(x: Tensor, log_mean: Tensor) -> Tensor:
    r"""Log-probability of counts, :math:`x \log m - m - \log x!`, element by element."""
    product, difference = _excess(x, log_mean)
    return product - difference + stirling(x)


def negative_binomial_log_probs(x: Tensor, log_mean: Tensor, size: Tensor) -> Tensor:
    r"""Log-probability of counts with mean m and variance :math:`m + m^2 / r`, element by element.

    .. math:: \log \frac{\Gamma(x + r)}{\Gamma(r)\, x!} + r \log \frac{r}{r + m} + x \log \frac{m}{r + m}

    A Poisson distribution whose rate has a gamma distribution of shape r, ``size``; for a large one it is Poisson.
    """
    product, difference = _excess(x, log_mean)
    total = x + size
    share = difference / total
    # The share nears -1 where the mean and the size are far below the count: there it has lost its digits.
    logarithm = torch.where(
        share < -0.5, torch.log(size + torch.exp(log_mean)) - torch.log(total), torch.log1p(share.clamp_min(-0.5))
    )
    constant = stirling(x) + stirling(size) - stirling(total) - torch.log1p(x / size)
    return product - total * logarithm + constant


def poisson_draw(mean: Tensor, generator: Generator) -> Tensor:
    """Independent Poisson counts with given means below 2^63; shape and dtype kept."""
    return torch.poisson(mean, generator=generator)


def negative_binomial_draw(mean: Tensor, size: Tensor, generator: Generator) -> Tensor:
    """Independent negative binomial counts with means below 2^57 or so; shape and dtype of the mean kept."""
    shape = size.expand_as(mean).contiguous()
    gamma: Tensor = torch._standard_gamma(shape, generator=generator)
    return poisson_draw(mean * (gamma / shape), generator)
