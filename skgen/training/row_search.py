"""Parameters of each row's posterior, climbed from where an encoder puts them."""

from collections.abc import Callable

import torch
from torch import Tensor

Bound = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Parameters (batch, n_parameters) to the bound of each row (batch,) and its gradient (batch, n_parameters)."""

MEMORY = 8
"""Steps that the curvature of a row is taken from."""
SUFFICIENT = 1e-4
"""Share of the rise that the gradient promises which a step has to bring."""
SMALLEST_STEP = 2.0**-20
"""Share of a direction below which a row gives up."""
SMALLEST_COSINE = 1e-8
"""Of a step and the change of the gradient over it, below which they tell no curvature."""


class _Curvature:
    """Steps and changes of gradients of each row, newest last: what stands for its inverse Hessian (L-BFGS)."""

    def __init__(self, like: Tensor) -> None:
        self.steps = like.new_zeros(MEMORY, *like.shape)
        self.changes = torch.zeros_like(self.steps)
        self.inverse = like.new_zeros(MEMORY, len(like))  # 1 / (step . change), 0 for a place that is empty
        self.scale = like.new_ones(len(like))

    def take(self, step: Tensor, change: Tensor, rows: Tensor) -> None:
        """Remember a step of some rows, where the bound is concave along it."""
        product, size = (step * change).sum(-1), change.norm(dim=-1)
        rows = rows & (product > SMALLEST_COSINE * step.norm(dim=-1) * size)
        safe = torch.where(rows, product, 1.0)
        new = step, change, 1 / safe
        for kept, entry in zip((self.steps, self.changes, self.inverse), new, strict=True):
            moved = torch.cat([kept[1:], entry.unsqueeze(0)])
            kept.copy_(torch.where(rows.view(-1, *[1] * (kept.dim() - 2)), moved, kept))
        self.scale = torch.where(rows, safe / torch.where(rows, size.square(), 1.0), self.scale)

    def direction(self, gradient: Tensor) -> Tensor:
        """The inverse of minus the Hessian times the gradient (Liu and Nocedal 1989)."""
        places = list(zip(self.steps, self.changes, self.inverse, strict=True))
        shares = []
        for step, change, inverse in reversed(places):
            shares.append(inverse * (step * gradient).sum(-1))
            gradient = gradient - shares[-1].unsqueeze(-1) * change
        direction = self.scale.unsqueeze(-1) * gradient
        for (step, change, inverse), share in zip(places, reversed(shares), strict=True):
            back = share - inverse * (change * direction).sum(-1)
            direction = direction + back.unsqueeze(-1) * step
        return direction


def refine(bound: Bound, start: Tensor, *, n_steps: int, largest_move: float = 1.0, tol: float = 1e-6) -> Tensor:
    """Raise a bound of each row by quasi-Newton steps, as if each row were alone.

    Step size, curvature, clipping and stopping belong to the row, so that its result does not depend on the others
    (up to rounding), and no row ends below where it began. A step that does not raise a row's bound by a share of what
    its gradient promises is undone, and the next one is half as long.

    Parameters
    ----------
    bound : callable
        Parameters to values and gradients; rows must not depend on each other.
    start : Tensor of shape (batch, n_parameters)
    n_steps : int
        Evaluations of the bound after the first.
    largest_move : float
        Length of the longest step of a row; longer ones are shortened to it.
    tol : float
        Promised rise, in nats, below which a row stops.

    Returns
    -------
    Tensor of shape (batch, n_parameters)

    References
    ----------
    Kim et al. (2018), Semi-amortized variational autoencoders, https://arxiv.org/abs/1802.02550.
    """
    parameters = start
    value, gradient = bound(parameters)
    curvature = _Curvature(start)
    share, active = torch.ones_like(value), torch.isfinite(value)
    for _ in range(n_steps):
        direction = curvature.direction(gradient)
        direction = torch.where(((direction * gradient).sum(-1) > 0).unsqueeze(-1), direction, gradient)
        length = direction.norm(dim=-1, keepdim=True)
        direction = direction * (largest_move / length.clamp_min(largest_move))
        promise = (direction * gradient).sum(-1)
        active = active & (promise > tol) & (share >= SMALLEST_STEP)
        if not bool(active.any()):
            break
        step = torch.where(active, share, 0.0).unsqueeze(-1) * direction
        new_value, new_gradient = bound(parameters + step)
        # False for values that are not finite.
        risen = active & (new_value >= value + SUFFICIENT * share * promise) & torch.isfinite(new_value)
        curvature.take(step, gradient - new_gradient, risen)
        parameters = torch.where(risen.unsqueeze(-1), parameters + step, parameters)
        gradient = torch.where(risen.unsqueeze(-1), new_gradient, gradient)
        value = torch.where(risen, new_value, value)
        share = torch.where(risen, torch.ones_like(share), 0.5 * share)
    return parameters
