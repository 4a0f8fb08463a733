"""Steps: callables that consume a batch, change parameters and report named scalars."""

from collections.abc import Callable

from torch import Generator, Tensor

from skgen.training.base import Optimizer
from skgen.training.batches import Batch

Scalars = dict[str, Tensor]
Loss = Callable[[Batch, Generator], tuple[Callable[[], Scalars], Callable[[], Tensor]]]
"""Adds the loss's gradient to the parameters' ``.grad``; returns functions that compute named terms and the loss."""


class GradientStep:
    """One optimiser update from the gradient of a loss, run without recording for autograd.

    ``learning_rate`` is an attribute that the owner of the schedule sets. Terms are computed only when asked for:
    the gradient does not need them.
    """

    def __init__(self, loss: Loss, optimizer: Optimizer, learning_rate: float) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate

    def __call__(self, batch: Batch, generator: Generator, *, report: bool = True) -> Scalars:
        """Update once; with ``report`` return the terms before the update, else an empty dict."""
        gradient = self.optimizer.parameters.gradient
        terms: Scalars = {}

        def evaluate() -> Tensor:
            gradient.zero_()
            compute_terms, compute_loss = self.loss(batch, generator)
            if report and not terms:
                terms.update(compute_terms())
            return compute_loss() if self.optimizer.line_search else gradient

        self.optimizer.step(evaluate, self.learning_rate)
        return terms
