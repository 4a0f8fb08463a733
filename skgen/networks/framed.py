"""A network between two affine maps, of each of its inputs and of each of its outputs by itself."""

from abc import abstractmethod

import torch
from torch import Generator, Tensor, nn

from skgen.networks.base import Network


class FramedNetwork(Network):
    r"""``body(x * ratio + offset) * gain + bias``, where the body is a network of any kind.

    Rows of a new standardisation are taken back to the old one before the body sees them, and a likelihood changes
    scale and origin of its outputs, so that neither needs to know what the body is made of. Ratio and offset are
    buffers, (n_inputs,); gain and bias, (n_outputs,), are learnt. Implement ``_body`` and ``_reset_body``.
    """

    input_ratio: Tensor
    input_offset: Tensor

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs)
        self.register_buffer("input_ratio", torch.ones(n_inputs))
        self.register_buffer("input_offset", torch.zeros(n_inputs))
        self.gain = nn.Parameter(torch.ones(n_outputs))
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    @abstractmethod
    def _body(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Map (batch, n_inputs) to (batch, n_outputs)."""

    @abstractmethod
    def _reset_body(self, generator: Generator) -> None:
        """Draw initial parameters of the body from the generator."""

    def _rows(self, x: Tensor) -> Tensor:
        """What the body sees of rows (..., n_inputs), (batch, n_inputs)."""
        return torch.addcmul(self.input_offset, x.reshape(-1, self.n_inputs), self.input_ratio)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        output = torch.addcmul(self.bias, self._body(self._rows(x), generator).to(self.gain.dtype), self.gain)
        return output.view(*x.shape[:-1], self.n_outputs)

    def reset(self, generator: Generator) -> None:
        with torch.no_grad():
            for tensor, value in ((self.input_ratio, 1), (self.input_offset, 0), (self.gain, 1), (self.bias, 0)):
                tensor.fill_(value)
        self._reset_body(generator)

    @property
    def head(self) -> tuple[Tensor, Tensor]:
        """Gain, as a weight (1, n_outputs), and bias."""
        return self.gain.detach().unsqueeze(0), self.bias.detach()

    def absorb_input(self, ratio: Tensor, offset: Tensor) -> None:
        """Fold an affine change of the inputs into the one before the body."""
        self.input_offset.addcmul_(offset, self.input_ratio)
        self.input_ratio.mul_(ratio)
