"""Convolutional networks: images to numbers, and numbers to images."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skgen.networks.activations import ACTIVATIONS
from skgen.networks.base import draw_uniform
from skgen.networks.framed import FramedNetwork
from skgen.networks.layered import AffineLayer
from skgen.networks.mlp import Dense

ImageShape = tuple[int, int, int]
"""Channels, height, width."""
Sides = tuple[tuple[int, int], tuple[int, int]]
Unit = Callable[[Tensor], Tensor]
"""The activation of a channel and its dropout."""
SIDE = 3
"""Of every kernel, in pixels."""


class Convolution(nn.Module):
    """Convolution of (batch, n_in, height, width) with kernels of 3 x 3, padded by zeros.

    Each of some groups of output channels sees the group of input channels in the same place.
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1, n_groups: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.n_groups = n_groups
        self.weight = nn.Parameter(torch.zeros(n_out, n_in // n_groups, SIDE, SIDE))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, SIDE // 2, groups=self.n_groups)

    def reset(self, generator: Generator) -> None:
        """Uniform on +-1 / sqrt(numbers that an output is computed from), torch's own default."""
        draw_uniform((self.weight, self.bias), self.weight[0].numel() ** -0.5, generator)

    def width(self, n_pixels: int) -> int:
        """Numbers held per image of so many pixels: patches, as some kernels lay them out, and outputs twice."""
        return self.n_groups * self.weight[0].numel() * n_pixels + 2 * len(self.bias) * n_pixels


class Residual(nn.Module):
    """x plus two convolutions of it, with an activation between them (He et al. 2016)."""

    def __init__(self, n_channels: int, n_gates: int, n_groups: int = 1) -> None:
        super().__init__()
        self.first = Convolution(n_channels, n_channels * n_gates, n_groups=n_groups)
        self.second = Convolution(n_channels, n_channels, n_groups=n_groups)

    def forward(self, x: Tensor, unit: Unit) -> Tensor:
        output: Tensor = x + self.second(unit(self.first(x)))
        return output


class ConvolutionalNetwork(FramedNetwork):
    """What encoder and decoder share: stages, each at half the resolution of the one before, rounded up.

    A stage is a convolution that changes resolution and channels, an activation, and a residual block. Nothing is
    normalised over a batch, so that rows do not depend on each other. Channels may be those of several units, one
    after the other.
    """

    n_units = 1

    def __init__(
        self, n_inputs: int, n_outputs: int, image_shape: ImageShape, n_stages: int, activation: str, dropout: float
    ) -> None:
        super().__init__(n_inputs, n_outputs)
        self.activation = ACTIVATIONS[activation]
        self.dropout = dropout
        _, height, width = image_shape
        self.sides = [(-(-height // 2**stage), -(-width // 2**stage)) for stage in range(n_stages + 1)]
        self._widest = n_inputs + n_outputs

    @property
    def width(self) -> int:
        """Most numbers that a convolution holds per row."""
        return self._widest

    def _stages(self, changes: list[Convolution], residuals: list[Residual], sides: list[Sides]) -> None:
        """Register the stages; ``sides`` are those of the images that each stage's convolutions give, changes first."""
        self.changes, self.residuals = nn.ModuleList(changes), nn.ModuleList(residuals)
        for change, residual, (changed, kept) in zip(changes, residuals, sides, strict=True):
            for convolution, side in ((change, changed), (residual.first, kept), (residual.second, kept)):
                self._widest = max(self._widest, convolution.width(math.prod(side)))

    def _reset_body(self, generator: Generator) -> None:
        for module in self.modules():
            if isinstance(module, Convolution | AffineLayer):
                module.reset(generator)

    def _unit(self, generator: Generator | None) -> Unit:
        gated = self.activation.n_gates > 1  # the gates are halves of the last axis

        def activate(x: Tensor) -> Tensor:
            by_unit = x.unflatten(1, (self.n_units, -1)).movedim(2, -1)
            return self.activation(by_unit).movedim(-1, 2).flatten(1, 2)

        def unit(x: Tensor) -> Tensor:
            x = activate(x) if gated else self.activation(x)
            mask = self._mask(x, generator, 3)
            return x if mask is None else x * mask

        return unit

    def _coarsened(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Images, row after row, through all stages, each of which halves the resolution; (batch, n)."""
        unit = self._unit(generator)
        x = x.view(len(x), -1, *self.sides[0])
        for change, residual in zip(self.changes, self.residuals, strict=True):
            x = residual(unit(change(x)), unit)
        return x.flatten(1)

    def _refined(self, x: Tensor, generator: Generator | None) -> Tensor:
        """The coarsest images, row after row, through all stages, each of which doubles the resolution; (batch, n)."""
        unit = self._unit(generator)
        x = x.view(len(x), -1, *self.sides[-1])
        for residual, change, sides in zip(self.residuals, self.changes, self.sides[-2::-1], strict=True):
            x = change(F.interpolate(residual(unit(x), unit), sides))
        return x.flatten(1)


class ConvEncoder(ConvolutionalNetwork):
    """Strided convolutions to ``channels[i]`` channels in the i-th stage, then an affine layer.

    Inputs are images row after row, channel by channel; more of them than ``image_shape`` holds are more channels.
    """

    def __init__(
        self,
        n_inputs: int,
        channels: Sequence[int],
        n_outputs: int,
        image_shape: ImageShape,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_inputs, n_outputs, image_shape, len(channels), activation, dropout)
        gates, sizes = self.activation.n_gates, [channels_of(n_inputs, image_shape, "inputs"), *channels]
        self._stages(
            [Convolution(a, b * gates, stride=2) for a, b in pairwise(sizes)],
            [Residual(a, gates) for a in channels],
            [(side, side) for side in self.sides[1:]],
        )
        self.last = Dense(sizes[-1] * math.prod(self.sides[-1]), n_outputs)

    def _body(self, x: Tensor, generator: Generator | None) -> Tensor:
        output: Tensor = self.last(self._coarsened(x, generator))
        return output


class ConvDecoder(ConvolutionalNetwork):
    """The mirror image: an affine layer, then residual blocks, each followed by a doubling of resolution.

    Resolution is doubled by repeating pixels before a convolution, which leaves no pattern of squares as transposed
    convolutions do (Odena et al. 2016, https://doi.org/10.23915/distill.00003). ``channels`` begins with the coarsest.
    """

    def __init__(
        self,
        n_inputs: int,
        channels: Sequence[int],
        n_outputs: int,
        image_shape: ImageShape,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_inputs, n_outputs, image_shape, len(channels), activation, dropout)
        sizes = [*channels, channels_of(n_outputs, image_shape, "outputs of the likelihood")]
        gates = [self.activation.n_gates] * len(channels) + [1]
        self._stages(
            [Convolution(a, b * k) for (a, b), k in zip(pairwise(sizes), gates[1:], strict=True)],
            [Residual(a, gates[0]) for a in channels],
            list(pairwise(self.sides))[::-1],
        )
        self.first = Dense(n_inputs, sizes[0] * gates[0] * math.prod(self.sides[-1]))

    def _body(self, x: Tensor, generator: Generator | None) -> Tensor:
        return self._refined(self.first(x), generator)


def channels_of(n_numbers: int, image_shape: ImageShape, kind: str) -> int:
    """Channels of an image that holds the numbers."""
    if n_numbers % math.prod(image_shape):
        raise ValueError(
            f"A convolutional network for image_shape={image_shape} needs a multiple of {math.prod(image_shape)} "
            f"{kind}, got {n_numbers}. Give image_shape the number of columns, or use network='mlp'."
        )
    return n_numbers // math.prod(image_shape[1:])
