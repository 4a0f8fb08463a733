"""Classes of rows from a network: a softmax of its outputs."""

import torch
from torch import Tensor, nn

from skgen._trace import Pullback, Tracer
from skgen.models.deep_belief import DeepBeliefNetwork
from skgen.networks import MLP
from skgen.networks.base import Network
from skgen.networks.mlp import Dense


def log_proba_tracer(network: Network, low_precision: bool) -> Tracer:
    """``trace(x, generator)`` returns the log-softmax of a network's outputs, (batch, classes), and its pullback.

    The pullback takes a cotangent of that shape, adds to ``.grad`` and returns nothing.
    """
    traced = network.tracer(input_gradient=False, low_precision=low_precision)

    def trace(x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Pullback]:
        outputs, pull = traced(x, generator)
        log_proba = torch.log_softmax(outputs, -1)

        def pullback(cotangent: Tensor) -> None:
            pull(torch.addcmul(cotangent, log_proba.exp(), cotangent.sum(-1, keepdim=True), value=-1))

        return log_proba, pullback

    return trace


class SoftmaxClassifier(nn.Module):
    r"""A network whose outputs are logarithms of the classes' probabilities, up to a constant.

    .. math:: p(y = k \mid x) = e^{f_k(x)} / \sum_l e^{f_l(x)}

    Rows named ``x`` are standardised, ``rows`` are in the user's units.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: MLP) -> None:
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

    def load_layers(self, stack: DeepBeliefNetwork) -> None:
        """Take the weights of the hidden layers from a stack, the means of whose units they then give."""
        first = stack.bottom.features(torch.ones_like(stack.scale)).unsqueeze(-1)
        with torch.no_grad():
            layers = [layer for layer in self.network.layers if isinstance(layer, Dense)]
            for layer, machine in zip(layers, stack.machines, strict=False):
                layer.weight.copy_(machine.weight.t() * first)
                layer.bias.copy_(machine.hidden_bias)
                first = torch.ones((), dtype=first.dtype, device=first.device)
            shift, scale = stack.shift.to(self.shift), stack.scale.to(self.scale)
            self.network.absorb_input(self.scale / scale, (self.shift - shift) / scale)

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
        network = log_proba_tracer(self.network, low_precision)

        def trace(x: Tensor, target: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Pullback]:
            log_proba, pull = network(x, generator)
            chosen = target.unsqueeze(-1)

            def pullback(cotangent: Tensor) -> None:
                weight = cotangent.expand(len(x)).unsqueeze(-1)
                pull(torch.zeros_like(log_proba).scatter_(-1, chosen, weight))

            return log_proba.gather(-1, chosen).squeeze(-1), pullback

        return trace
