"""Gradient methods with their state as named tensors, and the table of all optimisers."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skgen.networks.layered import aligned
from skgen.training.base import Gradient, Optimizer, Rate
from skgen.training.descent import ConjugateGradients, TruncatedNewton
from skgen.training.flat import Flat
from skgen.training.quasi_newton import BFGS, LBFGS

FLUSH_EVERY = 100
FLUSH_BELOW = 1e-30
PIECES = {"cuda": 32}
"""Into how many pieces a long vector is cut for the kernel of Adam, by device. On a GPU one group of threads updates
2^16 numbers of a tensor or fewer, so that a whole vector of a small model would leave most of the device idle."""
SMALLEST_PIECE = 4096


class FirstOrder(Optimizer, ABC):
    """Shared part of the gradient methods: clipping, weight decay of matrices, and moments.

    Moments of inputs that are always zero decay into subnormal numbers, on which processors are an order of magnitude
    slower, so they are set to zero below 1e-30 every hundred steps: an update changes by less than float32 resolves.
    """

    n_moments = 2

    def __init__(self, parameters: Flat, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.count = torch.zeros((), dtype=torch.float32, device=parameters.value.device)
        self.n_steps = 0
        self.moments = [torch.zeros_like(parameters.value) for _ in range(self.n_moments)]

    @abstractmethod
    def _update(self, learning_rate: Rate) -> None:
        """Update the values from gradient and moments, weight decay included."""

    def _add_decay(self) -> None:
        if self.decay is not None:
            self.parameters.gradient.addcmul_(self.parameters.value, self.decay)

    def step(self, gradient: Gradient, learning_rate: Rate, *, again: bool = False) -> None:
        self._filled(gradient)
        if self.max_grad_norm is not None:
            norm = torch.linalg.vector_norm(self.parameters.gradient)
            self.parameters.gradient.mul_((self.max_grad_norm / (norm + 1e-12)).clamp_max(1.0))
        self._update(learning_rate)
        self.advance()
        if self.n_steps % FLUSH_EVERY == 0 and self.parameters.value.device.type == "cpu":
            for moment in self.moments:
                moment.copy_(F.hardshrink(moment, FLUSH_BELOW))

    def advance(self) -> None:
        self.n_steps += 1

    def renew(self) -> None:
        """Nothing: moments are means over losses that change from batch to batch anyway."""

    def state(self) -> dict[str, Tensor]:
        return {"count": self.count, "n_steps": torch.tensor(self.n_steps)} | {
            f"moment_{i}": moment for i, moment in enumerate(self.moments)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        self.count.copy_(state["count"])
        self.n_steps = int(state["n_steps"])
        for i, moment in enumerate(self.moments):
            moment.copy_(state[f"moment_{i}"])


def _cut(vector: Tensor) -> list[Tensor]:
    """A vector in the pieces that its device updates fastest."""
    length = aligned(-(-len(vector) // PIECES.get(vector.device.type, 1)))
    return list(vector.split(max(length, SMALLEST_PIECE)))


class Adam(FirstOrder):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980); weight decay is added to the gradient.

    One call of the kernel behind ``torch.optim.Adam(fused=True)``, whose own bookkeeping costs more than the update of
    a small model.
    """

    betas = 0.9, 0.999
    """Decay of the averages of the gradient and of its square."""

    def __init__(self, parameters: Flat, **options: Any) -> None:
        super().__init__(parameters, **options)
        vectors = parameters.value, parameters.gradient, *self.moments
        self.pieces = [_cut(vector) for vector in vectors]

    def _update(self, learning_rate: Rate) -> None:
        self._add_decay()
        self.count.add_(1)
        values, gradients, means, squares = self.pieces
        torch._fused_adam_(
            values,
            gradients,
            means,
            squares,
            [],
            [self.count] * len(values),
            lr=learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class Playing(Adam):
    """Adam without momentum, for parts of a game, where the gradient of a moment ago is that of another loss.

    The averages are those of Karras et al. (2018), https://arxiv.org/abs/1710.10196.
    """

    betas = 0.0, 0.99


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    def _add_decay(self) -> None:
        """Nothing is added to the gradient."""

    def _update(self, learning_rate: Rate) -> None:
        value = self.parameters.value
        if self.decay is not None:
            if isinstance(learning_rate, Tensor):
                value.addcmul_(value, self.decay * -learning_rate)
            else:
                value.addcmul_(value, self.decay, value=-learning_rate)
        super()._update(learning_rate)


class SGD(FirstOrder):
    """Stochastic gradient descent with momentum (heavy ball); weight decay is added to the gradient.

    One pass over the parameters, by the kernel behind ``torch.optim.SGD(fused=True)``.
    """

    n_moments = 1

    def __init__(self, parameters: Flat, *, weight_decay: float = 0.0, **options: Any) -> None:
        super().__init__(parameters, weight_decay=weight_decay, **options)
        self.weight_decay = weight_decay
        vectors = parameters.value, parameters.gradient, self.moments[0]
        self.parts = [[[vector[span] for span in spans] for vector in vectors] for spans in parameters.spans()]

    def _update(self, learning_rate: Rate) -> None:
        for (values, gradients, moments), decay in zip(self.parts, (self.weight_decay, 0.0), strict=True):
            if not values:
                continue
            torch._fused_sgd_(
                values,
                gradients,
                moments if self.momentum else [],  # refused where they are not needed
                weight_decay=decay,
                momentum=self.momentum,
                lr=learning_rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,
            )


SOLVERS: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": SGD,
    "lbfgs": LBFGS,
    "bfgs": BFGS,
    "cg": ConjugateGradients,
    "newton-cg": TruncatedNewton,
}
