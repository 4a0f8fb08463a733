"""Multilayer perceptron of rows and of cosines of them, which sees differences of several sizes."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from skgen._trace import Pullback, Tracer
from skgen.networks.base import Network
from skgen.networks.mlp import MLP
from skgen.networks.products import product

FEATURES_PER_SCALE = 64


class RandomFeatureMLP(Network):
    r"""A multilayer perceptron of x and of random features :math:`\cos(x W + b)`, which are drawn and not learnt.

    A plain one learns what varies over a small part of the range of x last of all. The features are those of the kernel
    :math:`\sum_h (1 + |x - y|^2 / 2 h^2)^{-1}`, a mixture of Gaussian ones, so that there are some for differences of
    each size h (Rahimi and Recht 2007, "Random features for large-scale kernel machines"; Tancik et al. 2020,
    https://arxiv.org/abs/2006.10739).

    Parameters
    ----------
    n_inputs : int
    hidden_sizes : sequence of int
    n_outputs : int
    n_scales : int
        Sizes h, of 64 features each.
    activation : str
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(
        self, n_inputs: int, hidden_sizes: Sequence[int], n_outputs: int, n_scales: int, activation: str = "silu"
    ) -> None:
        super().__init__(n_inputs, n_outputs)
        self.n_scales = n_scales
        n_features = FEATURES_PER_SCALE * n_scales
        self.register_buffer("frequencies", torch.zeros(n_inputs, n_features))
        self.register_buffer("phases", torch.zeros(n_features))
        self.network = MLP(n_inputs + n_features, hidden_sizes, n_outputs, activation)

    def reset(self, generator: Generator) -> None:
        """Draw weights, and features of size 1."""
        self.network.reset(generator)
        self.draw_features(torch.ones(self.n_scales, dtype=torch.float64), generator)

    def draw_features(self, scales: Tensor, generator: Generator) -> None:
        """Draw features of such sizes, (n_scales,)."""
        shape = self.n_inputs, self.n_scales, FEATURES_PER_SCALE
        uniform = torch.empty(2, *shape[1:], dtype=torch.float64).uniform_(generator=generator)
        # Normal frequencies of precision t / h^2 give exp(-t r^2 / 2 h^2); its mean over exponential t is the kernel.
        spread = (-torch.log1p(-uniform[0])).sqrt() / scales.double().cpu().unsqueeze(1)
        normal = torch.empty(shape, dtype=torch.float64).normal_(generator=generator)
        self.frequencies.copy_((normal * spread).flatten(1))
        self.phases.copy_(2 * torch.pi * uniform[1].flatten())

    def _angles(self, x: Tensor) -> Tensor:
        return product(x, self.frequencies) + self.phases

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        outputs: Tensor = self.network(torch.cat([x, self._angles(x).cos()], -1), generator)
        return outputs

    def tracer(
        self, *, input_gradient: bool = True, parameter_gradient: bool = True, low_precision: bool = False
    ) -> Tracer:
        """Closed-form derivatives of the perceptron, and those of the features; see the base class."""
        options = {"parameter_gradient": parameter_gradient, "low_precision": low_precision}
        inner = self.network.tracer(input_gradient=input_gradient, **options)

        def trace(x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Pullback]:
            angles = self._angles(x)
            outputs, pull = inner(torch.cat([x, angles.cos()], -1), generator)

            def pullback(gradient: Tensor) -> Tensor | None:
                to_inputs = pull(gradient)
                if to_inputs is None:
                    return None
                to_x, to_features = to_inputs.split([self.n_inputs, len(self.phases)], -1)
                to_rows: Tensor = to_x - product(to_features * angles.sin(), self.frequencies.mT)
                return to_rows

            return outputs, pullback

        return trace

    @property
    def head(self) -> tuple[Tensor, Tensor]:
        return self.network.head

    def absorb_input(self, ratio: Tensor, offset: Tensor) -> None:
        """Change frequencies and phases too."""
        self.network.absorb_input(ratio, offset)
        some = self.frequencies[: len(ratio)]
        self.phases.add_(offset @ some)
        some.mul_(ratio.unsqueeze(-1))

    @property
    def width(self) -> int:
        """The inputs, the features and their angles, and the perceptron, which takes both."""
        return self.n_inputs + len(self.phases) + self.network.width
