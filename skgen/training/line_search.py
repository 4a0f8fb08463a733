"""How far to go along a line, and which way Newton's method goes: functions behind the line-search solvers."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

EVALUATIONS = 26
"""Largest number of trials of one search."""
DECREASE = 1e-4
"""Share of the decrease that the first slope promises which a step has to reach."""
ROUNDING = 4
"""Units in the last place by which two losses may differ from rounding alone."""
LONGEST = 100.0
"""Largest factor between one trial and the next."""
FLATTEST = 1e-8
"""Cosine between a direction and its product with the Hessian below which there is no curvature to speak of."""


class Trial(NamedTuple):
    """A point on a line: how far along, the loss and its slope along the line, and the loss's gradient."""

    step: float
    loss: float
    slope: float
    gradient: Tensor

    @property
    def inside(self) -> bool:
        """Whether the loss and its slope are finite numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.slope)


def strong_wolfe(
    evaluate: Callable[[float], Trial], start: Trial, step: float, *, curvature: float, refine: bool = False
) -> Trial | None:
    """A point with the strong Wolfe conditions on a line, or at least with a lower loss.

    With the loss f and its slope f' on the line, the point t satisfies, up to rounding of the losses,

        f(t) <= f(0) + 1e-4 t f'(0)   and   |f'(t)| <= curvature |f'(0)|.

    Trials enclose such a point and shrink the interval (Nocedal and Wright 2006, Numerical Optimization, algorithms
    3.5 and 3.6) by secants of the slope, which are exact for quadratics. Outside the domain the loss is infinite or
    NaN, and the next trial is nearer. Where losses differ by no more than rounding, the slopes decide alone.

    Parameters
    ----------
    evaluate : callable
        The trial at a step.
    start : Trial
        At step 0, with a negative slope.
    step : float
        The first step to try, positive.
    curvature : float
        Share of the first slope that may remain.
    refine : bool
        Whether one secant follows even if the first trial is acceptable.

    Returns
    -------
    Trial or None
        None if no trial has a lower loss; then nothing can be gained on this line.
    """
    noise = ROUNDING * torch.finfo(start.gradient.dtype).eps * abs(start.loss)
    before, low, high = start, start, None
    for i in range(EVALUATIONS):
        trial = evaluate(step)
        if not trial.inside or trial.loss > min(start.loss + DECREASE * step * start.slope, low.loss) + noise:
            high = trial
        else:
            if trial.slope * (1.0 if high is None else high.step - low.step) >= 0:
                high = low
            before, low = low, trial
        if abs(low.slope) <= curvature * abs(start.slope) and i >= refine:
            return low
        step = _beyond(before, low) if high is None else _between(low, high, i)
        if step == low.step:
            break
    flat = low is not start and abs(low.slope) <= curvature * abs(start.slope)
    return low if flat or low.loss < start.loss else None


def _beyond(before: Trial, low: Trial) -> float:
    """A longer step than any so far."""
    rise = low.slope - before.slope
    secant = -low.slope * (low.step - before.step) / rise if rise > 0 else 9 * low.step
    return low.step + min(secant, (LONGEST - 1) * low.step)


def _between(low: Trial, high: Trial, i: int) -> float:
    """A step between the best and another end of an interval, after trial ``i``."""
    width = high.step - low.step
    if not high.inside:
        share = 0.2
    elif i % 3 == 2:
        # Halving guards against secants that creep; while nothing lower has been found, the scale is unknown.
        share = 0.5 if low.step else 0.05
    elif low.slope * high.slope < 0:
        share = low.slope / (low.slope - high.slope)
        # The first is not kept away from the ends, since a parabola's may be anywhere.
        share = min(max(share, 0.1), 0.9) if i else share
    else:
        # The parabola with the loss and slope of the one end and the loss of the other.
        bend = high.loss - low.loss - low.slope * width
        share = min(max(-0.5 * low.slope * width / bend, 0.1), 0.9) if bend > 0 else 0.5
    return low.step + share * width


def hessian_product(gradient: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> Tensor:
    """The Hessian times a direction by a central difference of gradients, in float64 to about ten digits.

    Parameters
    ----------
    gradient : callable
        The gradient at a point, (n,) to (n,); not finite outside the domain.
    point, direction : Tensor of shape (n,)
        The direction is not zero.
    """
    scale = torch.finfo(point.dtype).eps ** (1 / 3) * (1 + torch.linalg.vector_norm(point))
    step = scale / torch.linalg.vector_norm(direction)
    ahead, behind = gradient(point + step * direction), gradient(point - step * direction)
    return (ahead - behind).div_(2 * step)


def newton_direction(
    product: Callable[[Tensor], Tensor], gradient: Tensor, *, tolerance: float, n_iterations: int
) -> Tensor:
    """A direction d of descent with H d = -g up to ``tolerance`` |g|, by conjugate gradients.

    They stop early at a direction along which the Hessian has no positive curvature, or none that can be measured
    (Steihaug 1983; Toint 1981). What has been found until then lowers the loss, and so does that direction: their sum
    is returned, for a line search to find out how far it goes down.

    Parameters
    ----------
    product : callable
        The Hessian times a vector, (n,) to (n,).
    gradient : Tensor of shape (n,)
        Not zero.
    tolerance : float
    n_iterations : int
        Largest number of products.
    """
    direction, residual = torch.zeros_like(gradient), -gradient
    conjugate, square = residual, torch.dot(residual, residual)
    limit = tolerance**2 * square
    for _ in range(n_iterations):
        curved = product(conjugate)
        bend = torch.dot(conjugate, curved)
        if not bend > FLATTEST * torch.linalg.vector_norm(conjugate) * torch.linalg.vector_norm(curved):
            return direction + conjugate
        length = square / bend
        direction = direction + length * conjugate
        residual = residual - length * curved
        previous, square = square, torch.dot(residual, residual)
        if square <= limit:
            break
        conjugate = residual + (square / previous) * conjugate
    return direction
