"""Optimisers that search along a line, for losses that are deterministic; one iteration per step."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from skgen.training.base import Gradient, Optimizer, Rate
from skgen.training.flat import Flat
from skgen.training.line_search import Trial, hessian_product, newton_direction, strong_wolfe

PRODUCTS = 200
"""Largest number of products with the Hessian in a step of Newton's method."""


class LineSearch(Optimizer, ABC):
    """Shared part of the methods that choose a direction and search along it, which needs a deterministic loss.

    A step never raises the loss, but for rounding. One that finds nothing lower, neither along its direction nor along
    the gradient, leaves the parameters as they were. ``parameters.gradient`` is the gradient at the parameters in force
    when a step ends.
    """

    line_search = True
    curvature: float
    """Share of the first slope that a search may leave."""
    refine = False
    """Whether every search follows a secant at least once."""
    last = math.inf
    """The loss where the last step ended."""

    @abstractmethod
    def _direction(self, gradient: Gradient, slope: Tensor) -> tuple[Tensor, float]:
        """A direction in which to go, and the first step to try; ``slope`` is the loss's gradient."""

    @abstractmethod
    def _finish(self, direction: Tensor, start: Tensor, step: float) -> None:
        """Take note of a step along a direction that began where the gradient was ``start``; 0 where nothing helped."""

    def _evaluate(self, gradient: Gradient) -> Tensor:
        """Fill the gradient and return the loss, weight decay included."""
        with torch.no_grad():
            loss = self._filled(gradient)
            if self.decay is not None:
                decayed = self.decay * self.parameters.value
                self.parameters.gradient.add_(decayed)
                loss = loss + 0.5 * torch.dot(decayed, self.parameters.value)
        return loss

    def advance(self) -> None:
        """Nothing: the line search decides on the host, so its kernels run only by ``step``."""

    def step(self, gradient: Gradient, learning_rate: Rate, *, again: bool = False) -> None:
        parameters, origin = self.parameters, self.parameters.value.clone()
        loss = self.last if again else float(self._evaluate(gradient))
        slope = parameters.gradient.clone()
        norm = self.gradient_norm
        end, direction = None, -slope
        if math.isfinite(loss) and 0 < norm < math.inf:
            direction, first = self._direction(gradient, slope)
            end = self._search(gradient, origin, loss, slope, direction, first)
            if end is None and not torch.equal(direction, -slope):
                direction = -slope
                end = self._search(gradient, origin, loss, slope, direction, min(1.0, 1.0 / norm))
        if end is None:
            parameters.value.copy_(origin)
            parameters.gradient.copy_(slope)
        else:
            torch.add(origin, direction, alpha=end.step, out=parameters.value)
            parameters.gradient.copy_(end.gradient)
        self.last = loss if end is None else end.loss
        self._finish(direction, slope, 0.0 if end is None else end.step)

    def _search(
        self, gradient: Gradient, origin: Tensor, loss: float, slope: Tensor, direction: Tensor, first: float
    ) -> Trial | None:
        def trial(step: float) -> Trial:
            torch.add(origin, direction, alpha=step, out=self.parameters.value)
            loss = float(self._evaluate(gradient))
            along = float(torch.dot(self.parameters.gradient, direction))
            return Trial(step, loss, along, self.parameters.gradient.clone())

        start = Trial(0.0, loss, float(torch.dot(slope, direction)), slope)
        if not -math.inf < start.slope < 0:
            return None
        return strong_wolfe(trial, start, first, curvature=self.curvature, refine=self.refine)


class ConjugateGradients(LineSearch):
    """Nonlinear conjugate gradients; one line search per step.

    The direction is that of Polak and Ribiere (1969) with a factor of at least 0 (Gilbert and Nocedal 1992,
    https://doi.org/10.1137/0802003), and the gradient's where successive gradients are far from orthogonal (Powell
    1977, https://doi.org/10.1007/BF01593790) or the direction does not descend. A quadratic of n parameters takes n
    steps.
    """

    curvature = 0.1
    refine = True
    orthogonal = 0.2

    def __init__(self, parameters: Flat, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.direction = torch.zeros_like(parameters.value)
        self.slope = torch.zeros_like(parameters.value)
        self.length = torch.zeros((), dtype=torch.float64)

    def _direction(self, gradient: Gradient, slope: Tensor) -> tuple[Tensor, float]:
        square, before = torch.dot(slope, slope), torch.dot(self.slope, self.slope)
        first = float(self.length) or min(1.0, 1.0 / float(square) ** 0.5)
        overlap = torch.dot(slope, self.slope)
        if before == 0 or abs(overlap) > self.orthogonal * square:
            return -slope, first
        direction = ((square - overlap) / before).clamp_min(0.0) * self.direction - slope
        return direction if torch.dot(direction, slope) < 0 else -slope, first

    def _finish(self, direction: Tensor, start: Tensor, step: float) -> None:
        self.direction.copy_(direction)
        self.slope.copy_(start)
        self.length.fill_(step)
        if not step:
            self.renew()

    def renew(self) -> None:
        self.slope.zero_()

    def state(self) -> dict[str, Tensor]:
        return {"direction": self.direction, "slope": self.slope, "length": self.length}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])


class TruncatedNewton(LineSearch):
    """Newton's method with conjugate gradients for its direction and a line search (Dembo and Steihaug 1983).

    Products with the Hessian are central differences of the gradient, so that one costs two evaluations. The
    nearer the optimum, the more of them a step takes, and the convergence is quadratic
    (https://doi.org/10.1007/BF02592055).
    """

    curvature = 0.9

    def __init__(self, parameters: Flat, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.n_steps = torch.zeros((), dtype=torch.int64)

    def _direction(self, gradient: Gradient, slope: Tensor) -> tuple[Tensor, float]:
        value, origin = self.parameters.value, self.parameters.value.clone()

        def at(point: Tensor) -> Tensor:
            value.copy_(point)
            loss = self._evaluate(gradient)
            return self.parameters.gradient.clone() if math.isfinite(loss) else torch.full_like(point, math.nan)

        direction = newton_direction(
            lambda vector: hessian_product(at, origin, vector),
            slope,
            tolerance=min(max(float(torch.linalg.vector_norm(slope)), 1e-8), 0.5),
            n_iterations=min(len(slope), PRODUCTS),
        )
        return direction, 1.0

    def _finish(self, direction: Tensor, start: Tensor, step: float) -> None:
        self.n_steps.add_(1)

    def renew(self) -> None:
        """Nothing: a step compares gradients of its own alone."""

    def state(self) -> dict[str, Tensor]:
        return {"n_steps": self.n_steps}

    def load(self, state: dict[str, Tensor]) -> None:
        self.n_steps.copy_(state["n_steps"])
