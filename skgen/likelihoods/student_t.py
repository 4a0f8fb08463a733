"""Student's t likelihood for real columns with outliers."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from skgen._spec import check_number
from skgen.distributions.normal import positive_scale
from skgen.distributions.student_t import student_t_draw, student_t_log_probs
from skgen.likelihoods.base import Head, Likelihood, LikelihoodSpec, Standardization

DEFAULT_SCALE = 0.3
"""Starting scale as a share of a column's standard deviation."""
DEFAULT_DEGREES = 10.0
SMALLEST_DEGREES = 2.1
LARGEST_DEGREES = 1e3
"""Bounds of learnt degrees of freedom: all have a variance, and at the upper one the distribution is next to normal."""


class StudentTLikelihood(Likelihood):
    r"""Independent columns :math:`x_i = m_i + s_i t_i` with m from the decoder and :math:`t_i` of Student's law.

    The scale, :math:`s = \text{floor} + e^{r}`, is one parameter per column; so are the degrees of freedom, between two
    bounds, unless they are given.
    """

    def __init__(self, n_features: int, degrees: float | None, min_scale: float) -> None:
        super().__init__(n_features, n_features)
        self.degrees = degrees
        self.floor = min_scale
        self.log_scale = nn.Parameter(torch.zeros(n_features))
        if degrees is None:
            self.raw_degrees = nn.Parameter(torch.zeros(n_features))

    def standardize(self, mean: Tensor, scale: Tensor) -> Standardization:
        by_column = positive_scale(scale)
        return Standardization(mean, by_column, by_column)

    def initialize(self, head: Head, mean: Tensor, scale: Tensor) -> None:
        """The scale starts small; a constant column gets a location without weights and a scale at the floor."""
        constant = scale == 0
        head.weight.masked_fill_(constant, 0)
        head.bias.masked_fill_(constant, 0)
        self.log_scale.data.fill_(self._start).masked_fill_(constant, self._least)
        if self.degrees is None:
            share = (DEFAULT_DEGREES - SMALLEST_DEGREES) / LARGEST_DEGREES
            self.raw_degrees.data.fill_(math.log(share / (1 - share)))

    def compensate(self, head: Head, old: Standardization, new: Standardization, revived: Tensor) -> None:
        ratio = old.scale / new.scale
        head.weight.mul_(ratio)
        head.bias.copy_((head.bias * old.scale + old.shift - new.shift) / new.scale)
        head.bias[revived] = 0
        moved = torch.log((self._scale().detach() * ratio - self.floor).clamp_min(math.exp(self._least)))
        self.log_scale.data.copy_(torch.where(revived, self._start, moved))

    @property
    def _start(self) -> float:
        return math.log(DEFAULT_SCALE - self.floor)

    @property
    def _least(self) -> float:
        """A value of r whose exponential adds next to nothing to the floor."""
        return math.log(1e-3 * self.floor)

    def _scale(self) -> Tensor:
        return torch.exp(self.log_scale) + self.floor

    def _degrees(self) -> Tensor:
        if self.degrees is not None:
            return torch.full_like(self.log_scale, self.degrees)
        return SMALLEST_DEGREES + LARGEST_DEGREES * torch.sigmoid(self.raw_degrees)

    def log_probs(self, outputs: Tensor, x: Tensor) -> Tensor:
        return student_t_log_probs(x, outputs, self._scale(), self._degrees())

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs

    def sample(self, outputs: Tensor, *, generator: Generator) -> Tensor:
        return student_t_draw(outputs, self._scale(), self._degrees(), generator)

    def noise_variance(self) -> Tensor:
        degrees = self._degrees().detach()
        return self._scale().detach().square() * degrees / (degrees - 2)


@dataclass
class StudentT(LikelihoodSpec):
    """Student's t likelihood for real columns with outliers, which move it less than a Gaussian one.

    Parameters
    ----------
    degrees_of_freedom : float, default=None
        Above 2, so that the noise has a variance; None learns one number per column, between 2.1 and about 1000.
    min_scale : float, default=1e-2
        Floor of the scale, as a share of the column's standard deviation. A floor keeps constant or repeated values
        from an unbounded density.
    """

    degrees_of_freedom: float | None = None
    min_scale: float = 1e-2

    def build(self, n_features: int) -> StudentTLikelihood:
        """Return the module."""
        if self.degrees_of_freedom is not None:
            check_number(self.degrees_of_freedom, "degrees_of_freedom", above=2, below=math.inf)
        check_number(self.min_scale, "min_scale", above=0, below=DEFAULT_SCALE)
        return StudentTLikelihood(n_features, self.degrees_of_freedom, float(self.min_scale))
