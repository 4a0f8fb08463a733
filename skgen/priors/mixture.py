"""Mixture of normal distributions as a prior, for clusters."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Generator, Tensor, nn

from skgen._spec import check_count, check_epochs, check_number
from skgen._trace import Pullback, Tracer
from skgen.distributions.normal import standard_normal
from skgen.distributions.normal_mixture import (
    component_log_probs,
    m_step,
    mixture_log_prob,
    mixture_tracer,
    moments_of,
    weighted_moments,
    wide,
)
from skgen.posteriors.base import Draw
from skgen.priors.base import Prior, PriorSpec, TrainingRows, weighted_points


class MixturePrior(Prior):
    r"""Mixture of normals with diagonal covariance (Jiang et al. 2017), standard normal until it starts from rows.

    .. math:: p(z) = \sum_k w_k N(z; m_k, v_k), \quad w = \mathrm{softmax}(l), \quad v_k = v_{\min} + e^{r_k}
    """

    starts_from_rows = True
    start_is_fit = True
    closed_m_step = True

    def __init__(self, n_components: int, n_clusters: int, min_variance: float, n_init: int) -> None:
        super().__init__(n_components)
        self.n_clusters, self.n_init, self.floor = n_clusters, n_init, min_variance
        self.logits = nn.Parameter(torch.zeros(n_clusters))
        self.mean = nn.Parameter(torch.zeros(n_clusters, n_components))
        # Rounded, so that the start is the same number in any dtype; files are checked on a device without numbers.
        raw = float(torch.tensor(math.log1p(-min_variance), dtype=torch.float32, device="cpu"))
        self.raw = nn.Parameter(torch.full((n_clusters, n_components), raw))

    @property
    def width(self) -> int:
        return 4 * self.n_clusters + 4 * self.n_components

    def _log_scale(self) -> Tensor:
        # Filled on the device: a number sent there would keep a GPU from recording the step.
        return 0.5 * torch.logaddexp(self.raw, self.raw.new_full((), math.log(self.floor)))

    def _set(self, log_weights: Tensor, mean: Tensor, variance: Tensor, least: float) -> None:
        """Take these values; variances stay above the floor by so many times the floor."""
        raw = torch.log((variance - self.floor).clamp_min(least * self.floor))
        for parameter, value in zip(self.parameters(), (log_weights, mean, raw), strict=True):
            parameter.data.copy_(value)

    def start(self, rows: TrainingRows) -> None:
        # A variance at the floor would have r = -inf, from where no gradient leads back.
        self._set(*rows.mixture(self.n_clusters, self.n_init), least=0.1)

    def statistics(self, draw: Draw, weight: Tensor | None = None) -> dict[str, Tensor]:
        points, share = weighted_points(wide(draw.z), weight)
        return weighted_moments(points, self.responsibilities(points) * share.unsqueeze(-1))

    def expected_statistics(self) -> dict[str, Tensor]:
        return moments_of(*self.components())

    def maximise(self, statistics: dict[str, Tensor]) -> None:
        """A step of EM: variances at the floor where the optimum would be below it; empty components stay."""
        present = torch.log_softmax(self.logits, -1), self.mean, torch.exp(2 * self._log_scale())
        log_weights, mean, variance = m_step(statistics, *present, floor=self.floor)
        # At the floor up to rounding, as the bound falls wherever a variance has to be larger than the best.
        self._set(log_weights, mean, variance, least=torch.finfo(variance.dtype).eps)

    def log_prob(self, z: Tensor) -> Tensor:
        return mixture_log_prob(z, self.logits, self.mean, self._log_scale())

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (K,), means and variances (K, n_components)."""
        return torch.softmax(self.logits, -1), self.mean, torch.exp(2 * self._log_scale())

    def responsibilities(self, z: Tensor) -> Tensor:
        """Probability of each component given z, (..., n_components) to (..., K)."""
        joint = torch.log_softmax(self.logits, -1) + component_log_probs(z, self.mean, self._log_scale())
        return torch.softmax(joint, -1).to(z.dtype)

    def draw_labels(self, n_draws: int, *, generator: Generator) -> Tensor:
        """Numbers of components by their weights, (n_draws,)."""
        return torch.multinomial(torch.softmax(self.logits, -1), n_draws, replacement=True, generator=generator)

    def sample_given(self, labels: Tensor, *, generator: Generator) -> Tensor:
        """A draw from each of some components, (n_draws,) to (n_draws, n_components)."""
        mean, scale = self.mean[labels], torch.exp(self._log_scale())[labels]
        return mean + scale * standard_normal(mean, generator)

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        return self.sample_given(self.draw_labels(n_draws, generator=generator), generator=generator).to(like)

    def tracer(self) -> Tracer:
        def trace(z: Tensor) -> tuple[Tensor, Pullback]:
            value, pull = mixture_tracer(self.logits.detach(), self.mean.detach(), self._log_scale().detach())(z)

            def pullback(cotangent: Tensor) -> Any:
                to_z, to_logits, to_mean, to_log_scale = pull(cotangent)
                to_raw = 0.5 * torch.sigmoid(self.raw.detach() - math.log(self.floor)) * to_log_scale
                for parameter, gradient in zip(self.parameters(), (to_logits, to_mean, to_raw), strict=True):
                    cast(Tensor, parameter.grad).add_(gradient)
                return to_z

            return value, pullback

        return trace


@dataclass
class Mixture(PriorSpec):
    """Mixture of normals with diagonal covariance, for clusters (VaDE, https://arxiv.org/abs/1611.05148).

    The networks are trained first with no KL, as an autoencoder with noise; then a mixture is fitted to the encoded
    training rows, from where all is learnt together.

    Parameters
    ----------
    n_components : int, default=10
        Number of components of the mixture.
    pretraining : float or int, default=0.1
        Epochs before the mixture is fitted: a share of ``max_iter`` (float) or a number (int). Line searches and
        ``partial_fit`` fit it at once.
    n_init : int, default=5
        Restarts of that mixture, of which the likeliest is taken.
    min_variance : float, default=1e-3
        Smallest variance of a component in a direction.
    """

    fits_draws = True
    has_components: ClassVar[bool] = True
    n_components: int = 10
    pretraining: float | int = 0.1
    n_init: int = 5
    min_variance: float = 1e-3

    def build(self, n_components: int) -> MixturePrior:
        """Return the module."""
        check_count(self.n_components, "prior__n_components")
        check_count(self.n_init, "prior__n_init")
        check_number(self.min_variance, "prior__min_variance", above=0, below=1)
        check_epochs(self.pretraining, "prior__pretraining")
        return MixturePrior(n_components, self.n_components, float(self.min_variance), self.n_init)
