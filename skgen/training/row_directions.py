"""Methods that choose a direction for each row and how far to go along it."""

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
SLOPE_LEFT, OVERLAP, LONGEST = 0.1, 0.2, 4.0
"""Of conjugate gradients: share of the slope that a search along a line may leave; share of the gradient along the one
before that calls for a new beginning; largest factor between one step on a line and the next."""


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

    def points(self) -> Tensor:
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
        self.best = by_row(risen, self.best + self.step, self.best)
        self.gradient = by_row(risen, gradient, self.gradient)
        self.value = torch.where(risen, value, self.value)
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


class ConjugateGradients(LineSearch):
    """Nonlinear conjugate gradients, with secants along each line.

    The direction is that of Polak and Ribiere with a factor of at least 0, and the gradient's where successive
    gradients are far from orthogonal. A step tells the slope at its end; while much is left of the slope at the line's
    beginning, the next step follows the same line, forward or back, to where the slope would be 0.

    References
    ----------
    Gilbert and Nocedal (1992), Global convergence properties of conjugate gradient methods,
    https://doi.org/10.1137/0802003; Powell (1977), Restart procedures, https://doi.org/10.1007/BF01593790.
    """

    def _begin(self) -> None:
        super()._begin()
        self.conjugate = self.origin = self.gradient
        self.slope = self._steepness(self.gradient)
        self.bend = torch.ones_like(self.value)
        """Minus the second derivative along the last line, for a step of length 1."""

    def _steepness(self, direction: Tensor) -> Tensor:
        """Slope along a direction."""
        norm = torch.linalg.vector_norm(direction, dim=-1).clamp_min(torch.finfo(direction.dtype).tiny)
        steepness: Tensor = dot(direction, self.gradient) / norm
        return steepness

    def _turn(self, step: Tensor, change: Tensor, rows: Tensor) -> None:
        concave = rows & curved(step, change)
        product = torch.where(concave, dot(step, change), 1.0)
        self.bend = torch.where(concave, product / torch.where(concave, dot(step, step), 1.0), self.bend)
        after = dot(step, self.gradient)
        onward = torch.where(concave, after / product, LONGEST).clamp_max(LONGEST).unsqueeze(-1) * step
        left = self._steepness(step).abs() > SLOPE_LEFT * self.slope
        same = rows & left & (dot(onward, self.gradient) > self.threshold)
        self._aim(by_row(same, onward, self._next_line(rows & ~same)), rows)

    def _next_line(self, rows: Tensor) -> Tensor:
        """The first step along a new line, as long as the curvature of the last one suggests."""
        square, overlap = dot(self.gradient, self.gradient), dot(self.gradient, self.origin)
        anew = overlap.abs() > OVERLAP * square
        factor = ((square - overlap) / dot(self.origin, self.origin)).clamp_min(0.0).masked_fill(anew, 0.0)
        direction = torch.addcmul(self.gradient, factor.unsqueeze(-1), self.conjugate)
        direction = by_row(dot(direction, self.gradient) > 0, direction, self.gradient)
        self.conjugate = by_row(rows, direction, self.conjugate)
        self.origin = by_row(rows, self.gradient, self.origin)
        self.slope = torch.where(rows, self._steepness(direction), self.slope)
        length = dot(direction, self.gradient) / (self.bend * dot(direction, direction))
        return length.unsqueeze(-1) * direction


class TruncatedNewton(LineSearch):
    """Newton's steps, from products with the Hessian by linear conjugate gradients that end early.

    A product is a difference of two gradients, so that it costs one evaluation. The nearer the maximum, the more of
    them a step takes. Each row is at its own place of its own step.

    References
    ----------
    Dembo and Steihaug (1983), Truncated-Newton algorithms for large-scale unconstrained optimization,
    https://doi.org/10.1007/BF02592055.
    """

    @staticmethod
    def width(n_parameters: int) -> int:
        return 20 * n_parameters

    def _begin(self) -> None:
        super()._begin()  # finds rows that are at their maximum already
        zero = torch.zeros_like(self.value)
        self.solution = self.residual = self.conjugate = torch.zeros_like(self.best)
        self.square, self.goal, self.n_products = zero, zero, zero
        self.probing = torch.zeros_like(self.active)
        self._turn(self.step, self.step, self.active)

    def _turn(self, step: Tensor, change: Tensor, rows: Tensor) -> None:
        """Begin the search for a direction; a row that has its goal at once would not have risen."""
        square = dot(self.gradient, self.gradient)
        tolerance = square.sqrt().clamp(1e-8, 0.5)
        self.solution = by_row(rows, torch.zeros_like(self.solution), self.solution)
        self.residual = by_row(rows, self.gradient, self.residual)
        self.conjugate = by_row(rows, self.gradient, self.conjugate)
        self.square = torch.where(rows, square, self.square)
        self.goal = torch.where(rows, tolerance.square() * square, self.goal)
        self.n_products = self.n_products.masked_fill(rows, 0.0)
        self.probing = self.probing | rows

    def points(self) -> Tensor:
        points = super().points()
        return by_row(self.active & self.probing, self.best + self._probe() * self.conjugate, points)

    def _probe(self) -> Tensor:
        """How far to go for a difference of gradients, in lengths of the vector that is multiplied.

        The truncation of a one-sided difference costs less than an early end does. A shorter way would turn rounding,
        in which a row may differ from batch to batch, into more of the product.
        """
        eps = torch.finfo(self.best.dtype).eps
        far: Tensor = eps**0.25 * (1 + torch.linalg.vector_norm(self.best, dim=-1, keepdim=True))
        length: Tensor = torch.linalg.vector_norm(self.conjugate, dim=-1, keepdim=True)
        return far / length.clamp_min(eps**2)

    def tell(self, value: Tensor, gradient: Tensor) -> None:
        probing = self.active & self.probing
        self._judge(value, gradient, self.active & ~self.probing)
        self._multiplied(gradient, probing)

    def _multiplied(self, gradient: Tensor, rows: Tensor) -> None:
        """One iteration of conjugate gradients for the rows whose product with the Hessian is known now."""
        product = (self.gradient - gradient) / self._probe()
        concave, bend = curved(self.conjugate, product), dot(self.conjugate, product)
        # As far where the function is convex as if it were concave as much, and at most as far as is allowed.
        allowed = self.settings.largest_move / torch.linalg.vector_norm(self.conjugate, dim=-1)
        length = torch.where(concave, self.square / bend, torch.minimum(self.square / bend.abs(), allowed))
        length = torch.where(torch.isfinite(length), length, allowed).unsqueeze(-1)
        solution = self.solution + length * self.conjugate
        residual = self.residual - length * product
        square = dot(residual, residual)
        self.n_products = self.n_products + rows
        done = ~concave | (square <= self.goal) | (self.n_products >= solution.shape[-1])
        conjugate = torch.addcmul(residual, (square / self.square).unsqueeze(-1), self.conjugate)
        self.solution = by_row(rows, solution, self.solution)
        self.residual, self.conjugate = by_row(rows, residual, self.residual), by_row(rows, conjugate, self.conjugate)
        self.square = torch.where(rows, square, self.square)
        self.probing = self.probing & ~(rows & done)
        self._aim(self.solution, rows & done)
