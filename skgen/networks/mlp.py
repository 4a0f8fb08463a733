"""Multilayer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from skgen.networks.activations import ACTIVATIONS
from skgen.networks.layered import AffineLayer, BoundLayer, LayeredNetwork, LayerInputs
from skgen.networks.products import add_product, n_rows_of_large, product


class BoundDense(BoundLayer):
    """A dense layer on flat buffers, with the zero columns that pad its outputs there, or without them."""

    def __init__(self, layer: "Dense", *, padded: bool, low_precision: bool) -> None:
        n_outputs = None if padded else len(layer.bias)
        self.weight, self.gradient = (view[:, :n_outputs] for view in layer.joint())
        self.n_outputs = self.weight.shape[1]
        self.slope = self.weight[:-1].t()
        self.low_precision = low_precision
        self.n_direct = 0 if low_precision else n_rows_of_large(self.weight)

    def value(self, inputs: LayerInputs, out: Tensor | None = None) -> Tensor:
        # To ask for the routine would cost a small product a tenth of its time.
        if len(inputs.joint) < self.n_direct:
            return torch.mm(inputs.joint, self.weight, out=out)
        return product(inputs.joint, self.weight, low_precision=self.low_precision, out=out)

    def add_gradient(self, inputs: LayerInputs, gradient: Tensor) -> None:
        if len(gradient) < self.n_direct:
            self.gradient.addmm_(inputs.transposed, gradient)
        else:
            add_product(self.gradient, inputs.transposed, gradient, low_precision=self.low_precision)

    def pull(self, gradient: Tensor) -> Tensor:
        if len(gradient) < self.n_direct:
            return torch.mm(gradient, self.slope)
        return product(gradient, self.slope, low_precision=self.low_precision)


class Dense(AffineLayer):
    """Affine map ``x @ weight + bias`` with weight (n_inputs, n_outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight) + self.bias

    def absorb(self, ratio: Tensor, offset: Tensor) -> None:
        weight = self.weight[: len(ratio)]
        self.bias.add_(offset @ weight)
        weight.mul_(ratio.unsqueeze(-1))

    @property
    def width(self) -> int:
        """The outputs and their activation."""
        return 2 * len(self.bias)

    def bound(self, *, padded: bool, low_precision: bool) -> BoundDense:
        return BoundDense(self, padded=padded, low_precision=low_precision)

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


class MLP(LayeredNetwork):
    """Affine layers with an activation after each but the last, and optional dropout on hidden units."""

    def __init__(
        self, n_inputs: int, hidden_sizes: Sequence[int], n_outputs: int, activation: str = "relu", dropout: float = 0.0
    ) -> None:
        sizes = [n_inputs, *hidden_sizes, n_outputs]
        gates = [ACTIVATIONS[activation].n_gates] * len(hidden_sizes) + [1]
        layers = [Dense(a, b * k) for (a, b), k in zip(pairwise(sizes), gates, strict=True)]
        super().__init__(n_inputs, n_outputs, layers, activation, dropout)
