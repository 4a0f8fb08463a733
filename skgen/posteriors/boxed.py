"""Posteriors on a box, for priors that have one for their support."""

import torch
from torch import Generator, Tensor

from skgen._terms import evaluate
from skgen.distributions.logistic import N_NODES, box_from_reals, logistic_normal_moments, reals_from_box
from skgen.posteriors.base import Draw, Posterior

SMALLEST_SLOPE = 1e-19
"""Where the map is flatter a draw is a corner of the box, which no gradient moves; float32 holds what it divides."""


class BoxedPosterior(Posterior):
    r"""Another posterior brought into a box by the logistic map.

    .. math:: z = a + (b - a) \sigma(y), \quad \log q(z \mid x) = \log q(y \mid x) - \sum_i \log \frac{dz_i}{dy_i}

    Priors with a ``support`` make one of the posterior that they are given; of a normal one, a logistic-normal one
    (Aitchison and Shen 1980, https://doi.org/10.2307/2335470).
    """

    def __init__(self, base: Posterior, low: float, high: float) -> None:
        super().__init__(base.n_components, base.n_parameters, base.n_noise)
        self.base, self.low, self.high = base, low, high

    @property
    def width(self) -> int:
        return self.base.width + 2 * N_NODES * self.n_components

    def draw(self, parameters: Tensor, noise: Tensor) -> Draw:
        y = self.base.draw(parameters, noise)
        z, log_slope = box_from_reals(y.z, self.low, self.high)
        return Draw(z, evaluate(y.log_prob) - log_slope, None, None, None)

    def reset(self, generator: Generator) -> None:
        self.base.reset(generator)

    def initialize(self, weight: Tensor, bias: Tensor) -> None:
        self.base.initialize(weight, bias)

    @property
    def density_width(self) -> int:
        return self.base.density_width

    def log_probs(self, z: Tensor, parameters: Tensor) -> Tensor:
        y, log_slope = reals_from_box(z, self.low, self.high)
        return self.base.log_probs(y, parameters) - log_slope.unsqueeze(-1)

    def noise(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self.base.noise(reals_from_box(z, self.low, self.high)[0], parameters)

    def matched(self, z: Tensor) -> Tensor:
        """As documented by the base class, but with the moments of y, which make the draws most probable."""
        # A draw that was rounded to a side of the box stands for one beside it.
        share = (z - self.low) / (self.high - self.low)
        return self.base.matched(torch.logit(share, torch.finfo(z.dtype).eps))

    def mean_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        if not self.base.normal_margins:
            return super().mean_and_scale(parameters)
        return logistic_normal_moments(*self.base.mean_and_scale(parameters), self.low, self.high)

    def path_score(self, parameters: Tensor, noise: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.base.draw(parameters, noise).z
            slope = (self.high - self.low) * torch.sigmoid(y) * torch.sigmoid(-y)
            # By the rule of the chain, and (1 - 2 sigma(y)) is the derivative of the log-slope by y.
            return (self.base.path_score(parameters, noise) + torch.tanh(0.5 * y)) / slope.clamp_min(SMALLEST_SLOPE)
