"""Posteriors of rows beyond what the encoder gives: refined at the noise that scores share."""

from functools import partial

import torch

from skgen._trace import differentiated
from skgen.estimators._arrays import tile_size
from skgen.training.row_search import ROW_SOLVERS, refine

HELD = 4
"""Times as much as in inference that is held of a row and draw where gradients are taken."""


def lower_bound(model, x, noise, condition=None):
    """The function from posterior parameters to each row's evidence lower bound at some noise, with its gradient."""

    def bound(parameters):
        terms = model.terms_given(parameters, x, noise, condition)
        return terms.mean_log_likelihood() - terms.kl_per_row()

    return partial(differentiated, bound)


def tiled(function, model, n_draws, x, *rows, width=0):
    """Apply a function that takes gradients to tensors of rows, tile by tile, in inference mode too.

    ``width`` counts what the function holds of a row beside the draws.
    """
    size = tile_size(HELD * n_draws * model.width + width, x.itemsize)
    with torch.inference_mode(False), torch.no_grad():
        # Tensors that were made in inference mode cannot be differentiated through, copies of them can.
        parts = zip(*(each.split(size) for each in (x, *rows)), strict=True)
        return torch.cat([function(*(each.clone() for each in part)) for part in parts])


def refined(model, x, parameters, noise, condition=None, *, n_steps, solver="lbfgs", learning_rate=1e-2):
    """Parameters of q(z | x) of standardised rows, raised from some by at most ``n_steps`` steps, tile by tile.

    ``parameters`` are (rows, n_parameters), or (n_starts, rows, n_parameters), of which each row begins at its best.
    ``noise`` (draws, 1, n_noise) is shared by the rows. ``solver`` is one of
    :data:`~skgen.training.row_search.ROW_SOLVERS`, and ``learning_rate`` that of ``"adam"`` and ``"sgd"``.
    """
    starts = parameters if parameters.dim() == 3 else parameters.unsqueeze(0)
    given = (x,) if condition is None else (x, condition)

    def found(*tile):
        seen, start, block = tile[: len(given)], torch.stack(tile[len(given) :]), noise.clone()

        def bound(x, condition=None):
            return lower_bound(model, x, block, condition)

        def select(chosen):
            return bound(*(each[chosen] for each in seen))

        options = {"n_steps": n_steps, "solver": solver, "learning_rate": learning_rate}
        return refine(bound(*seen), start, **options, select=select)

    return tiled(found, model, len(noise), *given, *starts, width=ROW_SOLVERS[solver].width(starts.shape[-1]))
