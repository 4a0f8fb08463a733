"""Convolutional networks of units that share no parameters, as groups of channels of one network."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

from skgen.networks.conv import Convolution, ConvolutionalNetwork, ImageShape, Residual, channels_of
from skgen.networks.layered import AffineLayer
from skgen.networks.mlp import Dense
from skgen.networks.units import UnitDense, column_mask, equal_share


class UnitConvEncoder(ConvolutionalNetwork):
    """Units that are each a :class:`~skgen.networks.conv.ConvEncoder` of the whole image.

    Channels are those of a unit. The other parameters and the order of outputs are those of
    :class:`~skgen.networks.units.UnitEncoder`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_units: int,
        channels: Sequence[int],
        unit_size: int,
        image_shape: ImageShape,
        activation: str = "relu",
        dropout: float = 0.0,
        n_blocks: int = 2,
    ) -> None:
        n_outputs = n_blocks * n_units * unit_size
        super().__init__(n_inputs, n_outputs, image_shape, len(channels), activation, dropout)
        self.n_units, self.n_blocks = n_units, n_blocks
        gates, own = self.activation.n_gates, [n_units * n for n in channels]
        planes = channels_of(n_inputs, image_shape, "inputs")
        changes = [Convolution(planes, n * gates, stride=2) for n in own[:1]]
        changes += [Convolution(a, b * gates, stride=2, n_groups=n_units) for a, b in pairwise(own)]
        residuals = [Residual(n, gates, n_units) for n in own]
        self._stages(changes, residuals, [(side, side) for side in self.sides[1:]])
        self.last: AffineLayer
        if channels:
            self.last = UnitDense(n_units, channels[-1] * math.prod(self.sides[-1]), unit_size, n_blocks)
        else:
            self.last = Dense(n_inputs, n_outputs)

    def _body(self, x: Tensor, generator: Generator | None) -> Tensor:
        output: Tensor = self.last(self._coarsened(x, generator))
        return output

    def unit_masks(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """As those of :class:`~skgen.networks.units.UnitEncoder`."""
        return {
            name: channel_mask(parameter, self.n_units, indices)
            if name.startswith(("changes", "residuals"))
            else column_mask(parameter, self.n_blocks, self.n_units, indices)
            for name, parameter in self.named_parameters()
        }


class UnitConvDecoder(ConvolutionalNetwork):
    """Units that are each a :class:`~skgen.networks.conv.ConvDecoder` of their equal share of the inputs, added up.

    Channels are those of a unit. The other parameters are those of :class:`~skgen.networks.units.UnitDecoder`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_units: int,
        channels: Sequence[int],
        n_outputs: int,
        image_shape: ImageShape,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_inputs, n_outputs, image_shape, len(channels), activation, dropout)
        self.n_units = n_units
        sizes = [*channels, channels_of(n_outputs, image_shape, "outputs of the likelihood")]
        gates = [self.activation.n_gates] * len(channels) + [1]
        own = [n_units * n for n in sizes]
        self._stages(
            [Convolution(a, b * k, n_groups=n_units) for (a, b), k in zip(pairwise(own), gates[1:], strict=True)],
            [Residual(n, gates[0], n_units) for n in own[:-1]],
            list(pairwise(self.sides))[::-1],
        )
        share = equal_share(n_inputs, n_units)
        self.first = UnitDense(n_units, share, sizes[0] * gates[0] * math.prod(self.sides[-1]))

    def _parts(self, x: Tensor, generator: Generator | None) -> Tensor:
        """What each unit adds to the body's outputs, (batch, n_units, n_outputs)."""
        parts: Tensor = self._refined(self.first(x), generator).unflatten(1, (self.n_units, -1))
        return parts

    def _body(self, x: Tensor, generator: Generator | None) -> Tensor:
        return self._parts(x, generator).sum(1)

    def contributions(self, z: Tensor) -> Tensor:
        """What each unit adds to the outputs' bias, (..., n_inputs) to (..., n_units, n_outputs)."""
        parts = self._parts(self._rows(z), None) * self.gain
        return parts.view(*z.shape[:-1], self.n_units, self.n_outputs)

    def unit_masks(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """As those of :class:`~skgen.networks.units.UnitDecoder`; the outputs' gain and bias belong to no unit."""
        return {
            name: torch.zeros_like(parameter)
            if name in ("gain", "bias")
            else column_mask(parameter, 1, self.n_units, indices)
            if name.startswith("first")
            else channel_mask(parameter, self.n_units, indices)
            for name, parameter in self.named_parameters()
        }


def channel_mask(parameter: Tensor, n_units: int, indices: Sequence[int]) -> Tensor:
    """1 at the output channels of the units, which come first in the shape of a convolution's parameters."""
    return column_mask(parameter.movedim(0, -1), 1, n_units, indices).movedim(-1, 0)
