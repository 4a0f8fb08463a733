"""Scores of training rows by fits that have not seen them."""

from numbers import Integral

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv

from skgen.estimators._data import numbered
from skgen.estimators._tables import is_missing, table_of
from skgen.meta._inner import fitted_clone, some_rows


def folds(X, n_folds, random_state):
    """Number of the fold of each row.

    Equal rows share a fold, so that no fit has seen a row that it is asked about, and a row of weight 2 is the row
    twice. Neither order nor repetitions of rows change the folds of others.
    """
    distinct = numbered(_comparable(X))
    n_distinct = int(distinct.max()) + 1
    order = random_state.permutation(n_distinct)
    return (order % min(n_folds, n_distinct))[distinct]


def _comparable(X):
    """Numbers that are equal where the entries of rows are, and do not depend on other rows but by their order."""
    table = table_of(X)
    return X if table is None else np.stack([_codes(table.values(i)) for i in range(len(table.columns))], axis=1)


def _codes(values):
    if values.dtype != object:
        return values.astype(np.float64)
    # Sorted as text, which values of all kinds have.
    codes = np.unique([repr(value) for value in values], return_inverse=True)[1]
    return np.where([is_missing(value) for value in values], np.nan, codes)


def fold_splits(X, n_folds, random_state, sample_weight=None):
    """Training and test rows of each fold; rows of weight 0 are in neither."""
    present = np.ones(len(X), dtype=bool) if sample_weight is None else sample_weight > 0
    fold = np.full(len(X), -1)
    fold[present] = folds(some_rows(X, present), n_folds, random_state)
    if fold.max() < 1:
        raise ValueError(
            f"Scores of unseen rows need at least two different rows, got n_samples = {present.sum()} that are all "
            "equal. Pass more rows."
        )
    return [(np.flatnonzero(present & (fold != k)), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)]


def splits_of(cv, X, random_state, sample_weight=None):
    """Training and test rows, in folds of equal rows where ``cv`` is their number or None, or as ``cv`` splits."""
    if cv is None or isinstance(cv, Integral):
        return fold_splits(X, 5 if cv is None else cv, random_state, sample_weight)
    splits = list(check_cv(cv).split(X))
    if not splits or not all(len(train) and len(test) for train, test in splits):
        raise ValueError(f"cv={cv!r} must give at least one split, and rows on both sides of each, got {splits}.")
    return splits


def cross_fitted(estimator, X, sample_weight, splits, score):
    """What ``score(fitted, rows)`` says of test rows by fits to the training rows, and the weights of the test rows."""
    tested = np.concatenate([test for _, test in splits])
    weight = None if sample_weight is None else sample_weight[tested]
    if isinstance(estimator, FrozenEstimator):
        return score(estimator, some_rows(X, tested)), weight
    values = []
    for train, test in splits:
        given = None if sample_weight is None else sample_weight[train]
        fitted = fitted_clone(estimator, some_rows(X, train), None, given)
        values.append(score(fitted, some_rows(X, test)).astype(np.float64))
    return np.concatenate(values), weight


def dividing_line(values, share, sample_weight=None):
    """A number below which there is at most a share of the weight: halfway between the values on its two sides."""
    present = np.ones(len(values), dtype=bool) if sample_weight is None else sample_weight > 0
    weight = np.ones(len(values)) if sample_weight is None else sample_weight
    order = np.argsort(values[present], kind="stable")
    ordered, total = values[present][order], np.cumsum(weight[present][order])
    # A product that should be a whole number may lie below it by rounding.
    above = ordered[np.searchsorted(total, share * total[-1] * (1 + 1e-12), side="right")]
    below = ordered[ordered < above]
    return float((below[-1] + above) / 2 if len(below) and np.isfinite(below[-1]) else above)
