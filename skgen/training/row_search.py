"""Maxima of functions of each row, such as the parameters of its posterior, climbed as if the row were alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from skgen.training.row_conjugate import ConjugateGradients, TruncatedNewton
from skgen.training.row_directions import BFGS, LBFGS
from skgen.training.row_methods import Adam, GradientAscent, RowMethod, Settings, by_row

Bound = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Parameters (batch, n_parameters) to the bound of each row (batch,) and its gradient (batch, n_parameters)."""

ROW_SOLVERS: dict[str, type[RowMethod]] = {
    "adam": Adam,
    "sgd": GradientAscent,
    "cg": ConjugateGradients,
    "newton-cg": TruncatedNewton,
    "bfgs": BFGS,
    "lbfgs": LBFGS,
}


def refine(
    bound: Bound,
    start: Tensor,
    *,
    n_steps: int,
    solver: str = "lbfgs",
    learning_rate: float = 1e-2,
    largest_move: float = 1.0,
    tol: float = 1e-6,
    select: Callable[[Tensor], Bound] | None = None,
) -> Tensor:
    """Raise a bound of each row, as if each row were alone.

    Direction, step size, curvature, moments and stopping belong to the row, so that its result does not depend on the
    others (up to rounding), and no row ends below where it began.

    Parameters
    ----------
    bound : callable
        Parameters to values, in nats, and gradients; rows must not depend on each other.
    start : Tensor of shape (batch, n_parameters) or (n_starts, batch, n_parameters)
        Where the rows begin; of several points each row takes the best. Those whose value is not finite are never
        chosen if there is another.
    n_steps : int
        Evaluations of the bound after those of the starts. A step takes one of ``"adam"`` and ``"sgd"``, mostly one of
        ``"lbfgs"`` and ``"bfgs"``, mostly two of ``"cg"``, and of ``"newton-cg"`` one more than it multiplies by the
        Hessian, which is at most ``n_parameters`` times.
    solver : {"adam", "sgd", "cg", "newton-cg", "bfgs", "lbfgs"}
        What gives the steps. ``"bfgs"`` holds n_parameters squared numbers per row.
    learning_rate : float
        Of ``"adam"`` and ``"sgd"``. They keep each row's best point, and halve the rate of a row that finds nothing
        better.
    largest_move : float
        Length of the longest step of a row; longer ones are shortened to it.
    tol : float
        Promised rise, in nats, below which a row stops.
    select : callable, default=None
        Numbers of rows, in increasing order, to the bound of these rows alone, so that rows that have stopped cost
        nothing.

    Returns
    -------
    Tensor of shape (batch, n_parameters)

    References
    ----------
    Kim et al. (2018), Semi-amortized variational autoencoders, https://arxiv.org/abs/1802.02550.
    """
    if solver not in ROW_SOLVERS:
        raise ValueError(f"solver must be one of {sorted(ROW_SOLVERS)}, got {solver!r}.")
    settings = Settings(learning_rate, largest_move, tol)
    starts = start if start.dim() == 3 else start.unsqueeze(0)
    search = ROW_SOLVERS[solver](*best_of(bound, starts), settings)
    return _climb(search, bound, n_steps, select)


def best_of(bound: Bound, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best of points (n_starts, batch, n_parameters) of each row, its value and its gradient.

    The first of equals; among points without a finite value, the first.
    """
    best = starts[0]
    value, gradient = bound(best)
    for start in starts[1:]:
        new_value, new_gradient = bound(start)
        better = torch.isfinite(new_value) & ~(torch.isfinite(value) & (value >= new_value))
        best, gradient = by_row(better, start, best), by_row(better, new_gradient, gradient)
        value = torch.where(better, new_value, value)
    return best, value, gradient


def _climb(search: RowMethod, bound: Bound, n_steps: int, select: Callable[[Tensor], Bound] | None) -> Tensor:
    found, rows = search.best.clone(), torch.arange(len(search.best), device=search.best.device)
    for _ in range(n_steps):
        n_active = int(search.active.sum())
        if n_active == 0:
            break
        # Not at every end of a row, since choosing rows costs something too.
        if select is not None and 2 * n_active <= len(rows):
            found[rows] = search.best
            going = search.active.nonzero().squeeze(-1)
            rows = rows[going]
            search.keep(going)
            bound = select(rows)
        search.tell(*bound(search.ask()))
    found[rows] = search.best
    return found
