"""Training of a network to predict classes: the loss, its batches, and what is measured."""

import functools

import torch

from skgen.estimators._arrays import as_tensor, tile_size
from skgen.estimators._data import mean_over_rows, shares
from skgen.estimators._loss import Loss


class SoftmaxLoss(Loss):
    """Minus the weighted mean log-probability of the classes of a batch, with its gradient.

    Parameters
    ----------
    model : SoftmaxClassifier
    low_precision : bool
        Whether products of matrices may be taken in bfloat16.
    """

    monitor = "log_likelihood"

    def __init__(self, model, *, low_precision):
        self.trace = model.tracer(low_precision=low_precision)
        self.tile = tile_size(model.width, model.scale.itemsize)

    def __call__(self, batch, generator):
        share = torch.full_like(batch.x[:, 0], 1 / len(batch.x))
        share = share if batch.weight is None else share * batch.weight
        values = []
        for start in range(0, len(batch.x), self.tile):
            part = slice(start, start + self.tile)
            value, pullback = self.trace(batch.x[part], batch.target[part], generator)
            pullback(-share[part])
            values.append(value)
        mean = functools.cache(lambda: share @ torch.cat(values))
        return lambda: {self.monitor: mean()}, lambda: -mean()


def mean_log_prob(model, X, target, weight, standardize):
    """A function that computes the mean log-probability of the classes of some rows."""
    rows = as_tensor(X[:])
    x = (rows if standardize is None else standardize(rows)).to(model.scale)
    target = as_tensor(target).to(x.device)
    share = shares(weight, len(x))
    return lambda: mean_over_rows(lambda part: model.log_prob(x[part], target[part]), share, model.width)
