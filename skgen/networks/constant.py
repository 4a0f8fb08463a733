"""The network that does not look."""

import torch
from torch import Generator, Tensor, nn

from skgen._trace import Pullback, Tracer
from skgen.networks.base import Network


class ConstantNetwork(Network):
    """The same outputs, a vector of parameters, whatever the row: a start that rows share where each has its own end.

    It starts at zero, and its head has no hidden units.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs)
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        return self.bias.expand(*x.shape[:-1], -1).clone()

    def reset(self, generator: Generator) -> None:
        """Set the outputs to zero; nothing is drawn."""
        with torch.no_grad():
            self.bias.zero_()

    @property
    def head(self) -> tuple[Tensor, Tensor]:
        """A weight without rows (0, n_outputs), and the outputs."""
        bias = self.bias.detach()
        return bias.new_empty(0, len(bias)), bias

    def absorb_input(self, ratio: Tensor, offset: Tensor) -> None:
        """There is nothing to change."""

    @property
    def width(self) -> int:
        """Inputs and outputs."""
        return self.n_inputs + self.n_outputs

    def tracer(
        self, *, input_gradient: bool = True, parameter_gradient: bool = True, low_precision: bool = False
    ) -> Tracer:
        def trace(x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Pullback]:
            def pullback(gradient: Tensor) -> Tensor | None:
                if parameter_gradient:
                    assert self.bias.grad is not None
                    self.bias.grad.add_(gradient.reshape(-1, self.n_outputs).sum(0))
                return torch.zeros_like(x) if input_gradient else None

            output: Tensor = self(x)
            return output.detach(), pullback

        return trace
