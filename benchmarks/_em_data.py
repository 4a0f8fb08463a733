"""Rows to learn mixtures and factor models from, shared by the scripts on exact models."""

import os
from pathlib import Path

import _mnist
import numpy as np


def mixture_rows(n_rows, n_features, n_components, *, spread=1.5, seed=0):
    """Draws from a mixture of correlated normal components, whose means lie ``spread`` apart in each feature."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    parts = []
    for count in rng.multinomial(n_rows, weights):
        factor = rng.standard_normal((n_features, n_features)) / np.sqrt(n_features)
        noise = rng.standard_normal((count, n_features)) @ factor + 0.3 * rng.standard_normal((count, n_features))
        parts.append(noise + spread * rng.standard_normal(n_features))
    X = np.concatenate(parts)
    rng.shuffle(X)
    return X


def mixture_start(X, n_components, covariance_type, seed=0):
    """A start for all sides: rows for means, equal weights, and the precision of all rows for each component."""
    rng = np.random.default_rng(seed)
    precision = np.linalg.inv(np.atleast_2d(np.cov(X[:20_000], rowvar=False)))
    variances = 1 / X[:20_000].var(axis=0)
    return {
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": X[rng.choice(len(X), n_components, replace=False)].astype(np.float64),
        "precisions_init": {
            "full": np.tile(precision, (n_components, 1, 1)),
            "tied": precision,
            "diag": np.tile(variances, (n_components, 1)),
        }[covariance_type],
    }


def factor_rows(n_rows, n_features, n_factors, seed=0):
    """Draws from a factor model whose noise variances differ from column to column by a factor of ten."""
    rng = np.random.default_rng(seed)
    loadings = rng.standard_normal((n_factors, n_features))
    noise = np.sqrt(rng.uniform(0.2, 2.0, n_features))
    X = rng.standard_normal((n_rows, n_factors)) @ loadings
    X += noise * rng.standard_normal((n_rows, n_features))
    X += rng.standard_normal(n_features)
    return X


def tabular(name):
    """Standardised rows of a table in the folder ``SKGEN_DATA``/adbench; None where it is absent."""
    folder = Path(os.environ.get("SKGEN_DATA", ".")) / "adbench"
    path = next(iter(folder.glob(f"*_{name}.npz")), None)
    if path is None:
        return None
    with np.load(path) as data:
        X = data["X"].astype(np.float64)
    scale = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1)


def grey_levels(n_rows):
    """MNIST as densities have it, (grey level + uniform noise) / 256: training rows and test rows, float64."""
    mnist, rng = _mnist.load(), np.random.default_rng(0)
    return tuple((grey + rng.random(grey.shape)) / 256 for grey in (mnist.train[:n_rows], mnist.test))
