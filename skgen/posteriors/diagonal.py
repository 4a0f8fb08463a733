"""Normal posterior with independent components."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.normal import LOG_2PI
from skgen.distributions.normal_mixture import component_log_probs
from skgen.posteriors.base import SMALLEST_VARIANCE, Draw, Posterior, PosteriorSpec

LARGEST_LOG_VARIANCE = 40.0


def cut_off(values: Tensor, largest: float) -> Tensor:
    """Values brought between -largest and largest, with derivatives that pass the cut."""
    return values.detach().clamp(-largest, largest) + (values - values.detach())


class DiagonalPosterior(Posterior):
    r"""Independent normals, :math:`q(z \mid x) = \prod_i N(z_i; m_i(x), s_i(x)^2)` (Kingma and Welling 2014).

    The network gives :math:`(m, \log s^2)`; the log-variance is cut off at +-40 so that rows far from all others
    overflow nothing, and derivatives pass the cut.
    """

    normal_margins = True

    def __init__(self, n_components: int) -> None:
        super().__init__(n_components, 2 * n_components)

    def _log_prob(self, log_scale: Tensor, noise: Tensor) -> Tensor:
        return -0.5 * (noise.square().sum(-1) + self.n_components * LOG_2PI) - log_scale.sum(-1)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = parameters.chunk(2, -1)
        return mean, 0.5 * cut_off(log_variance, LARGEST_LOG_VARIANCE)

    def draw(self, parameters: Tensor, noise: Tensor) -> Draw:
        mean, log_scale = self._split(parameters)
        scale = torch.exp(log_scale)
        return Draw(mean + scale * noise, self._log_prob(log_scale, noise), mean, log_scale, scale)

    def mean_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = self._split(parameters)
        return mean, torch.exp(log_scale)

    def log_probs(self, z: Tensor, parameters: Tensor) -> Tensor:
        return component_log_probs(z, *self._split(parameters))

    def path_score(self, parameters: Tensor, noise: Tensor) -> Tensor:
        return -noise / torch.exp(self._split(parameters.detach())[1])

    def noise(self, z: Tensor, parameters: Tensor) -> Tensor:
        mean, log_scale = self._split(parameters)
        return (z - mean) * torch.exp(-log_scale)

    def matched(self, z: Tensor) -> Tensor:
        variance = z.var(0, correction=0).clamp_min(SMALLEST_VARIANCE)
        return torch.cat([z.mean(0), torch.log(variance)], -1)

    def tracer(self) -> Tracer:
        half = torch.tensor(0.5)

        def trace(parameters: Tensor, noise: Tensor) -> tuple[Draw, Pullback]:
            mean, log_variance = parameters.chunk(2, -1)
            log_scale = log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE).mul_(half)
            scale = torch.exp(log_scale)
            deviation = scale * noise

            def pullback(
                to_z: Tensor,
                to_log_prob: Tensor | None,
                to_mean: Tensor | None,
                to_log_scale: Tensor | None,
                _: Tensor | None = None,
            ) -> Tensor:
                scale_gradient = to_z * deviation
                if to_log_prob is not None:
                    scale_gradient = scale_gradient - per_feature(to_log_prob)
                if to_z.dim() == 3:
                    to_z, scale_gradient = to_z.sum(0), scale_gradient.sum(0)
                if to_mean is not None and to_log_scale is not None:
                    to_z, scale_gradient = to_z + to_mean, scale_gradient + to_log_scale
                return torch.cat([to_z, scale_gradient.mul_(half)], -1)

            return Draw(mean + deviation, lambda: self._log_prob(log_scale, noise), mean, log_scale, scale), pullback

        return trace


@dataclass
class Diagonal(PosteriorSpec):
    """Normal posterior with independent components, the mean-field choice."""

    def build(self, n_components: int) -> DiagonalPosterior:
        """Return the module."""
        return DiagonalPosterior(n_components)
