"""Samples that metrics compare: checked at the edge, and read in blocks."""

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils import check_array

from skgen.estimators._arrays import tiles

LEAST, LARGEST = 1e-45, 1e45
"""Range of the numbers whose squares, and the cubes of these, float64 holds; that of float32 lies within."""


def check_samples(*, least=2, allow_nan=False, **samples):
    """Samples by name as float64 arrays with the same columns and at least so many rows each."""
    finite = "allow-nan" if allow_nan else True
    names = {name: list(X.columns) for name, X in samples.items() if hasattr(X, "columns")}
    arrays = {
        name: check_array(X, dtype=np.float64, ensure_all_finite=finite, input_name=name, ensure_min_samples=0)
        for name, X in samples.items()
    }
    first, *others = arrays
    for name in others:
        if arrays[name].shape[1] != arrays[first].shape[1]:
            raise ValueError(
                f"{first} has {arrays[first].shape[1]} features, but {name} has {arrays[name].shape[1]}. Pass rows "
                "with the same columns."
            )
        if names.get(name, names.get(first)) != names.get(first, names.get(name)):
            raise ValueError(f"The columns of {name}, {names[name]}, are not those of {first}, {names[first]}.")
    for name, X in arrays.items():
        if len(X) < least:
            raise ValueError(f"{name} must have at least {least} rows here, got n_samples = {len(X)}. Pass more rows.")
    return list(arrays.values())


def check_squares(X, name):
    """ValueError where squares of the numbers would be infinite, or would vanish."""
    largest = np.abs(X).max(initial=0.0)
    if largest > LARGEST or 0 < largest < LEAST:
        raise ValueError(
            f"The largest number in {name} is {largest:.3g}, and squares are taken: it must be from {LEAST:g} to "
            f"{LARGEST:g}. Multiply the columns by a constant."
        )


def feature_blocks(X, feature_map, name):
    """Features of rows, block after block; the rows themselves without a map."""
    if feature_map is None:
        check_squares(X, name)
    for part in tiles(len(X), X.shape[1]):
        features = X[part]
        if feature_map is not None:
            features = _mapped(features, feature_map, name)
            check_squares(features, f"feature_map({name})")
        yield features


def check_finite(value, name, remedy):
    """The value; ValueError where it is no finite number."""
    if not np.isfinite(value):
        raise ValueError(f"{name} is {value}, which is no number to rely on. {remedy}")
    return value


def _mapped(rows, feature_map, name):
    """What a map makes of rows, as an array with a row for each."""
    features = check_array(feature_map(rows), dtype=np.float64, input_name=f"feature_map({name})")
    if len(features) != len(rows):
        raise ValueError(
            f"feature_map must give one row of numbers for each row of {name}, got an array of shape "
            f"{features.shape} for {len(rows)} rows."
        )
    return features


def features_of(X, feature_map, name):
    """Features of all rows."""
    if feature_map is None:
        check_squares(X, name)
        return X
    return np.concatenate(list(feature_blocks(X, feature_map, name)))


def distance_blocks(X, Y):
    """Slices of the rows of X, each with squared distances to all rows of Y.

    Distances come from differences, not from a matrix product: equal rows are exactly 0 apart, and the distance of
    two rows is the same number wherever it appears, so that ties are ties.
    """
    for part in tiles(len(X), 2 * len(Y)):  # what is made of them takes as much again
        yield part, cdist(X[part], Y, "sqeuclidean")
