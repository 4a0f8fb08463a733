"""Negative binomial likelihood for counts that vary more than their mean says."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skgen._terms import Part
from skgen._trace import Pullback, Tracer, autograd_trace, per_feature
from skgen.distributions.counts import negative_binomial_draw, negative_binomial_log_probs
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization, unscaled
from skgen.likelihoods.poisson import LARGEST_LOG_MEAN, SMALLEST_MEAN, start_log_mean

LARGEST_DISPERSION = 1e3
SMALLEST_DISPERSION = 1e-8
"""Bounds of the dispersion: at the lower one a mean below a thousand is a Poisson one's to the eighth digit or so."""
START = (1e-2, 1.0)
"""Range of the starting dispersion."""


class NegativeBinomialLikelihood(Likelihood):
    r"""Independent counts with mean m, :math:`\log m` from the decoder, and variance :math:`m + a m^2`.

    The dispersion a is one parameter per column, between two bounds: :math:`a = a_0 + a_1 / (1 + e^{-r})`.
    """

    measure = "mass"
    support = (0.0, float("inf"))
    whole = True

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, n_features)
        self.raw_dispersion = nn.Parameter(torch.zeros(n_features))

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        return unscaled(mean, scale)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        """The mean of each column, and the dispersion that its variance has where the rows share one mean."""
        start_log_mean(head, mean, scale)
        dispersion = (scale.square() - mean) / mean.clamp_min(SMALLEST_MEAN).square()
        self.raw_dispersion.data.copy_(torch.logit(dispersion.clamp(*START) / LARGEST_DISPERSION))

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        """Nothing: counts are never rescaled."""

    def _size(self) -> Tensor:
        return 1 / (SMALLEST_DISPERSION + LARGEST_DISPERSION * torch.sigmoid(self.raw_dispersion))

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return negative_binomial_log_probs(x, outputs.clamp(max=LARGEST_LOG_MEAN), self._size())

    def mean(self, outputs: Tensor) -> Tensor:
        return torch.exp(outputs.clamp(max=LARGEST_LOG_MEAN))

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return negative_binomial_draw(self.mean(outputs), self._size(), generator)

    def tracer(self) -> Tracer:
        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            (value,), pull_dispersion = autograd_trace(lambda: self.log_prob(outputs, x))

            def pullback(cotangent: Tensor) -> Tensor:
                pull_dispersion(cotangent)
                mean = self.mean(outputs)
                # As with Poisson counts, a capped mean keeps its gradient.
                return (x - mean).div_(1 + mean / self._size().detach()).mul_(per_feature(cotangent))

            return value, pullback

        return trace


@dataclass
class NegativeBinomial(LikelihoodSpec):
    """Negative binomial likelihood for columns of counts 0, 1, 2 and so on, with one learnt dispersion per column.

    The variance is the mean plus the dispersion times its square. Scores are log-probabilities. Negative values are
    refused, and fractions are rounded with a warning.
    """

    def build(self, n_features: int) -> NegativeBinomialLikelihood:
        """Return the module."""
        return NegativeBinomialLikelihood(n_features)
