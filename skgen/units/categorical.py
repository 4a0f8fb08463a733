"""Units with several states, one-hot."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from skgen.units.base import Units


class CategoricalUnits(Units):
    r"""Blocks of columns of which exactly one is 1, :math:`A(\theta) = \log \sum_k e^{\theta_k}` of each block.

    Parameters
    ----------
    sizes : sequence of int
        Number of categories of each block, at least 1; blocks lie side by side.
    """

    padded: Tensor
    place: Tensor
    last: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sum(sizes))
        self.sizes = tuple(sizes)
        widest = max(sizes)
        # Columns of each block, filled up with a column that is appended behind the last.
        padded = torch.full((len(sizes), widest), self.n_units)
        place, start = [], 0
        for block, size in enumerate(sizes):
            padded[block, :size] = torch.arange(start, start + size)
            place.append(torch.arange(size) + block * widest)
            start += size
        self.register_buffer("padded", padded, persistent=False)
        self.register_buffer("place", torch.cat(place), persistent=False)
        self.register_buffer("last", torch.tensor(sizes).unsqueeze(1) - 1, persistent=False)

    def log_partition(self, field: Tensor) -> Tensor:
        return torch.logsumexp(self.blocks(field, fill=-torch.inf), -1)

    def mean(self, field: Tensor, *, out: Tensor | None = None) -> Tensor:
        mean = self.columns(torch.softmax(self.blocks(field, fill=-torch.inf), -1))
        return mean if out is None else out.copy_(mean)

    def draw(self, field: Tensor, generator: Generator) -> Tensor:
        return self.draw_from(self.mean(field), generator)

    def mean_and_draw(self, field: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        mean = self.mean(field)
        return mean, self.draw_from(mean, generator)

    def draw_from(self, probabilities: Tensor, generator: Generator) -> Tensor:
        """One category of each block with given probabilities, by inversion of their sums."""
        sums = self.blocks(probabilities, fill=0.0).cumsum(-1)
        uniform = torch.empty_like(sums[..., :1]).uniform_(generator=generator) * sums[..., -1:]
        # A uniform that was rounded up to the whole sum belongs to the last category.
        category = torch.minimum((sums <= uniform).sum(-1, keepdim=True), self.last)
        return self.columns(torch.zeros_like(sums).scatter_(-1, category, 1.0))

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

    def blocks(self, values: Tensor, *, fill: float) -> Tensor:
        """Columns arranged in blocks, (..., n_units) to (..., n_blocks, widest), with a filling."""
        if self.padded.numel() == self.n_units:
            return values.reshape(*values.shape[:-1], *self.padded.shape)
        filled: Tensor = F.pad(values, (0, 1), value=fill)
        return filled[..., self.padded]

    def columns(self, blocks: Tensor) -> Tensor:
        """Blocks back to columns, without the filling."""
        flat = blocks.flatten(-2)
        return flat if self.padded.numel() == self.n_units else flat[..., self.place]
