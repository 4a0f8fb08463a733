"""Each distinct row once, for solvers that draw, or that learn from some rows at a time."""

from dataclasses import replace

import torch
from torch import Tensor

from skgen._rows import Rows
from skgen.training.representatives import distinct


class DistinctRows:
    """Each distinct row once, with the weights of its repetitions together, in an order that the values define.

    Parts and draws that are made of it depend on the weighted empirical distribution of the rows only: a weight of 2
    is the row twice, a weight of 0 no row, and the order of the rows is of no account.

    Parameters
    ----------
    rows : Rows
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        # The order must be the same whenever a solver goes on from its state.
        self.places, weight = distinct(rows.x, rows.weight, generator=torch.Generator().manual_seed(0))
        all_alike = rows.weight is None and len(self.places) == len(rows)
        self.weight = None if all_alike else weight

    def __len__(self) -> int:
        return len(self.places)

    def take(self, part: slice | Tensor) -> Rows:
        """Some of them; neighbours in the order are alike in one direction."""
        weight = None if self.weight is None else self.weight[part]
        return replace(self.rows, x=self.rows.x[self.places[part]], weight=weight)
