"""What every optimiser of a flat parameter vector has."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from skgen.training.flat import Flat

Gradient = Callable[[], Tensor]
"""Fills the flat gradient of the loss and returns the loss, a scalar."""
Rate = float | Tensor
"""A learning rate: a number, or a tensor () on the parameters' device, float32, that a recorded step reads anew."""


class Optimizer(ABC):
    """Minimises a loss by changing a flat vector in place."""

    line_search = False
    """Whether the loss must be a deterministic function evaluated over all rows in float64."""

    def __init__(
        self,
        parameters: Flat,
        *,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        momentum: float = 0.9,
    ) -> None:
        self.parameters = parameters
        self.max_grad_norm = max_grad_norm
        self.momentum = momentum
        self.decay = parameters.matrix_mask().mul_(weight_decay) if weight_decay else None

    @property
    def gradient_norm(self) -> float:
        """Norm of the gradient as the last step left it.

        After a line search it is the gradient at the parameters in force, weight decay included, and 0 at an optimum;
        otherwise it is that of the last batch, before the update.
        """
        return float(torch.linalg.vector_norm(self.parameters.gradient))

    @abstractmethod
    def step(self, gradient: Gradient, learning_rate: Rate, *, again: bool = False) -> None:
        """One update; ``gradient`` may be called more than once by a line search.

        ``again`` says that neither the loss nor the parameters and their gradient have changed since the last step, so
        that a line search need not evaluate them where it ended.
        """

    @abstractmethod
    def advance(self) -> None:
        """Take note of a step whose kernels ran."""

    @abstractmethod
    def renew(self) -> None:
        """Take note that the loss has changed, as it does between the E- and M-steps of EM.

        Moments are kept, and so is what is known of the curvature; what would compare a gradient of the old loss with
        one of the new is dropped.
        """

    def _filled(self, gradient: Gradient) -> Tensor:
        """The loss, once its gradient is there; elements that are held have none."""
        loss = gradient()
        if self.parameters.held is not None:
            self.parameters.gradient.masked_fill_(self.parameters.held, 0.0)
        return loss

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything but the parameters that the next step depends on."""

    @abstractmethod
    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a state."""
