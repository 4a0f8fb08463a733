"""Machines and rows that tests of restricted Boltzmann machines share."""

import itertools

import numpy as np
from sklearn.datasets import load_digits

from tests.estimators.configurations import rows

PARAMETERS = ("weight", "visible_bias", "hidden_bias")


def binary(n_rows=60, n_features=6, seed=0):
    return (rows(n_rows, n_features, seed=seed) > 0.5).astype(float)


def codes(n_rows=80, seed=0):
    """Rows of codes with 3, 2 and 4 categories, the last two dependent."""
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 3, n_rows), random.integers(0, 2, n_rows)
    third = np.where(random.random(n_rows) < 0.8, 2 * second, random.integers(0, 4, n_rows))
    return np.column_stack([first, 10 * second, third - 1]).astype(float)


def strong(model, size=1.5, seed=0):
    """The fitted machine with weights that couple its units."""
    random = np.random.default_rng(seed)
    for name in PARAMETERS:
        model.weights_[name] = size * random.normal(size=model.weights_[name].shape)
    model._runtime.models.clear()
    model._log_partition = None
    return model


def every_binary_row(n_features):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n_features)))


def digits():
    X = (load_digits().data / 16 > 0.5).astype(float)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:1437]], X[order[1437:]]
