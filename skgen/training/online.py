"""Expectation maximisation from batches of rows."""

from collections.abc import Iterator

import torch
from torch import Tensor

from skgen._exact_model import ExactModel, Parameters, Statistics
from skgen._rows import Rows
from skgen.training.distinct_rows import DistinctRows
from skgen.training.expectation import Expectation, Repair, Solver, mixed

ENTRIES_PER_PARAMETER = 10
"""Number of entries of rows that have to be seen, for each number in the parameters, before these change."""
ROUNDING = 1e-9
"""Relative error that sums of weights may have."""


class OnlineEM(Solver):
    r"""EM with running statistics, moved towards those of each batch of rows (Cappe and Moulines 2009).

    After batch :math:`t` the statistics per unit of weight are
    :math:`s_t = (1 - \rho_t) s_{t-1} + \rho_t \hat s_t`, with
    :math:`\rho_t = (\mathrm{learning\_offset} + t)^{-\mathrm{learning\_decay}}`, and an M-step follows
    (https://doi.org/10.1111/j.1467-9868.2009.00698.x). Batches are of distinct rows, each with the weight of all its
    repetitions. Where ``batch_size`` does not divide these, batches are smaller, and each counts as its share of a
    batch: :math:`t` advances by that, and :math:`1 - \rho_t` is raised to its power. Until ten entries per parameter
    have been seen, or all rows, statistics are simply added up, and the parameters stay as they are.

    One step is one pass over the rows in random order. It returns the sum of the batches' log-likelihoods, each at the
    parameters that it was visited with, and so, in a first pass, before it was learnt from, with the log-prior at the
    first of them. :meth:`value` is exact.

    Parameters
    ----------
    model, rows, parameters, generator, repair
        See :class:`~skgen.training.expectation.Solver`.
    batch_size : int, default=1024
        Number of distinct rows in a batch.
    learning_decay : float, default=0.7
        Between 0.5, exclusive, and 1 for convergence.
    learning_offset : float, default=10.0
        Larger values give the first batches less weight.
    total_weight : float, default=None
        Weight of all rows there are or will be, against which priors are weighed; None is that of ``rows``. Where it is
        given, ``rows`` are but a chunk, and count as often as they are there.
    """

    mixes = True
    monotone = False

    def __init__(
        self,
        model: ExactModel,
        rows: Rows,
        parameters: Parameters,
        *,
        generator: torch.Generator,
        repair: Repair | None = None,
        batch_size: int = 1024,
        learning_decay: float = 0.7,
        learning_offset: float = 10.0,
        total_weight: float | None = None,
    ) -> None:
        super().__init__(model, rows, parameters, generator=generator, repair=repair)
        self.given = parameters
        self.batch_size = batch_size
        self.learning_decay, self.learning_offset = learning_decay, learning_offset
        n_rows = len(rows) if rows.weight is None else int(torch.count_nonzero(rows.weight))
        self.parts: Rows | DistinctRows = rows
        if total_weight is None and n_rows > batch_size:
            self.parts = DistinctRows(rows)
            n_rows = len(self.parts)
        # All rows there are make up a whole batch, so that repeated rows and weighted ones move it alike.
        self.counted = batch_size if total_weight is not None else min(batch_size, n_rows)
        self.row_weight = self.expectation.weight / n_rows
        self.total_weight = self.expectation.weight if total_weight is None else total_weight
        self.expectation.prior_weight = self.total_weight
        needed = ENTRIES_PER_PARAMETER * model.unconstrain(self.parameters).numel() / rows.n_features
        self.held = min(needed, n_rows if total_weight is None else total_weight)
        self.n_seen = 0.0
        self.statistics: Statistics = {}

    def _step(self) -> float:
        total, prior = 0.0, float(self.model.log_prior(self.parameters))
        for batch in self._batches():
            total += self._learn(batch)
        return total / self.expectation.weight + prior / self.total_weight

    def _batches(self) -> Iterator[Expectation]:
        """Batches of equal size in random order, but for those without weight; a single one is in the rows' order."""
        n_batches = -(-len(self.parts) // self.batch_size)
        if n_batches == 1:
            yield self.expectation
            return
        order = torch.randperm(len(self.parts), generator=self.generator, device=self.generator.device)
        for index in order.to(self.rows.x.device).tensor_split(n_batches):
            batch = Expectation(self.model, self.parts.take(index))
            if batch.weight > 0:
                yield batch

    def _learn(self, batch: Expectation) -> float:
        """Move statistics and parameters; the batch's log-likelihood at the parameters before."""
        found, value = batch.sums(self.parameters)
        log_likelihood = self._finite(float(value))
        n_new = batch.weight / self.row_weight
        rate = self._rate(n_new)
        self.n_seen += n_new
        self.statistics = mixed(self.statistics, {name: each / batch.weight for name, each in found.items()}, rate)
        if self.n_seen >= self.held * (1 - ROUNDING):
            self._maximise({name: value * self.total_weight for name, value in self.statistics.items()})
        return log_likelihood

    def _rate(self, n_new: float) -> float:
        """How far the statistics move towards those of ``n_new`` rows."""
        n_seen = self.n_seen + n_new
        if self.n_seen < self.held * (1 - ROUNDING):
            return n_new / n_seen
        rate = min(1.0, (self.learning_offset + n_seen / self.counted) ** -self.learning_decay)
        kept: float = (1 - rate) ** (n_new / self.counted)
        return 1 - kept

    def resume(self, statistics: Statistics, n_seen: float) -> None:
        """Go on from statistics per unit of weight of rows that the parameters have been learnt from.

        The parameters are those that the solver was given: what statistics are taken about is part of them.
        """
        self.parameters = self.given
        self.statistics = {name: value.to(self.rows.x.device) for name, value in statistics.items()}
        self.n_seen = n_seen

    def _restart(self) -> None:
        self.statistics, self.n_seen = {}, 0.0

    def _state(self) -> dict[str, Tensor]:
        named = {f"statistics.{name}": value for name, value in self.statistics.items()}
        return named | {"n_seen": torch.tensor(self.n_seen, dtype=torch.float64)}

    def _load(self, state: dict[str, Tensor]) -> None:
        self.n_seen = float(state["n_seen"])
        self.statistics = {name.removeprefix("statistics."): value for name, value in state.items() if name != "n_seen"}
