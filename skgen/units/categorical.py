"""Units with several states, one-hot."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from skgen.distributions.categorical import Blocks
from skgen.units.base import Units


class CategoricalUnits(Units):
    r"""Blocks of columns of which exactly one is 1, :math:`A(\theta) = \log \sum_k e^{\theta_k}` of each block.

    Parameters
    ----------
    sizes : sequence of int
        Number of categories of each block, at least 1; blocks lie side by side.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sum(sizes))
        self.sizes = tuple(sizes)
        self.blocks = Blocks(sizes)

    def log_partition(self, field: Tensor) -> Tensor:
        return self.blocks.log_partition(field)

    def mean(self, field: Tensor, *, out: Tensor | None = None) -> Tensor:
        mean = self.blocks.probabilities(field)
        return mean if out is None else out.copy_(mean)

    def draw(self, field: Tensor, generator: Generator) -> Tensor:
        return self.draw_from(self.mean(field), generator)

    def mean_and_draw(self, field: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        mean = self.mean(field)
        return mean, self.draw_from(mean, generator)

    def draw_from(self, probabilities: Tensor, generator: Generator) -> Tensor:
        """One category of each block with given probabilities."""
        column = self.blocks.draw(probabilities, generator) + self.blocks.first
        return torch.zeros_like(probabilities).scatter_(-1, column, 1.0)

    def log_base(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    @property
    def n_states(self) -> int:
        return math.prod(self.sizes)

    def states(self, numbers: Tensor | None = None) -> Tensor:
        rest = torch.arange(self.n_states) if numbers is None else numbers
        parts = []
        for size in self.sizes:
            category: Tensor = F.one_hot(rest % size, size)
            parts.append(category)
            rest = rest // size
        return torch.cat(parts, -1).double()

    def initial_bias(self, mean: Tensor, *, least: float = 1e-3) -> Tensor:
        return torch.log(mean.clamp_min(least))
