"""Skeleton of a prior: copy to ``skgen/priors/<name>.py``, rename, name it in ``PRIORS``.

It works as it stands: ``VariationalAutoencoder(prior=Laplace(scale=0.5))``.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from skgen._spec import check_number
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.normal import LOG_2PI
from skgen.priors.base import Prior, PriorSpec


class LaplacePrior(Prior):
    r"""Independent Laplace components, a sparse code.

    .. math:: p(z) = \prod_i \frac{1}{2 b} e^{-|z_i| / b}
    """

    def __init__(self, n_components: int, scale: float) -> None:
        super().__init__(n_components)
        self.b = scale

    def log_prob(self, z: Tensor) -> Tensor:
        return -z.abs().sum(-1) / self.b - self.n_components * math.log(2 * self.b)

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        # A difference of two exponential variables: inverting the distribution needs uniforms kept off 0.
        pair = torch.empty(2, n_draws, self.n_components, dtype=like.dtype, device=like.device)
        pair.exponential_(generator=generator)
        return self.b * (pair[0] - pair[1])

    def normal_kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        r"""Closed form, :math:`E|z| / b + \log 2b - H(q)`; leave the method out where there is none."""
        scale = torch.exp(log_scale)
        ratio = mean / scale
        expected_abs = scale * math.sqrt(2 / math.pi) * torch.exp(-0.5 * ratio.square())
        expected_abs = expected_abs + mean * torch.erf(ratio / math.sqrt(2))
        entropy = 0.5 * (LOG_2PI + 1) + log_scale
        return expected_abs / self.b + math.log(2 * self.b) - entropy

    def tracer(self) -> Tracer:
        """Closed form of the gradient; leave the method out and autograd supplies it."""

        def trace(z: Tensor) -> tuple[Tensor, Pullback]:
            return self.log_prob(z), lambda cotangent: torch.sign(z) * (per_feature(cotangent) / -self.b)

        return trace


@dataclass
class Laplace(PriorSpec):
    """Independent Laplace components.

    Parameters
    ----------
    scale : float, default=1.0
        Mean absolute value of a component.
    """

    scale: float = 1.0

    def build(self, n_components: int) -> LaplacePrior:
        """Return the module."""
        check_number(self.scale, "scale", above=0)
        return LaplacePrior(n_components, float(self.scale))
