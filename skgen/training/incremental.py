"""Expectation maximisation that updates the parameters several times in a pass."""

from functools import reduce

import torch

from skgen._exact_model import ExactModel, Parameters, Statistics, added
from skgen._rows import Rows
from skgen.training.distinct_rows import DistinctRows
from skgen.training.expectation import Expectation, Repair, Solver


class IncrementalEM(Solver):
    """EM that replaces the statistics of one block of rows at a time (Neal and Hinton 1998).

    A step begins with one of batch EM, which takes the statistics of all blocks and tells the bound. Then each block is
    visited again, and followed by an M-step. None of these lowers the free energy, which is a lower bound on the
    log-likelihood and was equal to it at the start, so no step lowers the bound
    (https://doi.org/10.1007/978-94-011-5014-9_12); an M-step in expanded parameters gives up this guarantee. One step
    is two passes over the rows.

    Parameters
    ----------
    model, rows, parameters, generator, repair
        See :class:`~skgen.training.expectation.Solver`.
    n_blocks : int, default=10
        Number of blocks, at most that of the distinct rows; the statistics of each are held during a step. A block is
        every ``n_blocks``-th of :class:`~skgen.training.distinct_rows.DistinctRows`.
    """

    mixes = True

    def __init__(
        self,
        model: ExactModel,
        rows: Rows,
        parameters: Parameters,
        *,
        generator: torch.Generator,
        repair: Repair | None = None,
        n_blocks: int = 10,
    ) -> None:
        super().__init__(model, rows, parameters, generator=generator, repair=repair)
        distinct = DistinctRows(rows)
        n_blocks = min(n_blocks, len(distinct))
        self.blocks = [Expectation(model, distinct.take(slice(i, None, n_blocks))) for i in range(n_blocks)]
        self.statistics: list[Statistics] = []

    def _step(self) -> float:
        bound = self._begin()
        for i, block in enumerate(self.blocks):
            if not self.statistics:
                # A repair has replaced the parameters that they belonged to.
                break
            self.statistics[i], value = block.sums(self.parameters)
            self._finite(float(value))
            self._maximise(self._total())
        self.statistics = []
        self.parameters = self.model.refreshed(self.parameters)
        return bound

    def _begin(self) -> float:
        """One step of batch EM, from which the blocks' statistics are kept; the bound."""
        for block in self.blocks:
            block.rows.single = self.rows.single
        found = [block.sums(self.parameters) for block in self.blocks]
        self.statistics = [statistics for statistics, _ in found]
        value = self._finite(float(self.model.log_prior(self.parameters) + sum(part for _, part in found)))
        self._maximise(self._total())
        return value / self.expectation.weight

    def _total(self) -> Statistics:
        """The statistics of all rows, added up afresh: differences of large sums would leave negative weights."""
        return reduce(added, self.statistics, {})

    def _restart(self) -> None:
        self.statistics = []
