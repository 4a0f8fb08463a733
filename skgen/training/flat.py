"""All parameters of a module in one buffer, and all their gradients in another."""

import torch
from torch import Tensor, nn

_ALIGNMENT = 16


class FlatParameters:
    """Re-points the parameters of a module, and their gradients, into two flat buffers.

    One buffer makes clearing, clipping and updating single kernel calls, and a copy of the weights one ``clone``.
    Parameters keep their order, matrices start at multiples of 16 numbers, and a vector follows what comes before it
    without a gap, so that a layer's weight and bias can be seen as one matrix.
    """

    def __init__(self, module: nn.Module) -> None:
        parameters = list(module.parameters())
        starts, size = [], 0
        for parameter in parameters:
            size = -(-size // _ALIGNMENT) * _ALIGNMENT if parameter.dim() >= 2 else size
            starts.append(size)
            size += parameter.numel()
        self.value = torch.zeros(size, dtype=parameters[0].dtype, device=parameters[0].device)
        self.gradient = torch.zeros_like(self.value)
        self._matrices = []
        for parameter, start in zip(parameters, starts, strict=True):
            part = slice(start, start + parameter.numel())
            self.value[part].copy_(parameter.detach().flatten())
            parameter.data = self.value[part].view(parameter.shape)
            parameter.grad = self.gradient[part].view(parameter.shape)
            self._matrices += [part] * (parameter.dim() >= 2)

    def matrix_mask(self) -> Tensor:
        """A vector with 1 at the elements of matrices and 0 at those of vectors."""
        mask = torch.zeros_like(self.value)
        for part in self._matrices:
            mask[part] = 1
        return mask
