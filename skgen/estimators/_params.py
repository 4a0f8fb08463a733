"""Constraints on the parameters that estimators of a kind share, by group, and a check beyond constraints."""

from numbers import Integral, Real

import numpy as np

from skgen.estimators._sklearn import Interval, Options, StrOptions
from skgen.networks import ACTIVATIONS
from skgen.training.clusters import INITS
from skgen.training.em import EM_SOLVERS
from skgen.training.optimizers import SOLVERS
from skgen.training.schedules import LEARNING_RATE_SCHEDULES

# Networks, trained by gradients.

NETWORKS = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "decoder_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), None],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "dropout": [Interval(Real, 0, 1, closed="left")],
}
FIRST_ORDER = {name for name, solver in SOLVERS.items() if not solver.line_search}
"""Solvers that take the gradient of a batch as it is."""
OPTIMISATION = {
    "solver": [StrOptions(set(SOLVERS))],
    "learning_rate": [Interval(Real, 0, None, closed="left")],
    "learning_rate_schedule": [StrOptions(set(LEARNING_RATE_SCHEDULES))],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
}
STOPPING = {
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "warm_start": ["boolean"],
}
RUNTIME = {
    "device": [str],
    "precision": [StrOptions({"float32", "float64", "bfloat16"})],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def layer_sizes(value, parameter):
    """Hidden layer sizes as a tuple of positive integers."""
    sizes = tuple(np.atleast_1d(np.array(value, dtype=object)))
    if not all(isinstance(size, Integral) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise ValueError(f"{parameter} must hold positive integers, got {value!r}.")
    return tuple(int(size) for size in sizes)


# Models with an exact posterior, trained by EM.

EXACT_OPTIMISATION = {
    "solver": [StrOptions(set(EM_SOLVERS))],
    "gradient_method": [StrOptions(set(SOLVERS))],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "learning_decay": [Interval(Real, 0.5, 1, closed="right")],
    "learning_offset": [Interval(Real, 0, None, closed="left")],
    "total_samples": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
}
EXACT_STOPPING = {"tol": [Interval(Real, 0, None, closed="left")], "warm_start": ["boolean"]}
EXACT_RUNTIME = {"device": [str], "random_state": ["random_state"], "verbose": ["verbose"]}

# Mixtures of them.

STARTED_MIXTURE = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "init_params": [StrOptions(set(INITS))],
    "whiten_init": ["boolean", StrOptions({"auto"})],
    "n_init": [Interval(Integral, 1, None, closed="left")],
}
MIXTURE = STARTED_MIXTURE | {"on_degenerate": [StrOptions({"reinit", "prune", "raise"})]}
