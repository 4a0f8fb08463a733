"""Posteriors of rows beyond what the encoder gives: refined at the noise that scores share."""

from functools import partial

import torch

from skgen._trace import differentiated
from skgen.estimators._arrays import tile_size
from skgen.training.row_search import ROW_SOLVERS, refine_from

HELD = 4
"""Times as much as in inference that is held of a row and draw where gradients are taken."""


def lower_bound(model, x, noise, condition=None):
    """The function from posterior parameters to each row's evidence lower bound at some noise, with its gradient."""

    def bound(parameters):
        terms = model.terms_given(parameters, x, noise, condition)
        return terms.mean_log_likelihood() - terms.kl_per_row()

    return partial(differentiated, bound)


def refined(model, x, parameters, noise, n_steps, condition=None, *, solver="lbfgs", learning_rate=1e-2):
    """Parameters of q(z | x) of standardised rows, raised from some by at most ``n_steps`` steps, tile by tile.

    ``parameters`` are (rows, n_parameters), or (n_starts, rows, n_parameters), of which each row begins at its best.
    ``noise`` (draws, 1, n_noise) is shared by the rows. ``solver`` is one of
    :data:`~skgen.training.row_search.ROW_SOLVERS`, and ``learning_rate`` that of ``"adam"`` and ``"sgd"``. Works in
    inference mode too, which has no gradients.
    """
    starts = parameters if parameters.dim() == 3 else parameters.unsqueeze(0)
    held = HELD * len(noise) * model.width + ROW_SOLVERS[solver].width(starts.shape[-1])
    size = tile_size(held, x.itemsize)
    parts = []
    with torch.inference_mode(False):
        noise = noise.clone()  # tensors that were made in inference mode cannot be differentiated through
        for first in range(0, len(x), size):
            tile = slice(first, first + size)
            rows, given = x[tile].clone(), None if condition is None else condition[tile].clone()

            def select(chosen, rows=rows, given=given):
                return lower_bound(model, rows[chosen], noise, None if given is None else given[chosen])

            bound = lower_bound(model, rows, noise, given)
            options = {"n_steps": n_steps, "solver": solver, "learning_rate": learning_rate, "select": select}
            parts.append(refine_from(bound, starts[:, tile].clone(), **options))
    return torch.cat(parts)
