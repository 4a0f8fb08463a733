"""Expectation maximisation that updates the parameters several times in a pass."""

from functools import reduce

import torch
from torch import Tensor

from skgen._exact import ExactModel, Parameters, Statistics, added
from skgen._tiles import Rows
from skgen.training.expectation import Expectation, Repair, Solver


class IncrementalEM(Solver):
    """EM with remembered statistics of blocks of rows, replaced block by block (Neal and Hinton 1998).

    The first step is one of batch EM, and takes the statistics of all blocks. Afterwards each block is followed by an
    M-step, which raises or keeps the free energy, a lower bound on the log-likelihood that no step lowers and that
    meets it at every optimum (https://doi.org/10.1007/978-94-011-5014-9_12). One step is one pass over the rows.

    What a step returns is the sum of the blocks' log-likelihoods, each at the parameters that it was visited with, and
    of the log-prior at the first of them; it costs no pass of its own. :meth:`value` is exact.

    Parameters
    ----------
    model, rows, parameters, generator, repair
        See :class:`~skgen.training.expectation.Solver`.
    n_blocks : int, default=10
        Number of blocks, at most that of the rows; the statistics of each are kept. A block is every ``n_blocks``-th
        row, so that the order of the rows matters little.
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
        n_blocks = min(n_blocks, len(rows))
        parts = [rows] if n_blocks == 1 else [rows.take(slice(i, None, n_blocks)) for i in range(n_blocks)]
        self.blocks = [Expectation(model, part) for part in parts]
        self.statistics: list[Statistics] = []

    def _step(self) -> float:
        if not self.statistics:
            return self._batch_step()
        total = self.model.log_prior(self.parameters)
        for i, block in enumerate(self.blocks):
            self.statistics[i], value = block.sums(self.parameters)
            total = total + self._finite(float(value))
            self._maximise(self._total())
            if not self.statistics:
                return self._batch_step()
        return float(total) / self.expectation.weight

    def _batch_step(self) -> float:
        """One step of EM, with which the blocks' statistics begin, or begin again where a repair ended them."""
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

    def _state(self) -> dict[str, Tensor]:
        return {f"{i}.{name}": value for i, block in enumerate(self.statistics) for name, value in block.items()}

    def _load(self, state: dict[str, Tensor]) -> None:
        found: dict[int, Statistics] = {}
        for key, value in state.items():
            i, _, name = key.partition(".")
            found.setdefault(int(i), {})[name] = value
        self.statistics = [found[i] for i in sorted(found)]
