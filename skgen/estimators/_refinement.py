"""Posteriors of rows beyond what the encoder gives: refined at the noise that scores share."""

from functools import partial

import torch

from skgen.estimators._arrays import tile_size
from skgen.samplers.langevin import differentiated
from skgen.training.row_search import refine

HELD = 4
"""Times as much as in inference that is held of a row and draw where gradients are taken."""


def lower_bound(model, x, noise, condition=None):
    """The function from posterior parameters to each row's evidence lower bound at some noise, with its gradient."""

    def bound(parameters):
        terms = model.terms_given(parameters, x, noise, condition)
        return terms.mean_log_likelihood() - terms.kl_per_row()

    return partial(differentiated, bound)


def refined(model, x, parameters, noise, n_steps, condition=None):
    """Parameters of q(z | x) of standardised rows, raised from some by at most ``n_steps`` steps, tile by tile.

    ``noise`` (draws, 1, n_noise) is shared by the rows. Works in inference mode too, which has no gradients.
    """
    size = tile_size(HELD * len(noise) * model.width, x.itemsize)
    parts = []
    with torch.inference_mode(False):
        noise = noise.clone()  # tensors that were made in inference mode cannot be differentiated through
        for start in range(0, len(x), size):
            tile = slice(start, start + size)
            given = None if condition is None else condition[tile].clone()
            bound = lower_bound(model, x[tile].clone(), noise, given)
            parts.append(refine(bound, parameters[tile].clone(), n_steps=n_steps))
    return torch.cat(parts)
