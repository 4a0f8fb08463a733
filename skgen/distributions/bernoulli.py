"""Bernoulli distributions, parameterised by logits."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

OPEN_INTERVAL = 2.0**-32 * (1 - 2.0**-23)
"""Factor from 32-bit integers to numbers between -1/2 and 1/2, which they stay below also when rounded to float32."""


LARGEST_LOGIT = 40.0
"""Above it softplus is its argument, to the last digit of float64 too."""


def softplus(x: Tensor) -> Tensor:
    r""":math:`\log(1 + e^x)`, element by element.

    It is exact to rounding in float64 too: torch's own default leaves out up to 2e-9 above 20.
    """
    return F.softplus(x, threshold=LARGEST_LOGIT)


def bernoulli_log_probs(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log-probability :math:`x l - \log(1 + e^l)`, element by element.

    For fractional x in [0, 1] it is the mean of the log-probability over x's binarisations.
    """
    return x * logits - softplus(logits)


def bernoulli_draw(probabilities: Tensor, generator: Generator, *, shared: bool = False) -> Tensor:
    """Independent draws of 0 and 1 with the given probabilities; shape and dtype kept.

    With ``shared`` the rows share their uniforms: independent along the last axis only, and equal rows draw alike.

    Uniforms are the halves of 64-bit integer draws, several times faster than ``torch.bernoulli``; probabilities are
    resolved to 2^-24, and 0 and 1 are exact.
    """
    shape = probabilities.shape[-1:] if shared else probabilities.shape
    n_words = (shape.numel() + 1) // 2
    words = torch.empty(n_words, dtype=torch.int64, device=probabilities.device)
    words.random_(-(2**63), None, generator=generator)
    numbers = words.view(torch.int32)[: shape.numel()].view(shape).to(probabilities.dtype)
    # p - u > 1/2 for u uniform on (-1/2, 1/2). A result in place is one kernel: a comparison that makes booleans, and
    # their conversion, are slower than all the rest but the integers.
    excess = torch.sub(probabilities, numbers, alpha=OPEN_INTERVAL, out=None if shared else numbers)
    return excess.gt_(0.5)
