"""Binary units."""

import torch
from torch import Generator, Tensor

from skgen.distributions.bernoulli import bernoulli_draw, softplus
from skgen.units.base import Units, reusable


class BernoulliUnits(Units):
    r"""Units in {0, 1}, :math:`A(\theta) = \log(1 + e^\theta)`."""

    def log_partition(self, field: Tensor) -> Tensor:
        return softplus(field)

    def mean(self, field: Tensor, *, out: Tensor | None = None) -> Tensor:
        return torch.sigmoid(field, out=out)

    def draw(self, field: Tensor, generator: Generator) -> Tensor:
        return bernoulli_draw(torch.sigmoid(field), generator)

    def mean_and_draw(self, field: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        mean = torch.sigmoid(field, out=reusable(field))
        return mean, bernoulli_draw(mean, generator)

    def log_base(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    @property
    def n_states(self) -> int:
        return int(2**self.n_units)

    def states(self, numbers: Tensor | None = None) -> Tensor:
        numbers = torch.arange(self.n_states) if numbers is None else numbers
        return (numbers.unsqueeze(1) >> torch.arange(self.n_units, device=numbers.device) & 1).double()

    def initial_bias(self, mean: Tensor, *, least: float = 1e-3) -> Tensor:
        return torch.logit(mean.clamp(least, 1 - least))
