"""Continuous Bernoulli likelihood for columns of numbers between 0 and 1."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from skgen._spec import check_number
from skgen._terms import Part
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.continuous_bernoulli import (
    continuous_bernoulli_draw,
    continuous_bernoulli_log_probs,
    continuous_bernoulli_logits,
    continuous_bernoulli_mean,
)
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization

LARGEST_START = 0.9
"""Share of the largest logit within which columns start, so that training can move them either way."""


class ContinuousBernoulliLikelihood(Likelihood):
    r"""Independent columns in [0, 1] with density proportional to :math:`e^{l_i x_i}`.

    The logits :math:`l = L \tanh(o / L)` are the decoder's outputs o, bent to stay within the largest, L.
    """

    support = (0.0, 1.0)

    def __init__(self, n_features: int, max_logit: float) -> None:
        super().__init__(n_features, n_features)
        self.largest = max_logit

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        one = torch.ones_like(mean)
        return Standardization(torch.zeros_like(mean), one, one)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        """The mean of each column; of a constant one whatever the latent variables."""
        logits = continuous_bernoulli_logits(mean, LARGEST_START * self.largest)
        head.weight.masked_fill_(scale == 0, 0)
        head.bias.copy_(self.largest * torch.atanh(logits / self.largest))

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        """Nothing: the columns are never rescaled."""

    def _logits(self, outputs: Tensor) -> Tensor:
        return self.largest * torch.tanh(outputs / self.largest)

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return continuous_bernoulli_log_probs(x, self._logits(outputs))

    def mean(self, outputs: Tensor) -> Tensor:
        return continuous_bernoulli_mean(self._logits(outputs))

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return continuous_bernoulli_draw(self._logits(outputs), generator)

    def tracer(self) -> Tracer:
        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            bent = torch.tanh(outputs / self.largest)
            logits = self.largest * bent

            def pullback(cotangent: Tensor) -> Tensor:
                residual = x - continuous_bernoulli_mean(logits)
                return residual.mul_(1 - bent.square()).mul_(per_feature(cotangent))

            return lambda: continuous_bernoulli_log_probs(x, logits).sum(-1), pullback

        return trace


@dataclass
class ContinuousBernoulli(LikelihoodSpec):
    """Continuous Bernoulli likelihood for columns of numbers between 0 and 1, such as grey levels.

    The density that a Bernoulli likelihood of such numbers lacks. Values outside [0, 1] are clipped, with a warning.

    Parameters
    ----------
    max_logit : float, default=200.0
        Largest size of a logit, the inverse of the smallest standard deviation. Without it columns of which most values
        are 0 or 1 have an unbounded density.
    """

    max_logit: float = 200.0

    def build(self, n_features: int) -> ContinuousBernoulliLikelihood:
        """Return the module."""
        check_number(self.max_logit, "max_logit", above=0, below=math.inf)
        return ContinuousBernoulliLikelihood(n_features, float(self.max_logit))
