"""Linear units."""

from torch import Generator, Tensor

from skgen.distributions.normal import standard_normal, standard_normal_log_prob
from skgen.units.base import Units


class GaussianUnits(Units):
    r"""Real units with unit variance: base measure N(x; 0, 1), :math:`A(\theta) = \theta^2 / 2`."""

    measure = "density"
    unbounded = True
    scaled = True

    def log_partition(self, field: Tensor) -> Tensor:
        return 0.5 * field.square()

    def mean(self, field: Tensor, *, out: Tensor | None = None) -> Tensor:
        return field

    def draw(self, field: Tensor, generator: Generator) -> Tensor:
        return standard_normal(field, generator).add_(field)

    def log_base(self, x: Tensor) -> Tensor:
        return standard_normal_log_prob(x)
