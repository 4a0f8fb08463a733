"""All parameters in one buffer, and all their gradients in another."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

ALIGNMENT = 16


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class Flat(ABC):
    """What an optimiser changes: a vector of parameters, and a vector for the gradient of a loss."""

    value: Tensor
    gradient: Tensor

    @abstractmethod
    def matrix_mask(self) -> Tensor:
        """A vector with 1 at the elements that weight decay shrinks and 0 at the others."""

    @abstractmethod
    def spans(self) -> tuple[list[slice], list[slice]]:
        """The same as two lists of slices, of what decays and of the rest. Padding, always zero, may be in either."""


class FlatVector(Flat):
    """A plain vector of parameters, which is changed in place. Nothing decays."""

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.gradient = torch.zeros_like(value)

    def matrix_mask(self) -> Tensor:
        return torch.zeros_like(self.value)

    def spans(self) -> tuple[list[slice], list[slice]]:
        return [], [slice(0, len(self.value))]


class FlatParameters(Flat):
    """Re-points the parameters of a module, and their gradients, into two flat buffers.

    One buffer makes clearing, clipping and updating single kernel calls, and a copy of the weights one ``clone``.
    Rows of matrices are padded to multiples of 16 numbers, for which matrix products are up to three times faster, and
    a vector as long as the rows of the matrix before it is its next row, so that a layer's weight and bias are one
    matrix. Padding is zero and stays so. Parameters that require no gradient stay where they are.
    """

    def __init__(self, module: nn.Module) -> None:
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        places, size = [], 0
        columns = stride = 0
        for parameter in parameters:
            start = size
            if parameter.dim() == 2:
                start, columns = _aligned(size), parameter.shape[1]
                stride = _aligned(columns)
                size = start + parameter.shape[0] * stride
            elif parameter.dim() == 1 and len(parameter) == columns:
                size = start + stride
                columns = 0
            else:
                start = _aligned(size)
                size = start + parameter.numel()
                columns = 0
            places.append((parameter, start, (stride, 1) if parameter.dim() == 2 else _contiguous(parameter)))
        self.value = torch.zeros(size, dtype=parameters[0].dtype, device=parameters[0].device)
        self.gradient = torch.zeros_like(self.value)
        self._places = places
        for parameter, start, strides in places:
            values = self.value.as_strided(parameter.shape, strides, start)
            values.copy_(parameter.detach())
            parameter.data = values
            parameter.grad = self.gradient.as_strided(parameter.shape, strides, start)

    def matrix_mask(self) -> Tensor:
        """A vector with 1 at the elements of matrices and 0 at those of vectors."""
        mask = torch.zeros_like(self.value)
        for parameter, start, strides in self._places:
            if parameter.dim() >= 2:
                mask.as_strided(parameter.shape, strides, start).fill_(1)
        return mask

    def spans(self) -> tuple[list[slice], list[slice]]:
        """Slices of matrices, with their padding, and of vectors."""
        ends = [start for _, start, _ in self._places[1:]] + [len(self.value)]
        found: tuple[list[slice], list[slice]] = ([], [])
        for (parameter, start, _), end in zip(self._places, ends, strict=True):
            found[parameter.dim() < 2].append(slice(start, end))
        return found


def _contiguous(parameter: Tensor) -> tuple[int, ...]:
    return torch.empty(parameter.shape, device="meta").stride()
