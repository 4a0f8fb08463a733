r"""Networks of units that share no parameters: each has its own block of the latent variables.

Unit i of an encoder gives the posterior of the block :math:`z_i`; unit i of a decoder adds what :math:`z_i` explains to
the outputs. All units are computed at once, by products in batches and without a loop.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from skgen._trace import Pullback
from skgen.networks.activations import ACTIVATIONS
from skgen.networks.layered import AffineLayer, BoundLayer, LayeredNetwork, LayerInputs
from skgen.networks.mlp import Dense
from skgen.networks.products import product


class BoundUnitDense(BoundLayer):
    """A layer of units on flat buffers: products in batches of units.

    With several blocks, weights and gradients are copied to the order of units: less work than a product per block.
    """

    def __init__(self, layer: "UnitDense", *, low_precision: bool) -> None:
        assert layer.weight.grad is not None
        assert layer.bias.grad is not None
        self.n_units, self.n_blocks, self.n_outputs = layer.n_units, layer.n_blocks, len(layer.bias)
        self.weight, self.gradient = self._units(layer.weight.detach()), self._units(layer.weight.grad)
        self.bias, self.bias_gradient = self._units(layer.bias.detach().unsqueeze(0)), layer.bias.grad
        self.low_precision = low_precision

    def _units(self, columns: Tensor) -> Tensor:
        """(n, n_outputs) as a view (units, n, blocks, size)."""
        viewed: Tensor = columns.unflatten(-1, (self.n_blocks, self.n_units, -1)).permute(2, 0, 1, 3)
        return viewed

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        return product(a, b, low_precision=self.low_precision)

    def value(self, inputs: LayerInputs, out: Tensor | None = None) -> Tensor:
        x = inputs.values
        out = x.new_empty(len(x), self.n_outputs) if out is None else out
        value = self._product(x.unflatten(1, (self.n_units, -1)).transpose(0, 1), self.weight.flatten(2))
        torch.add(value.unflatten(-1, (self.n_blocks, -1)), self.bias, out=self._units(out))
        return out

    def add_gradient(self, inputs: LayerInputs, gradient: Tensor) -> None:
        x = inputs.values.unflatten(1, (self.n_units, -1)).permute(1, 2, 0)
        value = self._product(x, self._units(gradient).flatten(2))
        self.gradient.add_(value.unflatten(-1, (self.n_blocks, -1)))
        self.bias_gradient.add_(gradient.sum(0))

    def pull(self, gradient: Tensor) -> Tensor:
        value = self._product(self._units(gradient).flatten(2), self.weight.flatten(2).transpose(1, 2))
        return value.transpose(0, 1).flatten(1)


class UnitDense(AffineLayer):
    """An affine map for each unit, of its own inputs.

    Inputs (..., units * n_inputs) are in the order of units, outputs (..., blocks * units * size) in that of blocks
    and, within them, of units. A column of the weight (n_inputs, n_outputs) belongs to the unit of its output.
    """

    def __init__(self, n_units: int, n_inputs: int, size: int, n_blocks: int = 1) -> None:
        super().__init__(n_inputs, n_blocks * n_units * size)
        self.n_units = n_units
        self.n_blocks = n_blocks

    def _by_unit(self, columns: Tensor) -> Tensor:
        """(..., n_outputs) as (..., blocks, units, size)."""
        viewed: Tensor = columns.unflatten(-1, (self.n_blocks, self.n_units, -1))
        return viewed

    def forward(self, x: Tensor) -> Tensor:
        weight = self._by_unit(self.weight)
        product = torch.einsum("...ui,ibuo->...buo", x.unflatten(-1, (self.n_units, -1)), weight)
        return product.flatten(-3) + self.bias

    def absorb(self, ratio: Tensor, offset: Tensor) -> None:
        n_inputs = self.n_units * len(self.weight)
        padded = torch.cat([ratio, ratio.new_ones(n_inputs - len(ratio))])
        shift = torch.cat([offset, offset.new_zeros(n_inputs - len(offset))])
        self.bias.add_(self(shift) - self.bias)
        self._by_unit(self.weight).mul_(padded.view(1, self.n_units, -1).permute(2, 0, 1).unsqueeze(-1))

    @property
    def width(self) -> int:
        """Inputs, outputs and their activation, of which the products may need copies in another order."""
        return self.n_units * len(self.weight) + 3 * len(self.bias)

    def bound(self, *, padded: bool, low_precision: bool) -> BoundUnitDense:
        return BoundUnitDense(self, low_precision=low_precision)


class UnitNetwork(LayeredNetwork):
    """What encoders and decoders of units share."""

    def __init__(
        self,
        n_inputs: int,
        n_units: int,
        n_outputs: int,
        layers: Sequence[AffineLayer],
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__(n_inputs, n_outputs, layers, activation, dropout)
        self.n_units = n_units

    @property
    def _last(self) -> str:
        """What the names of the last layer's parameters begin with."""
        return f"layers.{len(self.layers) - 1}."

    def _activate(self, x: Tensor) -> Tensor:
        if self.activation.n_gates == 1:
            return self.activation(x)
        return self.activation(x.unflatten(-1, (self.n_units, -1))).flatten(-2)

    def _trace_activation(self, x: Tensor) -> tuple[Tensor, Pullback]:
        if self.activation.n_gates == 1:
            return self.activation.trace(x)
        value, pullback = self.activation.trace(x.unflatten(1, (self.n_units, -1)))
        return value.flatten(1), lambda gradient: pullback(gradient.unflatten(1, (self.n_units, -1))).flatten(1)


