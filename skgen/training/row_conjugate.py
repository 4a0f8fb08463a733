"""Methods that climb each row along conjugate directions: of the function itself, or for Newton's steps."""

import torch
from torch import Tensor

from skgen.training.row_directions import LineSearch, curved
from skgen.training.row_methods import by_row, dot

SLOPE_LEFT, OVERLAP, LONGEST = 0.1, 0.2, 4.0
"""Share of the slope that a search along a line may leave; share of the gradient along the one before it that calls for
a new beginning; largest factor between one step on a line and the next."""


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

    def ask(self) -> Tensor:
        points = super().ask()
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
