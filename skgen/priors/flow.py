"""Normalising flow as a prior."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from skgen._spec import check_choice, check_count, check_counts
from skgen.distributions.normal import standard_normal, standard_normal_log_prob
from skgen.networks.flows import FlowLayers
from skgen.priors.base import Prior, PriorSpec, TrainingRows

TRANSFORMS = ("spline", "affine")


class FlowPrior(Prior):
    r"""Standard normal numbers brought through couplings, standard normal at first.

    .. math:: p(z) = N(T(u); 0, I)\, |\det T'(u)| \prod_i s_i^{-1}, \quad u = (z - m) / s

    T is a chain of couplings between halves of the features (Dinh et al. 2017, https://arxiv.org/abs/1605.08803), so
    that densities and draws both take one or two passes of a small network for each.
    """

    def __init__(self, n_components: int, layers: FlowLayers) -> None:
        super().__init__(n_components)
        self.shift = nn.Parameter(torch.zeros(n_components))
        self.log_scale = nn.Parameter(torch.zeros(n_components))
        self.layers = layers

    @property
    def width(self) -> int:
        return self.layers.width

    def reset(self, generator: Generator) -> None:
        self.layers.reset(generator)

    def start(self, rows: TrainingRows) -> None:
        _, mean, variance = rows.mixture(1, 1)
        self.shift.data.copy_(mean[0])
        self.log_scale.data.copy_(0.5 * torch.log(variance[0]))

    def log_prob(self, z: Tensor) -> Tensor:
        noise, log_slope = self.layers.mapped((z - self.shift) * torch.exp(-self.log_scale))
        return standard_normal_log_prob(noise) + log_slope - self.log_scale.sum()

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        noise = standard_normal(self.shift.new_empty(n_draws, self.n_components), generator)
        return (self.shift + torch.exp(self.log_scale) * self.layers.unmapped(noise)).to(like)


@dataclass
class Flow(PriorSpec):
    """Normalising flow: any smooth density, learnt jointly with the networks. It needs zuko, ``skgen[flows]``.

    Parameters
    ----------
    transform : {"spline", "affine"}, default="spline"
        What a coupling does to each feature: a monotone spline of ``n_bins`` pieces (Durkan et al. 2019), or a shift
        and a factor (Dinh et al. 2017), which is faster.
    n_layers : int, default=4
        Number of couplings.
    hidden_layer_sizes : int or sequence of int, default=(64, 64)
        Hidden layers of the network of each coupling.
    n_bins : int, default=8
        Pieces of a spline.
    """

    fits_draws = True
    transform: str = "spline"
    n_layers: int = 4
    hidden_layer_sizes: Any = (64, 64)
    n_bins: int = 8

    def build(self, n_components: int) -> FlowPrior:
        """Return the module; raises ImportError without zuko."""
        check_choice(self.transform, TRANSFORMS, "prior__transform")
        check_count(self.n_layers, "prior__n_layers")
        check_count(self.n_bins, "prior__n_bins", least=2)
        layers = FlowLayers(
            n_components,
            0,
            n_layers=self.n_layers,
            hidden_layer_sizes=check_counts(self.hidden_layer_sizes, "prior__hidden_layer_sizes"),
            n_bins=self.n_bins if self.transform == "spline" else None,
            n_blocks=2,
        )
        return FlowPrior(n_components, layers)
