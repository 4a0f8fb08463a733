"""Multilayer perceptron with derivatives by hand."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

from skgen._trace import Pullback, Tracer
from skgen.networks.activations import ACTIVATIONS
from skgen.networks.layered import AffineLayer, LayeredNetwork
from skgen.networks.products import low_precision_product

Product = Callable[..., Tensor]

MOST_WORKSPACES = 4
"""A run has at most three numbers of rows, those of its batches and their tiles. To drop a workspace during a run would
take the memory that a recorded step works on."""
ALIGNMENT = 16


class Dense(AffineLayer):
    """Affine map ``x @ weight + bias`` with weight (n_inputs, n_outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias

    def absorb(self, ratio: Tensor, offset: Tensor) -> None:
        weight = self.weight[: len(ratio)]
        self.bias.add_(offset @ weight)
        weight.mul_(ratio.unsqueeze(-1))

    @property
    def width(self) -> int:
        """The outputs and their activation."""
        return 2 * len(self.bias)

    def joint(self) -> tuple[Tensor, Tensor]:
        """Weight with bias as its last row, (n_inputs + 1, n_outputs), and the gradient of both.

        Views of flat buffers, with the zero columns that pad the outputs there.
        """
        views = []
        for weight, bias in ((self.weight.detach(), self.bias.detach()), (self.weight.grad, self.bias.grad)):
            assert weight is not None
            assert bias is not None
            n_inputs, stride = weight.shape[0], weight.stride(0)
            assert weight.data_ptr() + n_inputs * stride * weight.itemsize == bias.data_ptr()
            views.append(weight.as_strided((n_inputs + 1, stride), (stride, 1)))
        return views[0], views[1]


class Workspace:
    """Buffers of an MLP for a number of rows.

    Attributes
    ----------
    joint : list of (rows, n_inputs + 1)
        Inputs of each layer, with a last column of ones that multiplies the bias.
    values, transposed : lists of views
        The inputs without that column, and ``joint`` transposed.
    output, gradient : (rows, n_outputs)
        The last layer's outputs and their gradient; parts of ``padded_output`` and ``padded_gradient``.
    """

    def __init__(self, n_rows: int, sizes: Sequence[int], weights: Sequence[Tensor]) -> None:
        self.joint: list[Tensor] = []
        for weight in weights:
            n = weight.shape[0]
            stride = -(-n // ALIGNMENT) * ALIGNMENT
            self.joint.append(weight.new_ones(n_rows, stride)[:, :n])
        self.values = [joint[:, :-1] for joint in self.joint]
        self.transposed = [joint.t() for joint in self.joint]
        self.padded_output = weights[-1].new_zeros(n_rows, weights[-1].shape[1])
        self.padded_gradient = torch.zeros_like(self.padded_output)
        self.output = self.padded_output[:, : sizes[-1]]
        self.gradient = self.padded_gradient[:, : sizes[-1]]


class Workspaces(dict[int, Workspace]):
    """Workspaces by number of rows, made when they are first asked for."""

    def __init__(self, sizes: Sequence[int], weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.sizes = sizes
        self.weights = weights

    def __missing__(self, n_rows: int) -> Workspace:
        if len(self) >= MOST_WORKSPACES:
            self.clear()
        self[n_rows] = Workspace(n_rows, self.sizes, self.weights)
        return self[n_rows]


class MLP(LayeredNetwork):
    """Affine layers with an activation after each but the last, and optional dropout on hidden units."""

    def __init__(
        self, n_inputs: int, hidden_sizes: Sequence[int], n_outputs: int, activation: str = "relu", dropout: float = 0.0
    ) -> None:
        sizes = [n_inputs, *hidden_sizes, n_outputs]
        gates = [ACTIVATIONS[activation].n_gates] * len(hidden_sizes) + [1]
        layers = [Dense(a, b * k) for (a, b), k in zip(pairwise(sizes), gates, strict=True)]
        super().__init__(n_inputs, n_outputs, layers, activation, dropout)

    def _dense(self) -> list[Dense]:
        return [layer for layer in self.layers if isinstance(layer, Dense)]

    def tracer(
        self, *, input_gradient: bool = True, parameter_gradient: bool = True, low_precision: bool = False
    ) -> Tracer:
        """Closed-form derivatives on flat parameters; see the base class.

        One workspace per number of rows is kept and overwritten: outputs and pullback are good until the next trace.
        """
        sizes = [len(layer.bias) for layer in self._dense()]
        weights, gradients = self._joint_views()
        slopes = [weight[:-1].t() for weight in weights]
        padded = sizes[-1] != weights[-1].shape[1]
        workspaces = Workspaces(sizes, weights)
        product: Product = low_precision_product if low_precision else torch.mm
        drops = self.dropout > 0

        def trace(x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Pullback]:
            flat = x if x.dim() == 2 else x.flatten(0, -2)
            space = workspaces[flat.shape[0]]
            space.values[0].copy_(flat)
            generator = generator if drops else None
            hidden = [
                self._trace_hidden(space.joint[i], weight, space.values[i + 1], product, generator)
                for i, weight in enumerate(weights[:-1])
            ]
            product(space.joint[-1], weights[-1], out=space.padded_output)

            def pullback(gradient: Tensor) -> Tensor | None:
                if not (input_gradient or parameter_gradient):
                    return None
                g = gradient if gradient.dim() == 2 else gradient.flatten(0, -2)
                if padded:
                    space.gradient.copy_(g)
                    g = space.padded_gradient
                for i in range(len(weights) - 1, -1, -1):
                    if parameter_gradient and low_precision:
                        gradients[i].add_(low_precision_product(space.transposed[i], g))
                    elif parameter_gradient:
                        gradients[i].addmm_(space.transposed[i], g)
                    if i == 0 and not input_gradient:
                        return None
                    g = product(g, slopes[i])
                    for pull in hidden[i - 1] if i else ():
                        g = pull(g)
                return g if x.dim() == 2 else g.view(x.shape)

            return space.output if x.dim() == 2 else space.output.view(*x.shape[:-1], -1), pullback

        return trace

    def _joint_views(self) -> tuple[list[Tensor], list[Tensor]]:
        """Weights with biases, and their gradients, layer by layer; the last with its padding."""
        *hidden, last = self._dense()
        pairs = [[view[:, : len(layer.bias)] for view in layer.joint()] for layer in hidden]
        pairs.append(list(last.joint()))
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def _trace_hidden(
        self, inputs: Tensor, weight: Tensor, out: Tensor, product: Product, generator: Generator | None
    ) -> list[Pullback]:
        """Write a hidden layer's value to ``out``; return its pullbacks, last first."""
        if self.activation.in_place and generator is None and product is torch.mm:
            torch.mm(inputs, weight, out=out)
            return [self.activation.trace(out)[1]]
        value, pullback = self.activation.trace(product(inputs, weight))
        mask = self._mask(value, generator)
        if mask is None:
            out.copy_(value)
            return [pullback]
        torch.mul(value, mask, out=out)
        return [mask.mul, pullback]
