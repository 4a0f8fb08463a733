"""Networks of affine layers with an activation between them, with derivatives by hand."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from skgen._trace import Pullback, Tracer
from skgen.networks.activations import ACTIVATIONS, Activation
from skgen.networks.base import Network, draw_uniform

MOST_WORKSPACES = 4
"""A run has at most three numbers of rows, those of its batches and their tiles. To drop a workspace during a run would
take the memory that a recorded step works on."""
ALIGNMENT = 16


def aligned(size: int) -> int:
    """The next multiple of 16: products are up to three times faster of rows with so many numbers."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class LayerInputs(NamedTuple):
    """Where a layer's inputs are kept for the pullback."""

    joint: Tensor
    """(rows, n_inputs + 1), with a last column of ones that multiplies the bias."""
    values: Tensor
    """The inputs without that column."""
    transposed: Tensor
    """``joint`` transposed."""


class BoundLayer(ABC):
    """A layer whose parameters lie in flat buffers.

    Attributes
    ----------
    n_outputs : int
        Columns of a value, those that pad it included.
    """

    n_outputs: int

    @abstractmethod
    def value(self, inputs: LayerInputs, out: Tensor | None = None) -> Tensor:
        """The outputs, (rows, n_outputs), written to ``out`` where it is given."""

    @abstractmethod
    def add_gradient(self, inputs: LayerInputs, gradient: Tensor) -> None:
        """Add what the outputs' gradient makes of the parameters' to theirs."""

    @abstractmethod
    def pull(self, gradient: Tensor) -> Tensor:
        """The gradient of the inputs, (rows, n_inputs)."""


class AffineLayer(nn.Module, ABC):
    """An affine map of rows with weight (n, n_outputs) and bias (n_outputs,): each output is n inputs times a column.

    Implement ``forward``, ``absorb``, ``width`` and ``bound``.
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

    @abstractmethod
    def bound(self, *, padded: bool, low_precision: bool) -> BoundLayer:
        """The layer on its flat buffers; ``padded`` allows outputs with columns of zeros behind them."""


class Workspace:
    """Buffers of layers for a number of rows.

    Attributes
    ----------
    inputs : list of LayerInputs
        Those of each layer.
    output, gradient : (rows, n_outputs)
        The last layer's outputs and their gradient; parts of ``padded_output`` and ``padded_gradient``.
    """

    def __init__(self, n_rows: int, sizes: Sequence[int], n_padded: int, like: Tensor) -> None:
        *n_inputs, n_outputs = sizes
        self.inputs: list[LayerInputs] = []
        for n in n_inputs:
            joint = like.new_ones(n_rows, aligned(n + 1))[:, : n + 1]
            self.inputs.append(LayerInputs(joint, joint[:, :-1], joint.t()))
        self.padded_output = like.new_zeros(n_rows, n_padded)
        self.padded_gradient = torch.zeros_like(self.padded_output)
        self.output = like.new_empty(n_rows, n_outputs) if n_padded > n_outputs else self.padded_output
        self.gradient = self.padded_gradient[:, :n_outputs]


class Workspaces(dict[int, Workspace]):
    """Workspaces by number of rows, made when they are first asked for."""

    def __init__(self, sizes: Sequence[int], n_padded: int, like: Tensor) -> None:
        super().__init__()
        self.sizes = sizes
        self.n_padded = n_padded
        self.like = like

    def __missing__(self, n_rows: int) -> Workspace:
        if len(self) >= MOST_WORKSPACES:
            self.clear()
        self[n_rows] = Workspace(n_rows, self.sizes, self.n_padded, self.like)
        return self[n_rows]


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

    def tracer(
        self, *, input_gradient: bool = True, parameter_gradient: bool = True, low_precision: bool = False
    ) -> Tracer:
        """Closed-form derivatives on flat parameters; see the base class.

        One workspace per number of rows is kept and overwritten: outputs and pullback are good until the next trace.
        """
        *hidden, last = self.affine()
        layers = [layer.bound(padded=False, low_precision=low_precision) for layer in hidden]
        layers.append(last.bound(padded=True, low_precision=low_precision))
        sizes = [self.n_inputs, *(len(layer.bias) // self.activation.n_gates for layer in hidden), len(last.bias)]
        padded = layers[-1].n_outputs != sizes[-1]
        workspaces = Workspaces(sizes, layers[-1].n_outputs, last.weight.detach())
        drops, in_place = self.dropout > 0, self.activation.in_place and not low_precision

        def trace(x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Pullback]:
            flat = x if x.dim() == 2 else x.flatten(0, -2)
            space = workspaces[flat.shape[0]]
            inputs = space.inputs
            inputs[0].values.copy_(flat)
            generator = generator if drops else None
            pulls = [
                self._trace_hidden(layer, inputs[i], inputs[i + 1].values, generator, in_place)
                for i, layer in enumerate(layers[:-1])
            ]
            layers[-1].value(inputs[-1], space.padded_output)
            if padded:
                space.output.copy_(space.padded_output[:, : sizes[-1]])

            def pullback(gradient: Tensor) -> Tensor | None:
                if not (input_gradient or parameter_gradient):
                    return None
                g = gradient if gradient.dim() == 2 else gradient.flatten(0, -2)
                if padded:
                    space.gradient.copy_(g)
                    g = space.padded_gradient
                to_x = _pull(layers, inputs, pulls, g, to_input=input_gradient, to_parameters=parameter_gradient)
                return to_x if to_x is None or x.dim() == 2 else to_x.view(x.shape)

            return space.output if x.dim() == 2 else space.output.view(*x.shape[:-1], -1), pullback

        return trace

    def _trace_hidden(
        self, layer: BoundLayer, inputs: LayerInputs, out: Tensor, generator: Generator | None, in_place: bool
    ) -> list[Pullback]:
        """Write a hidden layer's value to ``out``; return its pullbacks, last first."""
        if in_place and generator is None:
            return [self._trace_activation(layer.value(inputs, out))[1]]
        value, pullback = self._trace_activation(layer.value(inputs))
        mask = self._mask(value, generator)
        if mask is None:
            out.copy_(value)
            return [pullback]
        torch.mul(value, mask, out=out)
        return [mask.mul, pullback]

    def _trace_activation(self, x: Tensor) -> tuple[Tensor, Pullback]:
        return self.activation.trace(x)


def _pull(
    layers: Sequence[BoundLayer],
    inputs: Sequence[LayerInputs],
    activations: Sequence[list[Pullback]],
    gradient: Tensor,
    *,
    to_input: bool,
    to_parameters: bool,
) -> Tensor | None:
    """The gradient of the first layer's inputs, if asked for, from that of the outputs; those of parameters are added.

    ``activations`` are the pullbacks of what each layer but the last is followed by.
    """
    for i in range(len(layers) - 1, -1, -1):
        if to_parameters:
            layers[i].add_gradient(inputs[i], gradient)
        if i == 0 and not to_input:
            return None
        gradient = layers[i].pull(gradient)
        for pull in activations[i - 1] if i else ():
            gradient = pull(gradient)
    return gradient
