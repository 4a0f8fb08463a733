"""Methods that choose a direction for each row and how far to go along it, and those that learn the curvature."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skgen.training.row_methods import SMALLEST_SHARE, RowMethod, Settings, by_row, dot

MEMORY = 8
"""Steps that the limited curvature of a row is taken from."""
SUFFICIENT = 1e-4
"""Share of the rise that the gradient promises which a step has to bring."""
SMALLEST_COSINE = 1e-8
"""Of a step and the change of the gradient over it, below which they tell no curvature."""
LEAST_CURVATURE = 0.2
"""Share of the curvature believed in along a step that is left after it, whatever the step tells."""


class LineSearch(RowMethod, ABC):
    """Shared part: a step that brings less than a share of what its slope promises is undone, the next is shorter."""

    def __init__(self, start: Tensor, value: Tensor, gradient: Tensor, settings: Settings) -> None:
        super().__init__(start, value, gradient, settings)
        self.share, self.promise = torch.ones_like(value), torch.zeros_like(value)
        self.direction = self.step = torch.zeros_like(start)
        self._begin()

    def _begin(self) -> None:
        """Choose the first direction, which is the gradient's."""
        self._aim(self.gradient, self.active)

    @abstractmethod
    def _turn(self, step: Tensor, change: Tensor, rows: Tensor) -> None:
        """Aim some rows anew, which have taken a step along which minus the gradient changed by ``change``."""

    def _aim(self, direction: Tensor, rows: Tensor) -> None:
        ascends = dot(direction, self.gradient) > 0
        direction = self.clipped(by_row(ascends, direction, self.gradient))
        promise = dot(direction, self.gradient)
        self.active = self.active & (~rows | (promise > self.threshold))
        self.direction = by_row(rows, direction, self.direction)
        self.promise = torch.where(rows, promise, self.promise)
        self.share = self.share.masked_fill(rows, 1.0)

    def ask(self) -> Tensor:
        self.step = by_row(self.active, self.share.unsqueeze(-1) * self.direction, torch.zeros_like(self.best))
        return self.best + self.step

    def tell(self, value: Tensor, gradient: Tensor) -> None:
        self._judge(value, gradient, self.active)

    def _judge(self, value: Tensor, gradient: Tensor, rows: Tensor) -> None:
        rise, promise, finite = value - self.value, self.share * self.promise, torch.isfinite(value)
        risen = rows & finite & (rise >= SUFFICIENT * promise)
        # The top of the parabola with the first slope and both values.
        shorter = torch.where(finite, (0.5 * promise / (promise - rise)).clamp(0.1, 0.5), 0.25)
        self.share = torch.where(rows & ~risen, shorter * self.share, self.share)
        self.active = self.active & (self.share >= SMALLEST_SHARE)
        change = self.gradient - gradient
        self.take(risen, self.best + self.step, value, gradient)
        self._turn(self.step, change, risen)


def curved(step: Tensor, change: Tensor) -> Tensor:
    """Whether the function is concave along each step, measurably."""
    norms: Tensor = torch.linalg.vector_norm(step, dim=-1) * torch.linalg.vector_norm(change, dim=-1)
    return dot(step, change) > SMALLEST_COSINE * norms


