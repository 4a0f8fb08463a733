"""Rows as the visible layer of a Boltzmann machine takes them: one class for each kind of visible unit."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from scipy.sparse import issparse

from skgen.distributions.normal import positive_scale
from skgen.estimators._arrays import RunningMoments, as_array, as_tensor, tiles
from skgen.estimators._categories import check_few, check_known, codes_of, distinct, lost_in_float32, one_hot
from skgen.estimators._data import column_names
from skgen.estimators._warnings import warn_user


class VisibleRows(ABC):
    """What a kind of visible unit makes of rows."""

    def checked(self, estimator, X):
        """Rows that the units take; NaN is left where it is."""
        return X

    def encode(self, rows):
        """Rows as a tensor, in the user's units or in columns that stand for them."""
        return rows

    def decode(self, rows):
        """The inverse of ``encode``, of means too."""
        return rows

    def clamp(self, known):
        """Mask of the encoded columns of a mask of columns."""
        return known

    def sizes(self, n_features):
        """What the units are built from."""
        return n_features

    def moments(self, before, X, weight):
        """Moments of the encoded columns with rows added to those before, None where there are none."""
        return (before or RunningMoments.empty(X.shape[1])).updated(X, weight)

    def start(self, moments, *, partial):
        """Means and standard deviations of the encoded columns that a machine starts with."""
        mean, between = moments.mean, self.between()
        if partial and between is not None:
            # A chunk may hold few rows: its frequencies are drawn to those of one row that is all in between.
            mean = (moments.count * mean + between) / (moments.count + 1)
        return torch.from_numpy(mean), torch.from_numpy(moments.scale)

    @abstractmethod
    def between(self):
        """Means of encoded columns of which nothing is known; None where all values are as good."""

    def center(self, mean):
        """Means of the features of the rows, about which a gradient is centred, from those of the encoded columns."""
        return torch.from_numpy(mean)

    def move(self, model, moments, old):
        """Make a fitted machine that of new moments, its law unchanged."""
        return


class RealRows(VisibleRows):
    """Real numbers, which are standardised."""

    def between(self):
        return

    def center(self, mean):
        return torch.zeros(len(mean))

    def move(self, model, moments, old):
        """Weights are those of features in standard deviations of the noise, which is what they stay.

        Where the machine has one scale for all columns, or a fixed one, it cannot follow the ratios of all.
        """
        shift, scale = torch.from_numpy(moments.mean), positive_scale(torch.from_numpy(moments.scale))
        revived = torch.from_numpy(old.constant & ~moments.constant)
        moved = (model.shift - shift) / (model.scale * torch.exp(model.log_scale))
        model.hidden_bias.sub_(model.weight @ torch.where(revived, 0, moved))
        bias = (model.visible_bias * model.scale + model.shift - shift) / scale
        model.visible_bias.copy_(torch.where(revived, 0, bias))
        if isinstance(model.log_scale, torch.nn.Parameter):
            log_ratio = torch.where(revived, -model.log_scale, torch.log(model.scale / scale))
            model.log_scale.add_(log_ratio if len(model.log_scale) > 1 else log_ratio.mean())
        model.shift.copy_(shift)
        model.scale.copy_(scale)


class BinaryRows(VisibleRows):
    """Probabilities, 0 and 1 most of all."""

    def between(self):
        return 0.5

    def checked(self, estimator, X):
        values = X.data if issparse(X) else X
        with np.errstate(invalid="ignore"):
            outside = (values < 0) | (values > 1)
        n_outside = np.count_nonzero(outside)
        if not n_outside:
            return X
        share = 100 * n_outside / max(1, X.shape[0] * X.shape[1])
        warn_user(
            f"Values of X outside [0, 1], {share:.3g} % of its cells, are clipped for visible='bernoulli'. Scale the "
            "columns to [0, 1], or choose visible='gaussian'."
        )
        if not issparse(X):
            return np.clip(X, 0, 1)
        X = X.copy()
        np.clip(X.data, 0, 1, out=X.data)
        return X


class CategoricalRows(VisibleRows):
    """Codes, each column with its own categories.

    Parameters
    ----------
    categories : list of ndarray of shape (n_categories,)
        Sorted codes of each column.
    """

    def __init__(self, categories):
        self.categories = categories

    @classmethod
    def learnt(cls, estimator, X, categories):
        """From the codes of rows, or from what the user says that they are."""
        X = X[:]
        if isinstance(categories, str):
            return cls([_distinct(estimator, X[:, i], i) for i in range(X.shape[1])])
        if len(categories) != X.shape[1]:
            raise ValueError(
                f"categories must have one list for each column of X, got {len(categories)} for {X.shape[1]} columns."
            )
        return cls([_named(estimator, known, i) for i, known in enumerate(categories)])

    def checked(self, estimator, X):
        if len(self.categories) != X.shape[1]:
            return X  # refused by its width
        dense = X.toarray() if issparse(X) else X
        for i, known in enumerate(self.categories):
            column = dense[:, i]
            if column.dtype == np.float32 and lost_in_float32(known):
                raise ValueError(
                    f"Column {_name(estimator, i)} of X has categories that float32 does not hold. Pass X in float64."
                )
            remedy = "name all categories by the parameter categories"
            check_known(column, codes_of(column, known), known, _name(estimator, i), remedy)
        return X

    def encode(self, rows):
        values = as_array(rows) if isinstance(rows, torch.Tensor) else rows
        columns = [one_hot(values[:, i], known) for i, known in enumerate(self.categories)]
        return as_tensor(np.concatenate(columns, axis=1).astype(values.dtype)).to(rows.device)

    def decode(self, rows):
        parts = rows.split([len(known) for known in self.categories], dim=-1)
        codes = [torch.from_numpy(k).to(rows)[p.argmax(-1)] for k, p in zip(self.categories, parts, strict=True)]
        return torch.stack(codes, dim=-1)

    def clamp(self, known):
        sizes = torch.tensor([len(categories) for categories in self.categories], device=known.device)
        return known.repeat_interleave(sizes, dim=-1)

    def between(self):
        sizes = np.array(self.sizes(None))
        return np.repeat(1 / sizes, sizes)

    def sizes(self, n_features):
        return [len(known) for known in self.categories]

    def moments(self, before, X, weight):
        width = sum(self.sizes(X.shape[1]))
        result = before or RunningMoments.empty(width)
        for tile in tiles(len(X), 16 * width):
            rows = as_array(self.encode(as_tensor(X[tile])))
            result = result.updated(rows, None if weight is None else weight[tile])
        return result


def _name(estimator, i):
    return column_names(estimator, np.arange(i + 1) == i)


def _named(estimator, known, i):
    """Categories of a column that the user has named."""
    try:
        codes = np.asarray(known, dtype=np.float64)
    except (TypeError, ValueError):
        codes = np.empty(0)
    if codes.ndim != 1 or not len(codes) or not np.isfinite(codes).all():
        raise ValueError(
            f"categories of column {_name(estimator, i)} must be a list of at least one finite number, got {known!r}."
        )
    return np.unique(codes)


def _distinct(estimator, column, i):
    found = distinct(column)
    check_few(len(found), _name(estimator, i), "Choose visible='gaussian', or put values into bins.")
    return found
