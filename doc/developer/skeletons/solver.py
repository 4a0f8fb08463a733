"""Skeleton of a solver: copy to ``skgen/training/<name>.py``, rename, name it in ``EM_SOLVERS``.

It works as it stands, for every model.
"""

import math

import torch
from torch import Tensor
from torch.linalg import LinAlgError

from skgen._exact_model import Parameters, Statistics
from skgen.training.expectation import Solver

GROWTH = 1.2
"""Factor by which steps grow while they succeed."""


class OverrelaxedEM(Solver):
    r"""EM whose steps are lengthened, on the unconstrained parameters, for as long as the bound rises.

    .. math:: \theta_{t+1} = \theta_t + \eta \, (M(\theta_t) - \theta_t), \qquad \eta \ge 1

    (Salakhutdinov and Roweis 2003, Adaptive overrelaxed bound optimization methods). The parameters in force are always
    those of a step of EM, which can only raise the bound; the longer step is tried first in the next iteration. So no
    bound that a step returns is below an earlier one. One step is one pass over the rows, and a second one after a
    failure.
    """

    trial: Tensor | None = None
    """A vector further along the last step."""
    length = 1.0
    reference = -math.inf
    """The bound at the last point that was accepted."""

    def _step(self) -> float:
        point, statistics, value = self._accepted() or (self.parameters, *self.expectation(self.parameters))
        self.reference = self._finite(value)
        start = self.model.unconstrain(point)
        self._maximise(statistics, point)
        self.length *= GROWTH
        self.trial = start + self.length * (self.model.unconstrain(self.parameters) - start)
        return value

    def _accepted(self) -> tuple[Parameters, Statistics, float] | None:
        """The trial with its statistics and bound; None if there is none, or none as good as the last point."""
        if self.trial is None:
            return None
        try:
            point = self.model.refreshed(self.model.constrain(self.trial))
            statistics, value = self.expectation(point)
        except LinAlgError:
            value = math.nan
        if self.reference <= value < math.inf:
            return point, statistics, value
        self.length = 1.0
        return None

    def _restart(self) -> None:
        """A degenerate component was put elsewhere: what the last steps say is no longer true."""
        self.length, self.reference = 1 / GROWTH, -math.inf

    def _state(self) -> dict[str, Tensor]:
        numbers = torch.tensor([self.length, self.reference], dtype=torch.float64)
        return {"numbers": numbers} | ({} if self.trial is None else {"trial": self.trial})

    def _load(self, state: dict[str, Tensor]) -> None:
        self.length, self.reference = state["numbers"].tolist()
        self.trial = state.get("trial")
