"""What is recorded of a Boltzmann machine after every epoch, on rows that stay the same."""

import numpy as np
import torch

from skgen.estimators._arrays import as_tensor
from skgen.estimators._data import mean_over_rows, shares
from skgen.models.pseudo_likelihood import NODES, pseudo_log_likelihood, takes_quadrature

UNITS = 2**22
"""Hidden units evaluated for one value of the pseudo-likelihood, which takes one per row, column and hidden unit."""
QUADRATURE_UNITS = 2**19, 2**24
"""Fewest and most where each column is a quadrature, so that the value takes a small share of an epoch's time."""
QUADRATURE_SHARE = 1 / 512
"""Their number in between, as a share of the rows, columns and hidden units of an epoch."""
VALIDATION_SHARE = 8
"""How many times as many for validation rows, which decide when to stop."""
FEWEST_ROWS = 10
MOST_ROWS = 500
ROWS_IN_PART = 50
"""Rows that are watched in some of their columns where there are too many columns for all of them."""


class WatchedRows:
    """Some rows, encoded and standardised.

    Attributes
    ----------
    v : Tensor of shape (n_rows, n_visible)
    share : Tensor of shape (n_rows,)
        Shares of the rows in a mean.
    columns : Tensor of shape (n_rows, n_columns) or None
        Columns of each row that stand for all of them; None where all are evaluated.
    """

    def __init__(self, estimator, X, weight, model, *, times, seed):
        n_hidden, n_visible = model.weight.shape
        n_cells, n_columns = times * _affordable(model, len(X)) // n_hidden, n_visible
        n_rows = int(np.clip(n_cells // n_visible, FEWEST_ROWS, MOST_ROWS))
        if takes_quadrature(model) and n_cells < n_visible * min(FEWEST_ROWS, len(X)):
            n_rows = times * ROWS_IN_PART
            n_columns = int(np.clip(n_cells // min(n_rows, len(X)), 1, n_visible))
        rows, self.share = _chosen(X, weight, n_rows, seed)
        prepare = estimator._standardizer(rows)
        self.v = (rows if prepare is None else prepare(rows)).to(model.weight)
        self.columns = None
        if n_columns < n_visible:
            self.columns = _some_columns(len(rows), n_columns, n_visible, seed).to(self.v.device)

    def mean(self, function):
        """Mean of a function of visible states with one value per row."""
        return mean_over_rows(lambda part: function(self.v[part]), self.share, self.v.shape[1])

    def pseudo_log_likelihood(self, model):
        """Mean over rows, in the units of X."""

        def values(part):
            columns = None if self.columns is None else self.columns[part]
            return pseudo_log_likelihood(model, self.v[part], columns) + model.log_jacobian

        return mean_over_rows(values, self.share, self.v.shape[1])


def _affordable(model, n_rows):
    """Hidden units that are evaluated for one value, nodes of a quadrature counted as one."""
    if not takes_quadrature(model):
        return UNITS
    return int(np.clip(QUADRATURE_SHARE * n_rows * model.weight.numel(), *QUADRATURE_UNITS)) // NODES


def _some_columns(n_rows, n_columns, n_visible, seed):
    """Columns for each of some rows, at random, all of them as often as can be."""
    random = np.random.RandomState(seed)
    n_rounds = -(-n_rows * n_columns // n_visible)
    numbers = np.concatenate([random.permutation(n_visible) for _ in range(n_rounds)])
    return torch.from_numpy(numbers[: n_rows * n_columns].reshape(n_rows, n_columns))


def _chosen(X, weight, n_rows, seed):
    """At most so many rows, as a tensor, and their shares."""
    if len(X) <= n_rows:
        return as_tensor(X[:]), shares(weight, len(X))
    random = np.random.RandomState(seed)
    share = None if weight is None else weight / weight.sum()
    index = np.sort(random.choice(len(X), n_rows, p=share))
    rows = X[index]
    return as_tensor(rows if isinstance(rows, np.ndarray) else rows[:]), shares(None, n_rows)


def monitor(estimator, loss, data, validation, model, seed):
    """A function that gives the record of the parameters in force."""
    training = WatchedRows(estimator, *data, model, times=1, seed=seed)
    held = None
    if validation is not None:
        held = WatchedRows(estimator, *validation, model, times=VALIDATION_SHARE, seed=seed)

    def measures():
        loss.project()
        found = {"pseudo_log_likelihood": training.pseudo_log_likelihood(model)}
        if held is not None:
            found["validation_pseudo_log_likelihood"] = held.pseudo_log_likelihood(model)
            found["free_energy_gap"] = held.mean(model.free_energy) - training.mean(model.free_energy)
        return found

    return measures
