"""Exact answers and independent references that tests compare the package with."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import torch
from scipy.stats import multivariate_normal

from skgen.distributions.logistic import box_from_reals


def log_likelihood_by_quadrature(model, x, *, limit=12.0, n_nodes=6001):
    """log p(x) of standardised rows under a model with one latent variable, by the trapezoidal rule.

    The rule converges exponentially for smooth integrands that vanish at both ends. x (batch, features) gives
    (batch,); entries that are NaN are left out. A prior on an interval is integrated on all real numbers, by the
    logistic map, which has longer tails.
    """
    slope, support = 0.0, model.prior.support
    limit = limit if support is None else 3 * limit
    z = torch.linspace(-limit, limit, n_nodes, dtype=x.dtype)[:, None, None]
    if support is not None:
        z, slope = box_from_reals(z, *support)
    joint = model.log_prob_given(model.decoder(z), x) + model.prior.log_prob(z) + slope
    return torch.logsumexp(joint, 0) + np.log(2 * limit / (n_nodes - 1))


def linear_gaussian_log_prob(x, loading, mean, noise_variance):
    """log N(x; mean, loading @ loading.T + diag(noise_variance)), loading (features, components)."""
    covariance = loading @ loading.T + torch.diag(noise_variance)
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


def central_differences(function, vector, directions, step=1e-6):
    """Derivatives of a number along some directions, with errors of order step^2 + 1e-16 / step."""
    kept = vector.clone()
    derivatives = []
    for direction in directions:
        values = []
        for sign in (1, -1):
            vector.copy_(kept + sign * step * direction)
            values.append(float(function()))
        derivatives.append((values[0] - values[1]) / (2 * step))
    vector.copy_(kept)
    return torch.tensor(derivatives, dtype=vector.dtype)


def every_row(values, n_features):
    """All rows with entries among the values, (len(values) ** n_features, n_features)."""
    return torch.tensor(list(itertools.product(values, repeat=n_features)), dtype=torch.float64)


def within(estimates, truth, n_errors=5.0):
    """Whether the mean of independent estimates (first axis) is within some standard errors of the truth.

    Estimates that are all equal have no error but rounding, which is allowed for.
    """
    error = estimates.std(0) / len(estimates) ** 0.5
    return bool(((estimates.mean(0) - truth).abs() <= n_errors * error + 1e-12).all())


def process_state():
    """What a library must not change: the global random states, thread count and default dtype."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 the legacy global state is what must stay as it is
    return (
        tuple(torch.get_rng_state().tolist()),
        (name, tuple(keys.tolist()), *rest),
        random.getstate(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )


def normal_mixture_joint(log_weights, means, matrices, x):
    """log p(observed entries of a row, component), (rows, K), by SciPy, of rows with NaN where they are missing."""
    joint = np.tile(np.asarray(log_weights), (len(x), 1))
    for k, (mean, matrix) in enumerate(zip(np.asarray(means), np.asarray(matrices), strict=True)):
        for n, row in enumerate(np.asarray(x)):
            there = ~np.isnan(row)
            if there.any():
                joint[n, k] += multivariate_normal(mean[there], matrix[np.ix_(there, there)]).logpdf(row[there])
    return torch.tensor(joint)


def conditional_normal(mean, matrix, row):
    """Mean (features,) and covariance (features, features) of a row given its entries that are not NaN."""
    there = ~torch.isnan(row)
    completed, covariance = torch.where(there, row, mean), torch.zeros_like(matrix)
    gain = matrix[~there][:, there] @ torch.linalg.inv(matrix[there][:, there])
    completed[~there] += gain @ (row - mean)[there]
    block = matrix[~there][:, ~there] - gain @ matrix[there][:, ~there]
    covariance[torch.outer(~there, ~there)] = block.flatten()
    return completed, covariance


def exact_normal_terms(row, mean, matrix):
    """Squared Mahalanobis distance and log-determinant, rounded once each: elimination in rational numbers."""
    matrix = [[Fraction(entry) for entry in line] for line in matrix.tolist()]
    rest = [Fraction(a) - Fraction(b) for a, b in zip(row.tolist(), mean.tolist(), strict=True)]
    distance, log_determinant = Fraction(0), 0.0
    for i in range(len(rest)):
        pivot = matrix[i][i]
        distance += rest[i] ** 2 / pivot
        log_determinant += math.log(pivot)
        for j in range(i + 1, len(rest)):
            factor = matrix[j][i] / pivot
            rest[j] -= factor * rest[i]
            matrix[j] = [a - factor * b for a, b in zip(matrix[j], matrix[i], strict=True)]
    return float(distance), log_determinant
