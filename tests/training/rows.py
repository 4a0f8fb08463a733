"""Functions of rows that methods which climb each row are tested on: values (batch,) and gradients (batch, n)."""

import itertools
import math

import torch

from skgen.training.row_methods import Settings
from tests.parts import normal

LONG_STEPS = Settings(learning_rate=0.0, largest_move=1e3, tol=1e-14)


def quadratics(generator, n_rows=30, n_parameters=4, largest=8000.0):
    """Concave bounds of rows, their curvatures up to some largest times their smallest, and their maxima, 0."""
    basis, _ = torch.linalg.qr(normal(n_rows, n_parameters, n_parameters, generator=generator))
    curvature = torch.exp(torch.linspace(0, math.log(largest), n_parameters, dtype=torch.float64)) * (
        0.1 + torch.rand(n_rows, 1, dtype=torch.float64, generator=generator)
    )
    matrix, best = basis @ (curvature.unsqueeze(-1) * basis.mT), normal(n_rows, n_parameters, generator=generator)

    def bound(parameters, rows=slice(None)):
        deviation = parameters - best[rows]
        gradient = -(matrix[rows] @ deviation.unsqueeze(-1)).squeeze(-1)
        return 0.5 * (gradient * deviation).sum(-1), gradient

    return bound, best


def differentiated(function):
    """The values of a function and its gradients by autograd."""

    def bound(parameters, rows=slice(None)):
        leaf = parameters.detach().requires_grad_()
        value = function(leaf, rows)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    return bound


@differentiated
def rosenbrock(parameters, rows):
    """Minus the banana function of each row."""
    x, y = parameters.unbind(-1)
    return -((1 - x).square() + 100 * (y - x.square()).square())


def coupled(generator, n_rows=20, n_parameters=4):
    """Concave functions of rows, log-posteriors of logistic regressions, and where to begin."""
    inputs = normal(n_rows, 12, n_parameters, generator=generator)
    labels = torch.randint(2, (n_rows, 12), generator=generator).double()

    @differentiated
    def bound(parameters, rows):
        logits = (inputs[rows] @ parameters.unsqueeze(-1)).squeeze(-1)
        likelihood = labels[rows] * logits - torch.nn.functional.softplus(logits)
        return likelihood.sum(-1) - 0.5 * parameters.square().sum(-1)

    return bound, 3 * normal(n_rows, n_parameters, generator=generator)


def decoders(likelihood, generator, n_rows=40, n_latent=3, n_hidden=32, n_features=20, n_draws=8):
    """Evidence lower bounds of rows of a small random network, from row numbers to the bound, and the prior as start.

    Parameters are means and log standard deviations of normal posteriors. Gaussian rows have a standard deviation of
    0.1.
    """
    sizes = n_latent, n_hidden, n_hidden, n_features
    weights = [normal(n, m, generator=generator) / n**0.5 for n, m in itertools.pairwise(sizes)]
    biases = [normal(m, generator=generator) for m in sizes[1:]]

    def decode(z):
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            z = torch.tanh(z @ weight + bias)
        return z @ weights[-1] + biases[-1]

    half = normal(n_draws // 2, 1, n_latent, generator=generator)
    noise, outputs = torch.cat([half, -half]), decode(normal(n_rows, n_latent, generator=generator))
    if likelihood == "bernoulli":
        x = torch.bernoulli(torch.sigmoid(outputs), generator=generator)
    else:
        x = outputs + 0.1 * normal(n_rows, n_features, generator=generator)

    def select(rows):
        @differentiated
        def bound(parameters, _):
            mean, log_scale = parameters.chunk(2, dim=-1)
            outputs = decode(mean + log_scale.exp() * noise)
            if likelihood == "bernoulli":
                log_prob = x[rows] * outputs - torch.nn.functional.softplus(outputs)
            else:
                log_prob = -0.5 * ((x[rows] - outputs) / 0.1).square()
            kl = 0.5 * (mean.square() + torch.exp(2 * log_scale) - 1 - 2 * log_scale).sum(-1)
            return log_prob.sum(-1).mean(0) - kl

        return bound

    return select, torch.zeros(n_rows, 2 * n_latent, dtype=torch.float64)


def values(bound, parameters):
    """The values alone."""
    return bound(parameters)[0]


@differentiated
def valley(parameters, rows):
    """Convex far from its maximum at 0, which lies in a narrow direction's hollow."""
    x, y = parameters.unbind(-1)
    return -torch.log1p(0.5 * x.square()) - 50 * y.square()


def evaluations(method, bound, start, limit=300):
    """The method at its end, and after how many evaluations."""
    search = method(start, *bound(start), LONG_STEPS)
    for n in range(limit):
        if not search.active.any():
            return search, n
        search.tell(*bound(search.ask()))
    return search, limit
