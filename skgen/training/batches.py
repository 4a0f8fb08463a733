"""Rows in shuffled batches, gathered in blocks on the device that computes."""

from collections.abc import Callable, Iterator
from itertools import repeat, starmap
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Generator, Tensor

BLOCK_BYTES = {"cpu": 2**20}
OTHER_BLOCK_BYTES = 2**26


class Batch(NamedTuple):
    """Standardised rows (batch, features), their weights (batch,), None for equal weights, and what to predict.

    The target has one entry per row; None where rows are all there is.
    """

    x: Tensor
    weight: Tensor | None
    target: Tensor | None = None

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """The function of each part that there is."""
        weight, target = (None if part is None else function(part) for part in self[1:])
        return Batch(function(self.x), weight, target)

    def tiles(self, size: int) -> Iterator[tuple[slice, "Batch"]]:
        """Batches of at most so many of the rows, in their order, and which rows these are."""
        for start in range(0, len(self.x), size):
            tile = slice(start, start + size)
            yield tile, self.mapped(itemgetter(tile))


class Batches:
    """Shuffled passes over rows.

    Rows are gathered a block of batches at a time (about a megabyte on a CPU, so that it stays in cache), standardised,
    cast, moved to the device if they are not there, and redrawn if the likelihood does so; batches are views of the
    block. Rows that live on the device are never moved. Data of at most one batch is one batch in row order, whatever
    the generator.

    Parameters
    ----------
    rows : (n_rows, n_features)
    weight : (n_rows,) or None
        Weights with mean 1.
    prepare : callable or None
        Standardises a block of rows in their own dtype, before the cast; must not write to its argument.
    augment : callable or None
        Redraws standardised rows, ``augment(x, generator=...)``.
    target : (n_rows, ...) or None
        What to predict of each row, on the device of the rows; its dtype is kept.
    """

    def __init__(
        self,
        rows: Tensor,
        weight: Tensor | None,
        *,
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype,
        prepare: Callable[[Tensor], Tensor] | None,
        augment: Callable[..., Tensor] | None,
        target: Tensor | None = None,
    ) -> None:
        self.rows, self.weight, self.target = rows, weight, target
        self.batch_size = batch_size
        self.device, self.dtype = device, dtype
        self.prepare, self.augment = prepare, augment
        self.n_rows = len(rows)
        self.full = self.n_rows <= batch_size
        self.n_batches = -(-self.n_rows // batch_size)
        size = BLOCK_BYTES.get(device.type, OTHER_BLOCK_BYTES)
        per_batch = batch_size * max(1, rows.shape[1]) * dtype.itemsize
        self.block = max(1, size // per_batch) * batch_size

    def _gather(self, index: Tensor | None, generator: Generator) -> Batch:
        parts = Batch(self.rows, self.weight, self.target)
        if index is not None:
            parts = parts.mapped(lambda part: part.index_select(0, index))
        rows, weight, target = parts
        x = (rows if self.prepare is None else self.prepare(rows)).to(self.device, self.dtype)
        weight = None if weight is None else weight.to(self.device, self.dtype)
        if self.augment is not None:
            x = self.augment(x, generator=generator)
        return Batch(x, weight, None if target is None else target.to(self.device))

    def epoch(self, order: Generator, generator: Generator) -> Iterator[Batch]:
        """One pass; ``order`` (CPU) draws the permutation, ``generator`` (device) whatever ``augment`` draws."""
        if self.full:
            yield self._gather(None, generator)
            return
        permutation = torch.randperm(self.n_rows, generator=order).to(self.rows.device)
        for index in permutation.split(self.block):
            block = self._gather(index, generator)
            parts = (repeat(None) if part is None else part.split(self.batch_size) for part in block)
            yield from starmap(Batch, zip(*parts, strict=False))
