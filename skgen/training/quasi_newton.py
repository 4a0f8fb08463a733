"""Quasi-Newton methods: curvature learnt from the gradients at the two ends of each step."""

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import torch
from torch import Tensor

from skgen.training.base import Gradient
from skgen.training.descent import LineSearch
from skgen.training.flat import Flat
from skgen.training.line_search import FLATTEST

MEMORY = 20
"""Steps that the method of limited memory learns from."""
LARGEST = 5000
"""Most parameters of the method that keeps a matrix: 200 MB of float64."""


class QuasiNewton(LineSearch, ABC):
    """Shared part: the direction is that of Newton's method, with an estimate of the inverse Hessian.

    The estimate maps the change y of the gradient over a step to the step s, for the last step or for several. A pair
    is of a single loss, so none is lost or false when the loss changes. An estimate whose direction led nowhere is
    forgotten.
    """

    curvature = 0.9

    @abstractmethod
    def _newton(self, slope: Tensor) -> Tensor | None:
        """The estimated inverse Hessian times a gradient; None while there is no estimate."""

    @abstractmethod
    def _learn(self, step: Tensor, change: Tensor, square: Tensor, foreseen: Tensor) -> None:
        """Take note of a step s, the gradient's change y over it, and their product s'y, which is positive.

        ``foreseen`` is the product that the estimate promised, if there was one.
        """

    @abstractmethod
    def _forget(self) -> None:
        """Drop the estimate."""

    def _direction(self, gradient: Gradient, slope: Tensor) -> tuple[Tensor, float]:
        estimate = self._newton(slope)
        if estimate is None:
            return -slope, min(1.0, 1.0 / float(slope.abs().sum()))
        return -estimate, 1.0

    def _finish(self, direction: Tensor, start: Tensor, step: float) -> None:
        if not step or torch.equal(direction, -start):
            self._forget()
        taken, change = step * direction, self.parameters.gradient - start
        square = torch.dot(taken, change)
        if square > FLATTEST * torch.linalg.vector_norm(taken) * torch.linalg.vector_norm(change):
            self._learn(taken, change, square, -step * torch.dot(taken, start))

    def renew(self) -> None:
        """Nothing: a pair is of a single loss."""


class BFGS(QuasiNewton):
    r"""The method of Broyden, Fletcher, Goldfarb and Shanno (1970); time and memory are quadratic in the parameters.

    .. math:: H' = H + s v^\top + v s^\top, \qquad
       v = \Big(\tfrac12 \Big(1 + \frac{y^\top H y}{s^\top y}\Big) s - H y\Big) \Big/ s^\top y

    from the multiple of the identity that the first pair suggests (Nocedal and Wright 2006, Numerical Optimization,
    equations 6.17 and 6.20). Where :math:`s^\top H^{-1} s > s^\top y`, H is first multiplied by the quotient of the
    two: by itself an estimate that is too small grows slowly (Al-Baali 1998, Numerical experience with a class of
    self-scaling quasi-Newton algorithms).
    """

    def __init__(self, parameters: Flat, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.elements = parameters.elements()
        n = len(self.elements)
        if n > LARGEST:
            raise ValueError(
                f"The solver 'bfgs' keeps a matrix of n x n numbers and takes at most n = {LARGEST} parameters, got "
                f"{n}: choose 'lbfgs', which keeps {2 * MEMORY} vectors of n."
            )
        self.inverse = parameters.value.new_zeros(n, n)
        self.known = torch.zeros((), dtype=torch.bool)

    def _newton(self, slope: Tensor) -> Tensor | None:
        if not self.known:
            return None
        return torch.zeros_like(slope).index_copy(0, self.elements, self.inverse @ slope[self.elements])

    def _learn(self, step: Tensor, change: Tensor, square: Tensor, foreseen: Tensor) -> None:
        step, change = step[self.elements], change[self.elements]
        if not self.known:
            self.inverse.fill_diagonal_(float(square / torch.dot(change, change)))
            self.known.fill_(True)
        elif foreseen > square:
            self.inverse.mul_(foreseen / square)
        moved = self.inverse @ change
        other = (0.5 * (1 + torch.dot(change, moved) / square) * step - moved) / square
        self.inverse.addmm_(torch.stack([step, other], 1), torch.stack([other, step]))

    def _forget(self) -> None:
        self.inverse.zero_()
        self.known.fill_(False)

    def state(self) -> dict[str, Tensor]:
        return {"inverse": self.inverse, "known": self.known}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])


class LBFGS(QuasiNewton):
    """The same with limited memory: the estimate is that of the last twenty pairs (Liu and Nocedal 1989).

    https://doi.org/10.1007/BF01589116
    """

    def __init__(self, parameters: Flat, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=MEMORY)

    def _newton(self, slope: Tensor) -> Tensor | None:
        if not self.pairs:
            return None
        product, shares = slope.clone(), []
        for step, change, square in reversed(self.pairs):
            share = torch.dot(step, product) / square
            shares.append(share)
            product -= share * change
        _, change, square = self.pairs[-1]
        product *= square / torch.dot(change, change)
        for (step, change, square), share in zip(self.pairs, reversed(shares), strict=True):
            product += (share - torch.dot(change, product) / square) * step
        return product

    def _learn(self, step: Tensor, change: Tensor, square: Tensor, foreseen: Tensor) -> None:
        self.pairs.append((step, change, square))

    def _forget(self) -> None:
        self.pairs.clear()

    def state(self) -> dict[str, Tensor]:
        empty = self.parameters.value.new_zeros(0, len(self.parameters.value))
        columns = map(torch.stack, zip(*self.pairs, strict=True)) if self.pairs else (empty, empty, empty[:, 0])
        return dict(zip(("steps", "changes", "squares"), columns, strict=True))

    def load(self, state: dict[str, Tensor]) -> None:
        self._forget()
        for pair in zip(state["steps"], state["changes"], state["squares"], strict=True):
            # Vectors in memory of their own, since the order in which a product is summed may depend on the address.
            step, change, square = (each.clone() for each in pair)
            self.pairs.append((step, change, square))
