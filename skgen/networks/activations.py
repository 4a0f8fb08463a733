"""Activations: pointwise maps of a layer's pre-activation, each with its pullback."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from skgen._trace import Pullback

_aten = torch.ops.aten


class Activation(ABC):
    """A map from (batch, n_gates * width) to (batch, width)."""

    n_gates = 1
    in_place = False
    """Whether ``trace`` overwrites its argument with the value."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Apply the activation, differentiable by autograd."""

    @abstractmethod
    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """Value, and the map from its gradient to that of x."""


class Identity(Activation):
    """The identity."""

    in_place = True

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        return x, lambda gradient: gradient


class ReLU(Activation):
    """max(0, x)."""

    in_place = True

    def __call__(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        y = x.relu_()
        return y, lambda gradient: _aten.threshold_backward(gradient, y, 0)


class LeakyReLU(Activation):
    """x where positive, 0.2 x elsewhere: what critics of generators have had since Radford et al. (2016).

    It lets a gradient through wherever a row is, https://arxiv.org/abs/1511.06434.
    """

    in_place = True
    slope = 0.2

    def __call__(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.slope)

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        y = F.leaky_relu_(x, self.slope)
        # The value has the sign of x, which is no longer there.
        return y, lambda gradient: _aten.leaky_relu_backward(gradient, y, self.slope, True)


class Tanh(Activation):
    """Hyperbolic tangent."""

    in_place = True

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        y = x.tanh_()
        return y, lambda gradient: _aten.tanh_backward(gradient, y)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)), the mean of a binary unit."""

    in_place = True

    def __call__(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        y = x.sigmoid_()
        return y, lambda gradient: _aten.sigmoid_backward(gradient, y)


class SiLU(Activation):
    """x * sigmoid(x) (Elfwing et al. 2018, https://arxiv.org/abs/1702.03118)."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        return F.silu(x), lambda gradient: _aten.silu_backward(gradient, x)


class ELU(Activation):
    """x where positive, exp(x) - 1 elsewhere (Clevert et al. 2016, https://arxiv.org/abs/1511.07289)."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.elu(x)

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        return F.elu(x), lambda gradient: _aten.elu_backward(gradient, 1, 1, 1, False, x)


class Gated(Activation):
    """A linear half times the sigmoid of the other half (Dauphin et al. 2017, https://arxiv.org/abs/1612.08083)."""

    n_gates = 2

    def __call__(self, x: Tensor) -> Tensor:
        return F.glu(x, -1)

    def trace(self, x: Tensor) -> tuple[Tensor, Pullback]:
        return F.glu(x, -1), lambda gradient: _aten.glu_backward(gradient, x, -1)


ACTIVATIONS: dict[str, Activation] = {
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
    "silu": SiLU(),
    "elu": ELU(),
    "gated": Gated(),
    "identity": Identity(),
}
