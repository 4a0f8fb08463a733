"""Bernoulli likelihood for binary columns."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from skgen._spec import check_choice
from skgen._terms import Part
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.bernoulli import bernoulli_draw, bernoulli_log_probs
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization

BINARIZE = ("none", "dynamic")
SMALLEST_MEAN = 1e-3


class BernoulliLikelihood(Likelihood):
    r"""Independent binary columns, :math:`p(x_i = 1) = 1 / (1 + e^{-l_i})` with logits l from the decoder.

    Fractional values in [0, 1] stand for the probability of a 1: their log-probability is the mean over binarisations.
    """

    measure = "mass"
    support = (0.0, 1.0)

    def __init__(self, n_features: int, dynamic: bool = False) -> None:
        super().__init__(n_features, n_features)
        self.dynamic = self.redraws = dynamic

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        one = torch.ones_like(mean)
        return Standardization(torch.zeros_like(mean), one, one)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        head.bias.copy_(torch.logit(mean.clamp(SMALLEST_MEAN, 1 - SMALLEST_MEAN)))

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        """Nothing: binary columns are never rescaled."""

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return bernoulli_log_probs(x, outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        return torch.sigmoid(outputs)

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return bernoulli_draw(torch.sigmoid(outputs), generator)

    def augment(self, x: Tensor, *, generator: Generator, shared: bool = False) -> Tensor:
        return bernoulli_draw(x, generator, shared=shared) if self.dynamic else x

    def tracer(self) -> Tracer:
        def trace(outputs: Tensor, x: Tensor) -> tuple[Part, Pullback]:
            def pullback(cotangent: Tensor) -> Tensor:
                return torch.sub(x, torch.sigmoid(outputs)).mul_(per_feature(cotangent))

            return lambda: self.log_prob(outputs, x), pullback

        return trace


@dataclass
class Bernoulli(LikelihoodSpec):
    """Bernoulli likelihood for columns of 0 and 1.

    Parameters
    ----------
    binarize : {"none", "dynamic"}, default="none"
        With "dynamic", values in [0, 1] are probabilities of a 1 that training rows redraw in every epoch (and
        validation rows once, from a fixed seed). Scoring never draws: rows to score should be binary. The ELBO
        of a fractional row is the mean over its binarisations, its score a lower bound on their mean.
    """

    binarize: str = "none"

    def build(self, n_features: int) -> BernoulliLikelihood:
        """Return the module."""
        check_choice(self.binarize, BINARIZE, "binarize")
        return BernoulliLikelihood(n_features, self.binarize == "dynamic")
