"""Normal prior with a learnt mean and variance of each component."""

import math
from typing import cast

import torch
from torch import Generator, Tensor, nn

from skgen._terms import Part
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.normal import kl_to_standard_normal, normal_log_prob, standard_normal
from skgen.distributions.normal_mixture import m_step, moments_of, weighted_moments, wide
from skgen.posteriors.base import Draw
from skgen.posteriors.diagonal import LARGEST_LOG_VARIANCE
from skgen.priors.base import Prior, TrainingRows, weighted_points

SMALLEST_VARIANCE = math.exp(-LARGEST_LOG_VARIANCE)
"""What the M-step gives at least: the variance of the narrowest posterior."""


class LearnedNormalPrior(Prior):
    r"""Normal with a learnt mean and variance of each component, :math:`p(z) = N(z; m, \mathrm{diag}(v))`.

    It starts as the standard normal. A decoder that can undo shift and scale reaches the same bound at any m and v;
    they matter where it is fixed or constrained, and to how fast EM goes, which learns them in turns with it.
    """

    start_is_fit = True
    closed_m_step = True

    def __init__(self, n_components: int) -> None:
        super().__init__(n_components)
        self.mean = nn.Parameter(torch.zeros(n_components))
        self.log_variance = nn.Parameter(torch.zeros(n_components))

    def _set(self, mean: Tensor, variance: Tensor) -> None:
        self.mean.data.copy_(mean)
        self.log_variance.data.copy_(torch.log(variance))

    def start(self, rows: TrainingRows) -> None:
        _, mean, variance = rows.mixture(1, 1)
        self._set(mean[0], variance[0])

    def log_prob(self, z: Tensor) -> Tensor:
        return normal_log_prob(z, self.mean, 0.5 * self.log_variance)

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        noise = standard_normal(self.mean.new_empty(n_draws, self.n_components), generator)
        return (self.mean + torch.exp(0.5 * self.log_variance) * noise).to(like)

    def normal_kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        # The same shift and scale of both leaves a KL what it is.
        log_unit = 0.5 * self.log_variance
        return kl_to_standard_normal((mean - self.mean) * torch.exp(-log_unit), log_scale - log_unit)

    def statistics(self, draw: Draw, weight: Tensor | None = None) -> dict[str, Tensor]:
        known = draw.mean is not None and draw.scale is not None
        if not known or (weight is not None and weight.dim() == 2):
            points, share = weighted_points(draw.z, weight)
            return weighted_moments(points, share.unsqueeze(-1))
        mean, scale = cast(Tensor, draw.mean), wide(cast(Tensor, draw.scale))
        share = (mean.new_ones(len(mean)) if weight is None else weight).unsqueeze(-1)
        found = weighted_moments(mean, share)
        return found | {"second": found["second"] + wide(share).T @ scale.square()}

    def expected_statistics(self) -> dict[str, Tensor]:
        mean, variance = self.mean.unsqueeze(0), torch.exp(self.log_variance).unsqueeze(0)
        return moments_of(torch.ones_like(mean[:, 0]), mean, variance)

    def maximise(self, statistics: dict[str, Tensor]) -> None:
        """The mean and variance of the posteriors, which maximise the mean of log p(z) over them."""
        present = self.mean.new_zeros(1), self.mean.unsqueeze(0), torch.exp(self.log_variance).unsqueeze(0)
        _, mean, variance = m_step(statistics, *present, floor=SMALLEST_VARIANCE)
        self._set(mean[0], variance[0])

    def _add_gradients(self, to_mean: Tensor, to_log_variance: Tensor) -> None:
        """Add what rows say of the parameters, (..., n_components) each, to their gradients."""
        for parameter, gradient in ((self.mean, to_mean), (self.log_variance, to_log_variance)):
            cast(Tensor, parameter.grad).add_(gradient.reshape(-1, self.n_components).sum(0))

    def tracer(self) -> Tracer:
        def trace(z: Tensor) -> tuple[Tensor, Pullback]:
            deviation, precision = z - self.mean.detach(), torch.exp(-self.log_variance.detach())

            def pullback(cotangent: Tensor) -> Tensor:
                factor = per_feature(cotangent)
                pull = deviation * precision * factor
                self._add_gradients(pull, 0.5 * (deviation * pull - factor))
                return -pull

            return self.log_prob(z).detach(), pullback

        return trace

    def normal_kl_tracer(self) -> Tracer:
        def trace(mean: Tensor, log_scale: Tensor, scale: Tensor) -> tuple[Part, Pullback]:
            deviation, precision = mean - self.mean.detach(), torch.exp(-self.log_variance.detach())

            def pullback(cotangent: Tensor) -> tuple[Tensor, Tensor]:
                to_mean = deviation * precision * cotangent
                to_log_scale = (scale * scale * precision - 1) * cotangent
                self._add_gradients(-to_mean, -0.5 * (deviation * to_mean + to_log_scale))
                return to_mean, to_log_scale

            return lambda: self.normal_kl(mean, log_scale).detach(), pullback

        return trace
