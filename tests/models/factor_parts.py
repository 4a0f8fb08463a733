"""Mixtures of factor analysers for tests, and the dense normals that they are."""

import numpy as np
import torch
from scipy.stats import multivariate_normal

from skgen._rows import Observed, Tile
from tests.parts import normal

K, D, Q = 3, 5, 2
# Sums of a few hundred products of numbers of order one to a hundred.
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}


def parameters_of(model, generator, spread=2.0):
    shapes = model.shapes()
    return {
        "log_weights": torch.log_softmax(normal(*shapes["log_weights"], generator=generator), 0),
        "means": spread * normal(*shapes["means"], generator=generator),
        "loadings": normal(*shapes["loadings"], generator=generator),
        "noise": torch.exp(normal(*shapes["noise"], generator=generator)),
    }


def sampled(model, n_rows, generator, **options):
    parameters = parameters_of(model, generator, **options)
    return parameters, model.sample(parameters, n_rows, generator)[0]


def covariances(parameters):
    loadings, noise = parameters["loadings"], parameters["noise"]
    return loadings @ loadings.mT + torch.diag_embed(noise.expand(loadings.shape[:-1]))


def dense_joint(parameters, x):
    """log p(observed entries of x, component), (rows, K), by SciPy."""
    joint = np.tile(parameters["log_weights"].numpy(), (len(x), 1))
    for k, covariance in enumerate(covariances(parameters).numpy()):
        for n, row in enumerate(x.numpy()):
            there = ~np.isnan(row)
            if there.any():
                dense = multivariate_normal(parameters["means"][k][there], covariance[np.ix_(there, there)])
                joint[n, k] += dense.logpdf(row[there])
    return joint


def with_missing(x, generator, share=1 / 3):
    """A copy with about that share of the entries missing: none in the first row, all in the second."""
    missing = torch.empty_like(x).uniform_(generator=generator) < share
    missing[0], missing[1] = False, True
    return x.masked_fill(missing, float("nan"))


def incomplete_tile(x):
    """All rows in one incomplete tile, also those without a missing entry, in their order."""
    patterns, index = torch.unique(~torch.isnan(x), dim=0, return_inverse=True)
    return Tile(x.nan_to_num(), None, Observed(patterns, index))