class UnitEncoder(UnitNetwork):
    """Units that each see the whole row and give ``n_blocks`` blocks of ``unit_size`` numbers.

    Outputs are in the order of blocks and, within them, of units: all means, unit by unit, and then all log-variances,
    as :class:`~skgen.posteriors.diagonal.DiagonalPosterior` reads them.

    Parameters
    ----------
    n_inputs, n_units : int
        Width of a row, and number of units.
    hidden_sizes : sequence of int
        Hidden units in each layer of each unit.
    unit_size : int
        Width of the block of a unit.
    activation : str
        A key of ``ACTIVATIONS``.
    dropout : float
        Share of hidden units that training drops.
    n_blocks : int
        Numbers that a unit gives for each of its latent variables.
    """

    def __init__(
        self,
        n_inputs: int,
        n_units: int,
        hidden_sizes: Sequence[int],
        unit_size: int,
        activation: str = "relu",
        dropout: float = 0.0,
        n_blocks: int = 2,
    ) -> None:
        n_outputs = n_blocks * n_units * unit_size
        self.n_blocks = n_blocks
        n_gates = ACTIVATIONS[activation].n_gates
        layers: list[AffineLayer] = []
        if hidden_sizes:
            layers = [Dense(n_inputs, n_units * hidden_sizes[0] * n_gates)]
            layers += [UnitDense(n_units, a, b * n_gates) for a, b in pairwise(hidden_sizes)]
            layers += [UnitDense(n_units, hidden_sizes[-1], unit_size, n_blocks)]
        else:
            layers = [Dense(n_inputs, n_outputs)]
        super().__init__(n_inputs, n_units, n_outputs, layers, activation, dropout)

    def unit_masks(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """1 at the parameters that belong to the units, 0 elsewhere, by the parameters' names and of their shapes."""
        return {
            name: column_mask(parameter, self.n_blocks if name.startswith(self._last) else 1, self.n_units, indices)
            for name, parameter in self.named_parameters()
        }


class UnitDecoder(UnitNetwork):
    """Units that each see their equal share of the inputs; what they contribute to the outputs is added up.

    Without hidden layers it is a linear map. Parameters are those of :class:`UnitEncoder`.

    Raises
    ------
    ValueError
        If the units cannot have equal shares of the inputs.
    """

    def __init__(
        self,
        n_inputs: int,
        n_units: int,
        hidden_sizes: Sequence[int],
        n_outputs: int,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        n_gates = ACTIVATIONS[activation].n_gates
        sizes = [equal_share(n_inputs, n_units), *hidden_sizes]
        layers: list[AffineLayer] = [UnitDense(n_units, a, b * n_gates) for a, b in pairwise(sizes)]
        layers.append(Dense(n_units * sizes[-1], n_outputs))
        super().__init__(n_inputs, n_units, n_outputs, layers, activation, dropout)

    def contributions(self, z: Tensor) -> Tensor:
        """What each unit adds to the outputs' bias, (..., n_inputs) to (..., n_units, n_outputs)."""
        *_, last = self.affine()
        hidden = self._hidden(z, None).unflatten(-1, (self.n_units, -1))
        return torch.einsum("...ui,uio->...uo", hidden, last.weight.unflatten(0, (self.n_units, -1)))

    def unit_masks(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """1 at the parameters that belong to the units, 0 elsewhere, by the parameters' names and of their shapes.

        The outputs' bias belongs to no unit.
        """
        masks = {
            name: column_mask(parameter, 1, self.n_units, indices)
            for name, parameter in self.named_parameters()
            if not name.startswith(self._last)
        }
        weight, bias = self.head
        masks[self._last + "weight"] = column_mask(weight.t(), 1, self.n_units, indices).t()
        masks[self._last + "bias"] = torch.zeros_like(bias)
        return masks


def equal_share(n_inputs: int, n_units: int) -> int:
    """Inputs of each unit; a ValueError where they cannot be shared out."""
    if n_inputs % n_units:
        raise ValueError(
            f"Units share the latent variables equally, but n_units={n_units} does not divide {n_inputs} of them. "
            "Give the decoder n_units * unit_size latent variables and nothing else, or use a joint decoder."
        )
    return n_inputs // n_units


def column_mask(parameter: Tensor, n_blocks: int, n_units: int, indices: Sequence[int]) -> Tensor:
    """1 at the last-axis places of the units, where they are ordered by blocks and, within them, by units."""
    for index in indices:
        if not 0 <= index < n_units:
            raise ValueError(f"Units are numbered from 0 to {n_units - 1}, got {index}.")
    mask = parameter.new_zeros(parameter.shape)
    mask.unflatten(-1, (n_blocks, n_units, -1))[..., list(indices), :] = 1
    return mask
