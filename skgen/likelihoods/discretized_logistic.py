"""Discretised logistic likelihood for columns of ordered levels, such as the 256 of an image."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skgen._spec import check_count
from skgen.distributions.discretized_logistic import (
    discretized_logistic_draw,
    discretized_logistic_log_probs,
    discretized_logistic_mean,
)
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization, unscaled

SMALLEST_SCALE = 0.05
"""Floor of a scale, in levels: the level that the location is at then has all but 1e-4 of the mass."""
LEAST = math.log(1e-3 * SMALLEST_SCALE)
"""A value of r whose exponential adds next to nothing to the floor."""
DEFAULT_SCALE = 0.2
"""Starting scale as a share of a column's standard deviation: a tenth of its variance or so."""
REVIVED_SCALE = 0.02
"""Starting scale of a column that had been constant, as a share of the range."""


class DiscretizedLogisticLikelihood(Likelihood):
    r"""Independent levels 0 to n - 1: logistic numbers of location m and scale s, rounded and clipped.

    The decoder's output o gives the location, :math:`m = (n - 1)(1 + o) / 2`; the scale is one parameter per column,
    :math:`s = 0.05 + e^{r}` levels.
    """

    measure = "mass"
    whole = True

    def __init__(self, n_features: int, n_levels: int) -> None:
        super().__init__(n_features, n_features)
        self.n_levels = n_levels
        self.support = (0.0, n_levels - 1.0)
        self.log_scale = nn.Parameter(torch.zeros(n_features))

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        return unscaled(mean, scale)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        """The mean of each column; a constant one has it without weights and a scale at the floor."""
        constant = scale == 0
        head.weight.masked_fill_(constant, 0)
        head.bias.copy_(2 * mean / (self.n_levels - 1) - 1)
        start = torch.log(DEFAULT_SCALE * scale.clamp_min(SMALLEST_SCALE))
        self.log_scale.data.copy_(start).masked_fill_(constant, LEAST)

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        """Levels are never rescaled; a column that starts afresh gets a scale to learn from."""
        start = math.log(max(REVIVED_SCALE * (self.n_levels - 1), SMALLEST_SCALE))
        self.log_scale.data.masked_fill_(revived, start)

    def _law(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Offset from the middle of the levels, and scale, in levels."""
        return 0.5 * (self.n_levels - 1) * outputs, torch.exp(self.log_scale) + SMALLEST_SCALE

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return discretized_logistic_log_probs(x, *self._law(outputs), self.n_levels)

    def mean(self, outputs: Tensor) -> Tensor:
        return discretized_logistic_mean(*self._law(outputs), self.n_levels)

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return discretized_logistic_draw(*self._law(outputs), self.n_levels, generator)


@dataclass
class DiscretizedLogistic(LikelihoodSpec):
    """Discretised logistic likelihood for columns of ordered levels 0, 1 and so on, such as the 256 of an image.

    Scores are log-probabilities. Values beyond the levels are clipped and fractions are rounded, with warnings.

    Parameters
    ----------
    n_levels : int, default=256
        Number of levels.
    """

    n_levels: int = 256

    def build(self, n_features: int) -> DiscretizedLogisticLikelihood:
        """Return the module."""
        check_count(self.n_levels, "n_levels", least=2)
        return DiscretizedLogisticLikelihood(n_features, int(self.n_levels))
