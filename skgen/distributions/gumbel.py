"""Gumbel noise, whose largest sum with log-probabilities is a draw of the category."""

import torch
from torch import Tensor


def gumbel_from_normal(noise: Tensor) -> Tensor:
    r"""Standard normal numbers to standard Gumbel ones by their distribution functions, :math:`-\log(-\log \Phi(e))`.

    So blocks that are even or antithetic for normal noise serve here too. The logarithm of :math:`\Phi` is computed as
    such, so that nothing rounds to infinity for noise below 13. Shape kept.
    """
    gumbel: Tensor = -torch.log(-torch.special.log_ndtr(noise))
    return gumbel
