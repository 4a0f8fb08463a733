"""Skeleton of a likelihood: copy to ``skgen/likelihoods/<name>.py``, rename, name it in ``LIKELIHOODS``.

It works as it stands: ``VariationalAutoencoder(likelihood=Laplace())``.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skgen._spec import check_number
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.normal import positive_scale
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization

DEFAULT_SCALE = 0.3
"""Starting scale as a share of a column's standard deviation."""


class LaplaceLikelihood(Likelihood):
    r"""Independent Laplace columns, which outliers move less than normal ones.

    .. math:: p(x_i) = \frac{1}{2 b_i} e^{-|x_i - m_i| / b_i}, \quad b = \text{floor} + e^{r}

    The decoder gives m; r is one parameter per column.
    """

    def __init__(self, n_features: int, min_scale: float) -> None:
        super().__init__(n_features, n_features)
        self.floor = min_scale
        self.log_scale = nn.Parameter(torch.zeros(n_features))

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        by_column = positive_scale(scale)
        return Standardization(mean, by_column, by_column)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        constant = scale == 0
        head.weight.masked_fill_(constant, 0)
        head.bias.masked_fill_(constant, 0)
        start = torch.where(constant, self._least, DEFAULT_SCALE - self.floor)
        self.log_scale.data.copy_(torch.log(start))

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        ratio = old.scale / new.scale
        head.weight.mul_(ratio)
        head.bias.copy_((head.bias * old.scale + old.shift - new.shift) / new.scale)
        head.bias[revived] = 0
        moved = (self._scale().detach() * ratio - self.floor).clamp_min(self._least)
        self.log_scale.data.copy_(torch.log(torch.where(revived, DEFAULT_SCALE, moved)))

    @property
    def _least(self) -> float:
        """A value of exp(r) that adds next to nothing to the floor."""
        return 1e-3 * self.floor

    def _scale(self) -> Tensor:
        return torch.exp(self.log_scale) + self.floor

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        scale = self._scale()
        return -(x - outputs).abs() / scale - torch.log(2 * scale)

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        pair = torch.empty(2, *outputs.shape, dtype=outputs.dtype, device=outputs.device)
        pair.exponential_(generator=generator)
        return outputs + self._scale() * (pair[0] - pair[1])

    def noise_variance(self) -> Tensor:
        return 2 * self._scale().detach().square()

    def tracer(self) -> Tracer:
        """Closed form of the gradient; leave the method out and autograd supplies it.

        The pullback returns the gradient of the outputs and adds that of own parameters to their ``.grad``.
        """
        raw, raw_gradient = self.log_scale.detach(), self.log_scale.grad
        assert raw_gradient is not None

        def trace(outputs: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
            exponential = torch.exp(raw)
            scale = exponential + self.floor
            residual = x - outputs
            ratio = residual.abs() / scale

            def pullback(cotangent: Tensor) -> Tensor:
                rows = per_feature(cotangent.expand(residual.shape[:-1]))
                to_raw = rows * (ratio - 1) * (exponential / scale)
                raw_gradient.add_(to_raw.flatten(0, -2).sum(0))
                return rows * torch.sign(residual) / scale

            return -(ratio + torch.log(2 * scale)).sum(-1), pullback

        return trace


@dataclass
class Laplace(LikelihoodSpec):
    """Laplace likelihood with one learnt scale per column.

    Parameters
    ----------
    min_scale : float, default=1e-2
        Floor of the scale, as a share of the column's standard deviation.
    """

    min_scale: float = 1e-2

    def build(self, n_features: int) -> LaplaceLikelihood:
        """Return the module."""
        check_number(self.min_scale, "min_scale", above=0, below=DEFAULT_SCALE)
        return LaplaceLikelihood(n_features, float(self.min_scale))
