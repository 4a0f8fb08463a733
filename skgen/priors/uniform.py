"""Uniform prior on a box."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from skgen._spec import check_number
from skgen.posteriors.base import Posterior
from skgen.posteriors.boxed import BoxedPosterior
from skgen.priors.base import Prior, PriorSpec


class UniformPrior(Prior):
    r"""Uniform on a box, :math:`p(z) = (b - a)^{-d}` for :math:`a < z_i < b`.

    The logistic map brings posteriors into the box.
    """

    def __init__(self, n_components: int, low: float, high: float) -> None:
        super().__init__(n_components)
        self.support: tuple[float, float] = low, high
        self.constant = -n_components * math.log(high - low)

    def adapted(self, posterior: Posterior) -> BoxedPosterior:
        return BoxedPosterior(posterior, *self.support)

    def log_prob(self, z: Tensor) -> Tensor:
        low, high = self.support
        outside = ((z < low) | (z > high)).any(-1)
        return z.new_full(z.shape[:-1], self.constant).masked_fill_(outside, -torch.inf)

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        low, high = self.support
        return like.new_empty(n_draws, self.n_components).uniform_(low, high, generator=generator)


@dataclass
class Uniform(PriorSpec):
    """Uniform on a box, for latent variables with bounds; posteriors are logistic-normal.

    Parameters
    ----------
    low, high : float, default=-1.0 and 1.0
        Bounds of each latent variable.
    """

    low: float = -1.0
    high: float = 1.0

    def build(self, n_components: int) -> UniformPrior:
        """Return the module."""
        check_number(self.low, "prior__low", above=-math.inf)
        check_number(self.high, "prior__high", above=float(self.low), below=math.inf)
        return UniformPrior(n_components, float(self.low), float(self.high))
