"""Rows in tiles that fit a processor's cache, with their weights and with what is missing in them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

SCAN_ROWS = 65536
"""Rows that are looked through for missing entries at a time."""


class Observed(NamedTuple):
    """Which entries of a tile's rows are observed.

    Attributes
    ----------
    patterns : Tensor of shape (n_patterns, features)
        The distinct patterns, True where an entry is observed.
    index : Tensor of shape (rows,)
        The pattern of each row; rows of one pattern stand together.
    """

    patterns: Tensor
    index: Tensor  # type: ignore[assignment]  # takes the place of a method that tuples have

    @property
    def mask(self) -> Tensor:
        """True where an entry is observed, (rows, features)."""
        return self.patterns[self.index]


class Tile(NamedTuple):
    """Some rows.

    Attributes
    ----------
    x : Tensor of shape (rows, features)
        Centred values, 0 where they are missing.
    weight : Tensor of shape (rows,) or None
        Weights of the rows; None stands for ones.
    observed : Observed or None
        What is there of each row; None where every entry is.
    """

    x: Tensor
    weight: Tensor | None = None
    observed: Observed | None = None

    @property
    def total(self) -> Tensor:
        """Sum of the weights."""
        return self.x.new_tensor(float(len(self.x))) if self.weight is None else self.weight.sum()


def _missing(x: Tensor) -> Tensor:
    """True for rows with a missing entry; a sum tells of none in a fraction of the time."""
    if not bool(x.sum().isnan()):
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)
    return torch.isnan(x).any(1)


@dataclass
class Rows:
    """Rows to learn from or to infer on, given out in tiles.

    Complete rows come in their order and, where nothing has to be converted, without a copy; incomplete rows come
    after them, sorted by pattern.

    Parameters
    ----------
    x : Tensor of shape (n_rows, features)
        Values in any floating dtype, NaN where they are missing.
    weight : Tensor of shape (n_rows,), default=None
        Weights of the rows.
    center : Tensor of shape (features,), default=None
        What is subtracted from every row; None subtracts nothing.
    tile_rows, incomplete_tile_rows : int
        Number of rows in a tile.
    single : bool, default=False
        Whether complete rows in float32 stay so; all others are given out in float64. It is False for other rows.
    scanned : bool, default=True
        Whether to look for missing entries; otherwise all rows are taken for complete.
    """

    x: Tensor
    weight: Tensor | None = None
    center: Tensor | None = None
    tile_rows: int = 8192
    incomplete_tile_rows: int = 256
    single: bool = False
    scanned: bool = True

    def __post_init__(self) -> None:
        self.single = self.single and self.x.dtype == torch.float32
        missing = [_missing(part) for part in self.x.split(SCAN_ROWS)] if self.scanned else []
        self.incomplete = torch.nonzero(torch.cat([self.x.new_zeros(0, dtype=torch.bool), *missing])).squeeze(1)
        if len(self.incomplete):
            complete = torch.ones(len(self.x), dtype=torch.bool, device=self.x.device)
            complete[self.incomplete] = False
            self.complete: Tensor | None = torch.nonzero(complete).squeeze(1)
            self._sort_incomplete()
        else:
            self.complete = None

    def _sort_incomplete(self) -> None:
        """Order the incomplete rows by pattern."""
        observed = torch.cat([~torch.isnan(self.x[part]) for part in self.incomplete.split(SCAN_ROWS)])
        self.patterns, index = torch.unique(observed, dim=0, return_inverse=True)
        self.pattern_index, order = torch.sort(index, stable=True)
        self.incomplete = self.incomplete[order]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        return self.x.shape[1]

    @property
    def total_weight(self) -> float:
        """Sum of the weights of all rows."""
        return float(len(self.x)) if self.weight is None else float(self.weight.sum())

    def _centred(self, x: Tensor, *, single: bool = False, out: Tensor | None = None) -> Tensor:
        if out is not None and not single and (self.center is not None or x.dtype != torch.float64):
            x = out[: len(x)].copy_(x)
            return x if self.center is None else x.sub_(self.center)
        if self.center is not None or not single:
            x = x.double()
        x = x if self.center is None else x - self.center
        return x.to(self.x.dtype) if single else x

    def _weight_of(self, rows: slice | Tensor) -> Tensor | None:
        return None if self.weight is None else self.weight[rows].double()

    def complete_places(self, tile_rows: int | None = None) -> Iterator[slice | Tensor]:
        """Where the rows of each complete tile stand in ``x``."""
        n_rows, size = len(self.x) if self.complete is None else len(self.complete), tile_rows or self.tile_rows
        for start in range(0, n_rows, size):
            part = slice(start, min(start + size, n_rows))
            yield part if self.complete is None else self.complete[part]

    def incomplete_places(self) -> Iterator[tuple[slice, Tensor]]:
        """Where the rows of each incomplete tile stand among the sorted ones, and in ``x``."""
        for start in range(0, len(self.incomplete), self.incomplete_tile_rows):
            part = slice(start, start + self.incomplete_tile_rows)
            yield part, self.incomplete[part]

    def complete_tiles(self, tile_rows: int | None = None, *, shared: bool = False) -> Iterator[Tile]:
        """Tiles of the rows in which nothing is missing, of another size where one is given.

        With ``shared``, what has to be converted or centred takes the memory of the tile before.
        """
        size = (min(tile_rows or self.tile_rows, len(self)), self.n_features)
        # Fresh memory for a large tile costs several times what filling it does.
        memory = self.x.new_empty(size, dtype=torch.float64) if shared else None
        for place in self.complete_places(tile_rows):
            yield Tile(self._centred(self.x[place], single=self.single, out=memory), self._weight_of(place))

    def incomplete_tiles(self) -> Iterator[Tile]:
        """Tiles of the rows in which something is missing."""
        for part, place in self.incomplete_places():
            used, index = torch.unique_consecutive(self.pattern_index[part], return_inverse=True)
            observed = Observed(self.patterns[used], index)
            x = self._centred(self.x[place]).masked_fill_(~observed.mask, 0)
            yield Tile(x, self._weight_of(place), observed)

    def __iter__(self) -> Iterator[Tile]:
        yield from self.complete_tiles()
        yield from self.incomplete_tiles()

    def places(self) -> Iterator[slice | Tensor]:
        """Where the rows of each tile stand in ``x``, in the order of the tiles."""
        yield from self.complete_places()
        for _, place in self.incomplete_places():
            yield place

    def take(self, index: slice | Tensor) -> "Rows":
        """The rows at some places, in tiles of the same size."""
        weight = None if self.weight is None else self.weight[index]
        return replace(self, x=self.x[index], weight=weight)