class QuasiNewton(LineSearch, ABC):
    """Shared part of the methods that learn the inverse of minus the Hessian from their steps."""

    def _begin(self) -> None:
        self.reach = torch.linalg.vector_norm(self.gradient, dim=-1)
        """Length of the step that the inverse asked for."""
        super()._begin()

    def _aim(self, direction: Tensor, rows: Tensor) -> None:
        self.reach = torch.where(rows, torch.linalg.vector_norm(direction, dim=-1), self.reach)
        super()._aim(direction, rows)

    def _pair(self, step: Tensor, change: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Steps and changes that tell of curvature, zero for the other rows, and which rows these are not.

        A change that tells of less than a share of the curvature that was believed in along the step is mixed with the
        change that was expected, up to that share (Powell 1978). So steps grow where the function is convex.
        """
        share = torch.linalg.vector_norm(step, dim=-1) / self.reach
        believed = share.unsqueeze(-1) * (self.gradient + change)
        expected, seen = dot(step, believed), dot(step, change)
        low = seen < LEAST_CURVATURE * expected
        weight = torch.where(low, (1 - LEAST_CURVATURE) * expected / (expected - seen), 1.0).unsqueeze(-1)
        change = torch.lerp(believed, change, weight)
        rows = rows & curved(step, change)
        zero = torch.zeros_like(step)
        return by_row(rows, step, zero), by_row(rows, change, zero), rows


class LBFGS(QuasiNewton):
    """Quasi-Newton steps; the last steps and changes of gradients stand for the inverse Hessian.

    A pair has the place of the evaluation that gave it, so that nothing is moved when another comes.

    References
    ----------
    Liu and Nocedal (1989), On the limited memory BFGS method, https://doi.org/10.1007/BF01589116.
    """

    @staticmethod
    def width(n_parameters: int) -> int:
        return (2 * MEMORY + 10) * n_parameters

    def _begin(self) -> None:
        self.steps = self.best.new_zeros(len(self.best), MEMORY, self.best.shape[-1])
        self.changes = torch.zeros_like(self.steps)
        self.inverse = self.best.new_zeros(len(self.best), MEMORY)  # 1 / (step . change), 0 where a place is empty
        self.scale = torch.ones_like(self.value)
        self.n_evaluations = 0
        super()._begin()

    def _turn(self, step: Tensor, change: Tensor, rows: Tensor) -> None:
        place = self.n_evaluations % MEMORY
        self.n_evaluations += 1
        step, change, taken = self._pair(step, change, rows)
        self.steps[:, place], self.changes[:, place] = step, change
        product = torch.where(taken, dot(step, change), 1.0)
        self.inverse[:, place] = torch.where(taken, 1 / product, 0.0)
        self.scale = torch.where(taken, product / torch.where(taken, dot(change, change), 1.0), self.scale)
        self._aim(self._ascent(), rows)

    def _ascent(self) -> Tensor:
        """The inverse of minus the Hessian times the gradient."""
        n_pairs, vector, shares = min(self.n_evaluations, MEMORY), self.gradient, []
        places = [(self.n_evaluations - 1 - i) % MEMORY for i in range(n_pairs)]  # newest first
        for i in places:
            shares.append((self.inverse[:, i] * dot(self.steps[:, i], vector)).unsqueeze(-1))
            vector = torch.addcmul(vector, shares[-1], self.changes[:, i], value=-1)
        vector = self.scale.unsqueeze(-1) * vector
        for i, share in zip(reversed(places), reversed(shares), strict=True):
            back = share - (self.inverse[:, i] * dot(self.changes[:, i], vector)).unsqueeze(-1)
            vector = torch.addcmul(vector, back, self.steps[:, i])
        return vector


class BFGS(QuasiNewton):
    """Quasi-Newton steps with the whole inverse Hessian of each row, n x n numbers.

    References
    ----------
    Nocedal and Wright (2006), Numerical Optimization, equations 6.17 and 6.20.
    """

    @staticmethod
    def width(n_parameters: int) -> int:
        return (n_parameters + 14) * n_parameters

    def _begin(self) -> None:
        self.inverse = torch.eye(self.best.shape[-1]).to(self.best).repeat(len(self.best), 1, 1)
        self.fresh = torch.ones_like(self.active)
        super()._begin()

    def _turn(self, step: Tensor, change: Tensor, rows: Tensor) -> None:
        step, change, taken = self._pair(step, change, rows)
        product = torch.where(taken, dot(step, change), 1.0).unsqueeze(-1)
        first = (taken & self.fresh).unsqueeze(-1)
        scale = torch.where(first, product / torch.where(first, dot(change, change).unsqueeze(-1), 1.0), 1.0)
        self.fresh = self.fresh & ~taken
        turned = scale * (self.inverse @ change.unsqueeze(-1)).squeeze(-1)
        # The update is step other' + other step'.
        other = (0.5 * (1 + dot(change, turned).unsqueeze(-1) / product) * step - turned) / product
        left, right = torch.stack([step, other], dim=-1), torch.stack([other, step], dim=-2)
        self.inverse.mul_(scale.unsqueeze(-1)).baddbmm_(left, right)
        self._aim((self.inverse @ self.gradient.unsqueeze(-1)).squeeze(-1), rows)
