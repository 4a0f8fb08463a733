"""Classes of rows from a network: a softmax of its outputs."""

import torch
from torch import Tensor, nn

from skgen._trace import Pullback, Tracer
from skgen.networks.base import Network


class SoftmaxClassifier(nn.Module):
    r"""A network whose outputs are logarithms of the classes' probabilities, up to a constant.

    .. math:: p(y = k \mid x) = e^{f_k(x)} / \sum_l e^{f_l(x)}

    Rows named ``x`` are standardised, ``rows`` are in the user's units.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", torch.zeros(network.n_inputs))
        self.register_buffer("scale", torch.ones(network.n_inputs))

    @property
    def width(self) -> int:
        """Most numbers held per row at once, for sizing tiles."""
        return self.network.width + 4 * self.network.n_outputs

    def standardize(self, rows: Tensor) -> Tensor:
        """Rows in the user's units to standardised rows."""
        return (rows - self.shift) / self.scale

    def log_proba(self, x: Tensor) -> Tensor:
        """Logarithms of the probabilities of all classes, (batch, classes)."""
        return torch.log_softmax(self.network(x), -1)

    def log_prob(self, x: Tensor, target: Tensor) -> Tensor:
        """log p(y | x) of the classes with the given numbers (batch,)."""
        return self.log_proba(x).gather(-1, target.unsqueeze(-1)).squeeze(-1)

    def tracer(self, *, low_precision: bool = False) -> Tracer:
        """``trace(x, target, generator)`` returns log p(y | x), (batch,), and its pullback, which adds to ``.grad``.

        The generator draws dropout masks. The pullback takes a cotangent per row or one for all and returns nothing.
        """
        network = self.network.tracer(input_gradient=False, low_precision=low_precision)

        def trace(x: Tensor, target: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Pullback]:
            outputs, pull = network(x, generator)
            log_proba = torch.log_softmax(outputs, -1)
            chosen = target.unsqueeze(-1)

            def pullback(cotangent: Tensor) -> None:
                weight = cotangent.expand(len(x)).unsqueeze(-1)
                gradient = log_proba.exp().mul_(-weight)
                pull(gradient.scatter_add_(-1, chosen, weight))

            return log_proba.gather(-1, chosen).squeeze(-1), pullback

        return trace
