"""Poisson likelihood for columns of counts."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from skgen._terms import Part
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.counts import poisson_draw, poisson_log_probs
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization, unscaled

SMALLEST_MEAN = 1e-3
LARGEST_LOG_MEAN = 30.0
"""Cap of the logarithm of a mean, which an outlying row sends beyond float32 in the first epochs: 10^13 counts."""


def start_log_mean(head: Head, mean: Tensor, scale: Tensor) -> None:
    """Start a head at each column's mean, that of a constant column whatever the latent variables."""
    head.weight.masked_fill_(scale == 0, 0)
    head.bias.copy_(torch.log(mean.clamp_min(SMALLEST_MEAN)))


class PoissonLikelihood(Likelihood):
    r"""Independent counts, :math:`p(x_i) = e^{-m_i} m_i^{x_i} / x_i!` with :math:`\log m` from the decoder."""

    measure = "mass"
    support = (0.0, float("inf"))
    whole = True

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, n_features)

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        return unscaled(mean, scale)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        start_log_mean(head, mean, scale)

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        """Nothing: counts are never rescaled."""

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return poisson_log_probs(x, outputs.clamp(max=LARGEST_LOG_MEAN))

    def mean(self, outputs: Tensor) -> Tensor:
        return torch.exp(outputs.clamp(max=LARGEST_LOG_MEAN))

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return poisson_draw(self.mean(outputs), generator)

    def tracer(self) -> Tracer:
        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            def pullback(cotangent: Tensor) -> Tensor:
                # A capped mean keeps its gradient, which is negative, so that training comes back below the cap.
                return torch.sub(x, self.mean(outputs)).mul_(per_feature(cotangent))

            return lambda: self.log_prob(outputs, x), pullback

        return trace


@dataclass
class Poisson(LikelihoodSpec):
    """Poisson likelihood for columns of counts 0, 1, 2 and so on, whose variance is their mean.

    Scores are log-probabilities. Negative values are refused, and fractions are rounded with a warning.
    """

    def build(self, n_features: int) -> PoissonLikelihood:
        """Return the module."""
        return PoissonLikelihood(n_features)
