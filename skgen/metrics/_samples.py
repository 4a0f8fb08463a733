"""Samples that metrics compare: checked at the edge, and read in blocks."""

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils import check_array

from skgen.estimators._arrays import tiles


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


def feature_blocks(X, feature_map, name):
    """Features of rows, block after block; the rows themselves without a map."""
    for part in tiles(len(X), X.shape[1]):
        features = X[part]
        if feature_map is not None:
            features = check_array(feature_map(features), dtype=np.float64, input_name=f"feature_map({name})")
            if len(features) != len(X[part]):
                raise ValueError(
                    f"feature_map must give one row of numbers for each row of {name}, got an array of shape "
                    f"{features.shape} for {len(X[part])} rows."
                )
        yield features


def features_of(X, feature_map, name):
    """Features of all rows."""
    return X if feature_map is None else np.concatenate(list(feature_blocks(X, feature_map, name)))


def distance_blocks(X, Y):
    """Slices of the rows of X, each with squared distances to all rows of Y.

    Distances come from differences, not from a matrix product: equal rows are exactly 0 apart, and the distance of
    two rows is the same number wherever it appears, so that ties are ties.
    """
    for part in tiles(len(X), 2 * len(Y)):  # what is made of them takes as much again
        yield part, cdist(X[part], Y, "sqeuclidean")
