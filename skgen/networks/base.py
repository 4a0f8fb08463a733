"""What a network must offer."""

from abc import ABC, abstractmethod

from torch import Generator, Tensor, nn

from skgen._trace import Pullback, Tracer, autograd_trace


class Network(nn.Module, ABC):
    """A map (..., n_inputs) -> (..., n_outputs) whose rows do not depend on each other.

    Implement ``forward`` and ``reset``; override ``tracer`` where derivatives by hand are faster.

    Attributes
    ----------
    dropout : float
        Share of hidden units that training drops.
    shared_masks : bool
        Whether rows share their dropout masks, so that a row's weight in a loss means its repetition.
    """

    dropout = 0.0
    shared_masks = False

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

    def tracer(self, *, input_gradient: bool = True, low_precision: bool = False) -> Tracer:
        """Bind the parameters; ``trace(x, generator)`` returns the output and its pullback.

        Both may be good until the next trace only. ``input_gradient=False`` lets the pullback skip the gradient of x;
        ``low_precision`` allows bfloat16 products.
        """

        def trace(x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Pullback]:
            (output,), pullback = autograd_trace(lambda leaf: self(leaf, generator), x)
            return output, lambda gradient: pullback(gradient)[0]

        return trace
