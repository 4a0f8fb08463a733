"""Networks of affine layers with an activation between them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch
from torch import Generator, Tensor, nn

from skgen.networks.activations import ACTIVATIONS, Activation
from skgen.networks.base import Network, draw_uniform


class AffineLayer(nn.Module, ABC):
    """An affine map of rows with weight (n, n_outputs) and bias (n_outputs,): each output is n inputs times a column.

    Implement ``forward``, ``absorb`` and ``width``.
    """

    def __init__(self, n: int, n_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n, n_outputs))
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def reset(self, generator: Generator) -> None:
        """Uniform on +-1 / sqrt(n) for weight and bias, torch's own default."""
        draw_uniform((self.weight, self.bias), self.weight.shape[0] ** -0.5, generator)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map rows (..., n_inputs) to (..., n_outputs)."""

    @abstractmethod
    def absorb(self, ratio: Tensor, offset: Tensor) -> None:
        """As :meth:`Network.absorb_input`."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Most numbers held per row beside the inputs, with an activation of the outputs."""


class LayeredNetwork(Network):
    """Affine layers with an activation after each but the last, and optional dropout on hidden units."""

    def __init__(
        self, n_inputs: int, n_outputs: int, layers: Iterable[AffineLayer], activation: str, dropout: float
    ) -> None:
        super().__init__(n_inputs, n_outputs)
        self.activation: Activation = ACTIVATIONS[activation]
        self.dropout = dropout
        self.layers = nn.ModuleList(layers)

    def affine(self) -> Iterator[AffineLayer]:
        """The layers, first to last."""
        return (layer for layer in self.layers if isinstance(layer, AffineLayer))

    @property
    def width(self) -> int:
        """Input plus the widest layer with its activation."""
        return self.n_inputs + max(layer.width for layer in self.affine())

    @property
    def head(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the last layer."""
        *_, last = self.affine()
        return last.weight.detach(), last.bias.detach()

    def absorb_input(self, ratio: Tensor, offset: Tensor) -> None:
        """Fold an affine change of the inputs, or of the first of them, into the first layer."""
        with torch.no_grad():
            next(self.affine()).absorb(ratio, offset)

    def reset(self, generator: Generator) -> None:
        """Draw initial parameters from the generator, layer by layer."""
        for layer in self.affine():
            layer.reset(generator)

    def _activate(self, x: Tensor) -> Tensor:
        return self.activation(x)

    def _activated(self, x: Tensor, generator: Generator | None) -> Tensor:
        """The units of a hidden layer, those dropped at 0."""
        x = self._activate(x)
        mask = self._mask(x, generator)
        return x if mask is None else x * mask

    def _hidden(self, x: Tensor, generator: Generator | None) -> Tensor:
        """What the last layer sees."""
        for layer in self.layers[:-1]:
            x = self._activated(layer(x), generator)
        return x

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        output: Tensor = self.layers[-1](self._hidden(x, generator))
        return output
