"""The latent rows that rows of a generator come from, found by search."""

from functools import partial

import torch

from skgen._trace import differentiated
from skgen.distributions.mean_discrepancy import squared_distances
from skgen.distributions.normal import sobol_normal
from skgen.estimators._adversarial import drawn_rows
from skgen.training.row_search import refine

MOST_ROWS, MOST_NUMBERS = 64, 2**21
"""Rows that are searched for at once, and numbers that their networks hold: more would leave the cache."""
N_STARTS = 512
"""Latent rows that a search may start from."""
NOISE = 0.1
"""Standard deviation, in that of the columns, of what the generator leaves unexplained of a row."""


def log_joint(model, x, z, condition):
    """log p(z) + log p(x | z) with normal noise, up to a constant, for each row."""
    error = (x - model.drawn(z, condition)).square().sum(-1) / NOISE**2
    return -0.5 * (error + z.square().sum(-1))


class Inversion:
    """Finds modes of z given standardised rows, each row by itself, from the best of latent rows that all share.

    Parameters
    ----------
    model : AdversarialModel
    n_classes : int
        Number of classes, 0 for a model without.
    n_steps : int
        Steps of the search.
    seed : int
        Of the latent rows to start from.

    Attributes
    ----------
    n_rows : int
        Rows to pass at once: always so many, since products of other shapes round otherwise.
    """

    def __init__(self, model, n_classes, n_steps, seed):
        self.model, self.n_steps = model, n_steps
        self.n_rows = max(1, min(MOST_ROWS, MOST_NUMBERS // model.width))
        self.conditions = [None] if n_classes == 0 else list(torch.eye(n_classes).to(model.scale))
        self.starts = sobol_normal(N_STARTS, model.n_latent, seed).to(model.scale)
        with torch.no_grad():
            self.drawn = [drawn_rows(model, self.starts, self._all(N_STARTS, each)) for each in self.conditions]

    @staticmethod
    def _all(n_rows, condition):
        return None if condition is None else condition.expand(n_rows, -1)

    def __call__(self, x, codes=None):
        """Latent rows of rows of the classes with such numbers, or else of the class that fits a row best."""
        with torch.no_grad():
            parts = [self._found(x, *given) for given in zip(self.conditions, self.drawn, strict=True)]
        latent, values = (torch.stack(part) for part in zip(*parts, strict=True))
        return latent[values.argmax(0) if codes is None else codes, torch.arange(len(x))]

    def _found(self, x, condition, drawn):
        """Latent rows of rows of one class, and the logarithms of their joint density."""
        distances = squared_distances(x, drawn) / NOISE**2
        start = self.starts[(distances + self.starts.square().sum(1)).argmin(1)]
        value = partial(log_joint, self.model, x, condition=self._all(len(x), condition))
        z = refine(partial(differentiated, value), start, n_steps=self.n_steps)
        return z, value(z)
