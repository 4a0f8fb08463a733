"""What a network must offer."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Generator, Tensor, nn

from skgen._trace import Pullback, Tracer, autograd_trace


def draw_uniform(parameters: Iterable[Tensor], bound: float, generator: Generator) -> None:
    """Fill parameters with uniform numbers between -bound and bound, drawn in float64 whatever their dtype."""
    with torch.no_grad():
        for parameter in parameters:
            drawn = torch.empty(parameter.shape, dtype=torch.float64).uniform_(-bound, bound, generator=generator)
            parameter.copy_(drawn)


class Network(nn.Module, ABC):
    """A map (..., n_inputs) -> (..., n_outputs) whose rows do not depend on each other.

    Implement ``forward`` and ``reset``; override ``tracer`` where derivatives by hand are faster.

    Attributes
    ----------
    dropout : float
        Share of hidden units that training drops.
    shared_masks : bool
        Whether rows share their dropout masks, so that a row's weight in a loss means its repetition.
    waits : bool
        Whether training waits for values of its own, so that a GPU cannot record it.
    """

    dropout = 0.0
    shared_masks = False
    waits = False

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs

    @abstractmethod
    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Map rows; ``generator`` draws dropout masks, None means evaluation."""

    @abstractmethod
    def reset(self, generator: Generator) -> None:
        """Draw initial parameters from the generator."""

    @property
    @abstractmethod
    def head(self) -> tuple[Tensor, Tensor]:
        """Weight (n_hidden, n_outputs) and bias of the last affine layer, detached but sharing memory."""

    @abstractmethod
    def absorb_input(self, ratio: Tensor, offset: Tensor) -> None:
        """Change the parameters in place so that the network at x gives what it gave at ``x * ratio + offset``.

        Where there are more inputs than numbers given, the rest stay as they are.
        """

    @property
    @abstractmethod
    def width(self) -> int:
        """Most numbers held per row at once, for sizing tiles."""

    def _mask(self, x: Tensor, generator: Generator | None, n_axes: int = 1) -> Tensor | None:
        """What dropout multiplies units by, the last ``n_axes`` of x being a row's; None where nothing is dropped."""
        if generator is None or self.dropout == 0:
            return None
        shape = x.shape[-n_axes:] if self.shared_masks else x.shape
        kept = x.new_empty(shape).uniform_(generator=generator) >= self.dropout
        return kept.to(x.dtype).div_(1 - self.dropout)

    def tracer(
        self, *, input_gradient: bool = True, parameter_gradient: bool = True, low_precision: bool = False
    ) -> Tracer:
        """Bind the parameters; ``trace(x, generator)`` returns the output and its pullback.

        Both may be good until the next trace only. ``input_gradient=False`` lets the pullback skip the gradient of x,
        and ``parameter_gradient=False`` has it leave the gradients of the parameters alone; ``low_precision`` allows
        bfloat16 products.
        """

        def evaluate(x: Tensor, generator: Generator | None) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16, low_precision, cache_enabled=False):
                output: Tensor = self(x, generator)
            return output.to(x.dtype)

        def trace(x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Pullback]:
            if input_gradient:
                (output,), pullback = autograd_trace(
                    lambda leaf: evaluate(leaf, generator), x, parameter_gradient=parameter_gradient
                )
                return output, lambda gradient: _or_zero(pullback(gradient)[0], x)
            if not parameter_gradient:
                with torch.no_grad():
                    return evaluate(x, generator), lambda gradient: None
            (output,), pullback = autograd_trace(lambda: evaluate(x, generator))
            return output, lambda gradient: pullback(gradient) or None

        return trace


def _or_zero(gradient: Tensor | None, x: Tensor) -> Tensor:
    """The gradient of x; zero where an output does not depend on it, for which autograd gives none."""
    return torch.zeros_like(x) if gradient is None else gradient
