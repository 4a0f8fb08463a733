"""Methods that climb a function of each row as if the row were alone: what they share, and those of first order.

A method is asked for points, one per row, and told the value and the gradient there. So an evaluation serves every row,
whatever the row needs it for. All that a method remembers are tensors whose first axis counts rows.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST_SHARE = 2.0**-20
"""Share of a direction, or of the learning rate, below which a row gives up."""
ROUNDING = 4
"""Units in the last place by which two values may differ from rounding alone."""


class Settings(NamedTuple):
    """What the user of a method decides."""

    learning_rate: float
    largest_move: float
    tol: float


def by_row(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """The new vectors of some rows, the old ones of the others; rows (batch,), vectors (batch, n)."""
    return torch.where(rows.unsqueeze(-1), new, old)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the vectors of each row, (batch, n) to (batch,)."""
    return (a * b).sum(-1)


class RowMethod(ABC):
    """Shared part of all methods: the best point of each row, its value and gradient, and which rows go on."""

    def __init__(self, start: Tensor, value: Tensor, gradient: Tensor, settings: Settings) -> None:
        self.best, self.value, self.gradient = start, value, gradient
        self.active = torch.isfinite(value)
        self.settings = settings

    @staticmethod
    def width(n_parameters: int) -> int:
        """Numbers held per row, roughly."""
        return 10 * n_parameters

    @property
    def threshold(self) -> Tensor:
        """Rise of each row that is not worth an evaluation, or that rounding hides."""
        return (ROUNDING * torch.finfo(self.value.dtype).eps * self.value.abs()).clamp_min(self.settings.tol)

    def clipped(self, step: Tensor) -> Tensor:
        """The steps, the longest of them shortened."""
        longest = self.settings.largest_move
        length: Tensor = torch.linalg.vector_norm(step, dim=-1, keepdim=True)
        return step * (longest / length.clamp_min(longest))

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only, given by their numbers."""
        for name, held in vars(self).items():
            if isinstance(held, Tensor):
                setattr(self, name, held[rows])

    def take(self, rows: Tensor, point: Tensor, value: Tensor, gradient: Tensor) -> None:
        """Make these points the best of some rows (batch,), with value and gradient there."""
        self.best = by_row(rows, point, self.best)
        self.gradient = by_row(rows, gradient, self.gradient)
        self.value = torch.where(rows, value, self.value)

    @abstractmethod
    def ask(self) -> Tensor:
        """Where the function is to be evaluated next, (batch, n); rows that have ended stay where they are."""

    @abstractmethod
    def tell(self, value: Tensor, gradient: Tensor) -> None:
        """Take note of the values (batch,) and gradients (batch, n) at the points."""


class FirstOrder(RowMethod, ABC):
    """Shared part of the methods that go where a gradient, or a mean of gradients, points.

    A row that has found nothing better for ``patience`` evaluations, or that has left the domain, returns to its best
    point and forgets its moments. If it had found nothing since the last return, its learning rate was too high and is
    halved.
    """

    patience: int

    def __init__(self, start: Tensor, value: Tensor, gradient: Tensor, settings: Settings) -> None:
        super().__init__(start, value, gradient, settings)
        self.point = start
        self.rate = torch.full_like(value, settings.learning_rate)
        self.moments = torch.zeros_like(start).unsqueeze(1).repeat(1, 2, 1)
        self.age = torch.zeros_like(value)
        """Steps since the moments were cleared."""
        self.idle = torch.zeros_like(value)
        """Evaluations since something better was found."""
        self.gained = torch.zeros_like(self.active)
        """Whether something better was found since the last return."""
        self._move(gradient)

    @abstractmethod
    def _step(self, gradient: Tensor) -> Tensor:
        """Steps at a learning rate of 1; changes the moments in place."""

    def _move(self, gradient: Tensor) -> None:
        self.age = self.age + 1
        step = self.clipped(self.rate.unsqueeze(-1) * self._step(gradient))
        # No step of this length can bring more to first order. Its direction may be that of older gradients.
        promise = torch.linalg.vector_norm(step, dim=-1) * torch.linalg.vector_norm(gradient, dim=-1)
        slow = self.rate < SMALLEST_SHARE * self.settings.learning_rate
        self.active = self.active & (promise > self.threshold) & ~slow
        self.point = by_row(self.active, self.point + step, self.best)

    def ask(self) -> Tensor:
        return self.point

    def tell(self, value: Tensor, gradient: Tensor) -> None:
        finite = torch.isfinite(value)
        better = self.active & finite & (value > self.value + self.threshold)
        self.take(better, self.point, value, gradient)
        self.idle = torch.where(better, 0.0, self.idle + 1)
        self.gained = self.gained | better
        self._return(~finite | (self.idle >= self.patience))
        self._move(by_row(self.idle == 0, self.gradient, gradient))

    def _return(self, rows: Tensor) -> None:
        self.rate = torch.where(rows & ~self.gained, 0.5 * self.rate, self.rate)
        self.gained = self.gained & ~rows
        self.point = by_row(rows, self.best, self.point)
        self.moments.masked_fill_(rows.view(-1, 1, 1), 0.0)
        self.age, self.idle = self.age.masked_fill(rows, 0.0), self.idle.masked_fill(rows, 0.0)


class Adam(FirstOrder):
    """Adam of each row (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""

    patience = 10
    decays = 0.9, 0.999
    # Of a gradient that is rounding alone it makes no step, as the usual 1e-8 would.
    epsilon = 1e-6

    def _step(self, gradient: Tensor) -> Tensor:
        means = []
        for i, (decay, new) in enumerate(zip(self.decays, (gradient, gradient.square()), strict=True)):
            moment = self.moments[:, i]
            moment.lerp_(new, 1 - decay)
            means.append(moment / (1 - decay**self.age).unsqueeze(-1))
        return means[0] / (means[1].sqrt() + self.epsilon)


class GradientAscent(FirstOrder):
    """Gradient ascent of each row with momentum, which starts anew at a fall.

    References
    ----------
    O'Donoghue and Candes (2015), Adaptive restart for accelerated gradient schemes, https://arxiv.org/abs/1204.3982.
    """

    patience = 1
    momentum = 0.9

    def _step(self, gradient: Tensor) -> Tensor:
        velocity = self.moments[:, 0]
        velocity.mul_(self.momentum).add_(gradient)
        return velocity.clone()
