"""Rectified units."""

from torch import Generator, Tensor

from skgen.distributions.normal import standard_normal_log_prob
from skgen.distributions.truncated_normal import (
    truncated_normal_draw,
    truncated_normal_log_mass,
    truncated_normal_mean,
)
from skgen.units.base import Units


class ReluUnits(Units):
    r"""Real units x >= 0 with base measure N(x; 0, 1): normal units of variance 1, cut off at 0.

    :math:`A(\theta) = \theta^2 / 2 + \log \Phi(\theta)`. A smooth form of the rectified units of Nair and Hinton (2010,
    https://www.cs.toronto.edu/~hinton/absps/reluICML.pdf) with a joint law, and so with an exact free energy.
    """

    measure = "density"
    unbounded = True
    mean_bound = (0.8, 1.0)

    def log_partition(self, field: Tensor) -> Tensor:
        return truncated_normal_log_mass(field)

    def mean(self, field: Tensor, *, out: Tensor | None = None) -> Tensor:
        return truncated_normal_mean(field)

    def draw(self, field: Tensor, generator: Generator) -> Tensor:
        return truncated_normal_draw(field, generator)

    def log_base(self, x: Tensor) -> Tensor:
        return standard_normal_log_prob(x)
