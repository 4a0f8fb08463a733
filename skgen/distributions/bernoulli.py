"""Bernoulli distributions, parameterised by logits."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log-probability :math:`\sum_i x_i l_i - \log(1 + e^{l_i})`, summed over the last axis.

    For fractional x in [0, 1] it is the mean of the log-probability over x's binarisations.
    Shapes: broadcast to (..., features), gives (...).
    """
    return (x * logits - F.softplus(logits)).sum(-1)


def bernoulli_draw(probabilities: Tensor, generator: Generator, *, shared: bool = False) -> Tensor:
    """Independent draws of 0 and 1 with the given probabilities; shape and dtype kept.

    With ``shared`` the rows share their uniforms: independent along the last axis only, and equal rows draw alike.

    Uniforms are the upper 24 bits of each half of 64-bit integer draws, several times faster than ``torch.bernoulli``;
    probabilities are resolved to 2^-24, and 0 and 1 are exact.
    """
    shape = probabilities.shape[-1:] if shared else probabilities.shape
    n_words = (shape.numel() + 1) // 2
    words = torch.empty(n_words, dtype=torch.int64, device=probabilities.device)
    words.random_(-(2**63), None, generator=generator)
    integers = words.view(torch.int32)[: shape.numel()].view(shape)
    uniform = integers.bitwise_right_shift_(8).to(probabilities.dtype).mul_(2.0**-24).add_(0.5)
    return torch.gt(probabilities, uniform).to(probabilities.dtype)
