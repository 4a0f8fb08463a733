"""What is recorded of a Boltzmann machine after every epoch, on rows that stay the same."""

import numpy as np
import torch

from skgen.estimators._arrays import as_tensor, tiles

UNITS = 2**22
"""Hidden units evaluated for one value of the pseudo-likelihood, which takes one per row, column and hidden unit."""
VALIDATION_SHARE = 8
"""How many times as many for validation rows, which decide when to stop."""
FEWEST_ROWS = 10
MOST_ROWS = 500


class WatchedRows:
    """Some rows, encoded and standardised, and their shares."""

    def __init__(self, estimator, X, weight, model, *, units, seed):
        n_units = max(1, model.weight.numel())
        n_rows = int(np.clip(units // n_units, FEWEST_ROWS, MOST_ROWS))
        rows, weight = _chosen(X, weight, n_rows, seed)
        prepare = estimator._standardizer(rows)
        self.v = (rows if prepare is None else prepare(rows)).to(model.weight)
        self.weight = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64) if weight is None else weight

    def mean(self, function):
        """Mean of a function of visible states with one value per row."""
        parts = [function(self.v[tile]).double().cpu() for tile in tiles(len(self.v), 1)]
        return float(torch.cat(parts) @ self.weight)


def _chosen(X, weight, n_rows, seed):
    """At most so many rows, as a tensor, with their shares, None for equal ones."""
    if len(X) <= n_rows:
        return as_tensor(X[:]), None if weight is None else torch.from_numpy(weight / weight.sum())
    random = np.random.RandomState(seed)
    share = None if weight is None else weight / weight.sum()
    index = np.sort(random.choice(len(X), n_rows, p=share))
    rows = X[index]
    return as_tensor(rows if isinstance(rows, np.ndarray) else rows[:]), None


def monitor(estimator, loss, data, validation, model, seed):
    """A function that gives the record of the parameters in force."""
    training = WatchedRows(estimator, *data, model, units=UNITS, seed=seed)
    held = None
    if validation is not None:
        held = WatchedRows(estimator, *validation, model, units=VALIDATION_SHARE * UNITS, seed=seed)

    def measures():
        loss.project()
        with torch.no_grad():
            found = {"pseudo_log_likelihood": training.mean(lambda v: estimator._pseudo(model, v))}
            if held is not None:
                found["validation_pseudo_log_likelihood"] = held.mean(lambda v: estimator._pseudo(model, v))
                found["free_energy_gap"] = held.mean(model.free_energy) - training.mean(model.free_energy)
        return found

    return measures
