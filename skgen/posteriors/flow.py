"""Normalising flow as a posterior."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from skgen._spec import check_count, check_counts
from skgen._trace import differentiated
from skgen.distributions.normal import standard_normal_log_prob
from skgen.networks.flows import FlowLayers
from skgen.posteriors.base import MOMENT_DRAWS_AT_ONCE, Draw, Posterior, PosteriorSpec
from skgen.posteriors.diagonal import LARGEST_LOG_VARIANCE, cut_off


class FlowPosterior(Posterior):
    r"""Inverse autoregressive flow (Kingma et al. 2016, https://arxiv.org/abs/1606.04934).

    .. math:: z = m(x) + s(x)\, T(\varepsilon; c(x)), \quad
        \log q(z \mid x) = \log N(\varepsilon; 0, I) - \log|\det T'(\varepsilon; c(x))| - \sum_i \log s_i(x)

    T is a chain of triangular affine maps whose networks see the context c; it is the identity at first. The network
    of the posterior gives (m, log s^2, c), the second cut off at +-40. Draws take one pass of each map, densities at
    other points as many passes as there are components.
    """

    def __init__(self, n_components: int, n_context: int, layers: FlowLayers) -> None:
        super().__init__(n_components, 2 * n_components + n_context)
        self.layers = layers

    @property
    def width(self) -> int:
        return MOMENT_DRAWS_AT_ONCE * self.density_width

    @property
    def density_width(self) -> int:
        return self.layers.width

    def reset(self, generator: Generator) -> None:
        self.layers.reset(generator)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance, context = parameters.tensor_split((self.n_components, 2 * self.n_components), -1)
        return mean, 0.5 * cut_off(log_variance, LARGEST_LOG_VARIANCE), context

    def draw(self, parameters: Tensor, noise: Tensor) -> Draw:
        mean, log_scale, context = self._split(parameters)
        noise = noise.expand(*noise.shape[:-2], len(parameters), -1)
        y, log_slope = self.layers.mapped(noise, context.expand(*noise.shape[:-1], -1))
        log_prob = standard_normal_log_prob(noise) - log_slope - log_scale.sum(-1)
        return Draw(mean + torch.exp(log_scale) * y, log_prob, None, None, None)

    def noise(self, z: Tensor, parameters: Tensor) -> Tensor:
        mean, log_scale, context = self._split(parameters)
        return self.layers.unmapped((z - mean) * torch.exp(-log_scale), context.expand(*z.shape[:-1], -1))

    def _log_prob(self, z: Tensor, parameters: Tensor) -> Tensor:
        """log q of points (..., batch, n_components) under parameters (batch, n_parameters), (..., batch)."""
        noise = self.noise(z, parameters)
        _, log_scale, context = self._split(parameters)
        _, log_slope = self.layers.mapped(noise, context.expand(*z.shape[:-1], -1))
        return standard_normal_log_prob(noise) - log_slope - log_scale.sum(-1)

    def log_probs(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self._log_prob(z.unsqueeze(-2).expand(*z.shape[:-1], len(parameters), -1), parameters)

    def path_score(self, parameters: Tensor, noise: Tensor) -> Tensor:
        parameters = parameters.detach()
        return differentiated(lambda z: self._log_prob(z, parameters), self.draw(parameters, noise).z)[1]


@dataclass
class Flow(PosteriorSpec):
    """Inverse autoregressive flow: a posterior of any smooth shape. It needs zuko, ``skgen[flows]``.

    Parameters
    ----------
    n_layers : int, default=2
        Number of maps.
    hidden_layer_sizes : int or sequence of int, default=(64,)
        Hidden layers of the network of each map.
    n_context : int, default=16
        Numbers that the encoder gives these networks.
    """

    n_layers: int = 2
    hidden_layer_sizes: Any = (64,)
    n_context: int = 16

    def build(self, n_components: int) -> FlowPosterior:
        """Return the module; raises ImportError without zuko."""
        check_count(self.n_layers, "posterior__n_layers")
        check_count(self.n_context, "posterior__n_context")
        sizes = check_counts(self.hidden_layer_sizes, "posterior__hidden_layer_sizes")
        layers = FlowLayers(n_components, self.n_context, n_layers=self.n_layers, hidden_layer_sizes=sizes)
        return FlowPosterior(n_components, self.n_context, layers)
