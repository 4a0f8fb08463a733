"""Expectation maximisation with extrapolated steps."""

import math

import torch
from torch import Tensor

from skgen._exact_model import Parameters, Statistics
from skgen.distributions.covariance import LinAlgError
from skgen.training.expectation import Solver

GROWTH = 4.0
"""Factor by which the longest extrapolation changes after it was a success or a failure."""


class AcceleratedEM(Solver):
    r"""SQUAREM: extrapolation along two steps of EM, on the unconstrained parameters.

    From :math:`\theta_1 = M(\theta_0)` and :math:`\theta_2 = M(\theta_1)`, with :math:`r = \theta_1 - \theta_0`
    and :math:`v = \theta_2 - \theta_1 - r`, the next point is
    :math:`M(\theta_0 + 2 \alpha r + \alpha^2 v)`, :math:`\alpha = |r| / |v|` (scheme S3 of Varadhan and Roland
    2008, https://doi.org/10.1111/j.1467-9469.2007.00585.x).

    One step is one pass over the rows, and a second one where the extrapolated point turns out to be worse than
    :math:`\theta_1` and the step of EM from :math:`\theta_2` is taken instead. So no bound that a step returns is below
    an earlier one, and none is above the bound at the parameters then in force. Of a step that extrapolates it is the
    bound at the extrapolated point.
    """

    path: tuple[Tensor, ...] = ()
    """Vectors that EM has gone through since the last extrapolation, the parameters in force left out."""
    reference = -math.inf
    """The bound at the last of them."""
    longest = 1.0
    """The largest length of an extrapolation; 1 is the step of EM itself."""

    def _step(self) -> float:
        if len(self.path) == 2:
            path, self.path = self.path, ()
            found = self._extrapolated(*path)
            if found is not None:
                self._maximise(found[1], found[0])
                self.reference = found[2]
                return found[2]
            statistics, value = self.expectation(self.parameters)
        else:
            self.path = (*self.path, self.model.unconstrain(self.parameters))
            statistics, value = self.expectation(self.parameters)
        self.reference = self._finite(value)
        self._maximise(statistics)
        return value

    def _extrapolated(self, start: Tensor, middle: Tensor) -> tuple[Parameters, Statistics, float] | None:
        """The extrapolated parameters with their statistics and bound; None if these would not be better."""
        first = middle - start
        second = self.model.unconstrain(self.parameters) - middle - first
        length = float(torch.linalg.vector_norm(first) / torch.linalg.vector_norm(second))
        if not 1.0 < length < math.inf:
            return None
        length, limited = min(length, self.longest), length > self.longest
        vector = start + 2 * length * first + length**2 * second
        found = None if length == 1.0 else self._evaluated(vector)
        if limited and (length == 1.0 or found is not None):
            self.longest *= GROWTH
        elif found is None:
            self.longest = max(1.0, self.longest / GROWTH)
        return found

    def _evaluated(self, vector: Tensor) -> tuple[Parameters, Statistics, float] | None:
        try:
            parameters = self.model.refreshed(self.model.constrain(vector))
            statistics, value = self.expectation(parameters)
        except LinAlgError:
            return None
        return (parameters, statistics, value) if self.reference <= value < math.inf else None

    def _restart(self) -> None:
        self.path = ()

    def _state(self) -> dict[str, Tensor]:
        numbers = torch.tensor([self.reference, self.longest], dtype=torch.float64)
        return {"numbers": numbers} | {f"path.{i}": vector for i, vector in enumerate(self.path)}

    def _load(self, state: dict[str, Tensor]) -> None:
        self.reference, self.longest = state["numbers"].tolist()
        self.path = tuple(state[f"path.{i}"] for i in range(len(state) - 1))
