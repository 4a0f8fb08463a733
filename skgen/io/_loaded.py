"""What is checked of an estimator that a file described, before anybody uses it."""

import warnings
from collections.abc import Mapping
from itertools import pairwise
from numbers import Integral

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skgen._spec import Spec
from skgen.estimators._fitted import ModuleHolder
from skgen.io._errors import ModelFileError
from skgen.io._state import split_state


def checked(model, n_bytes):
    """The estimator of a file of so many bytes, if its parts fit together; an error where they do not."""
    for part in _estimators(model):
        part._validate_params()
        _check_sizes(part, n_bytes)
        if not hasattr(part, "n_features_in_"):
            continue
        if isinstance(part, ModuleHolder):
            _check_shapes(part)
            part._module(np.dtype(np.float64))
        elif hasattr(part, "parameters_"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zeros may be unlikely rows
                part.score_samples(np.zeros((1, part.n_features_in_)))
    return model


def _estimators(value):
    """All estimators in a value."""
    if isinstance(value, BaseEstimator):
        for part in split_state(value):
            yield from _estimators(part)
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _estimators(item)


def _check_sizes(model, n_bytes):
    """Refuse sizes of which a file of so many bytes cannot hold the weights; a module is not built of them."""
    state = split_state(model)[1]
    sizes = {name: state[name] for name in ("_architecture", "n_features_in_", "_sizes") if name in state}
    sizes |= {name: value.get_params() for name, value in state.items() if isinstance(value, Spec)}
    for name, size in _integers(sizes, ""):
        if abs(size) > n_bytes // 8 and size > 1024:
            raise ModelFileError(f"{name} is {size}, more than a file of {n_bytes} bytes has weights for")
    for name, value in state.items():
        layers = value.get_params().get("hidden_layer_sizes") if isinstance(value, Spec) else None
        if isinstance(layers, (list, tuple)) and sum(a * b for a, b in pairwise(layers)) > n_bytes:
            raise ModelFileError(
                f"{name} has layers of {layers} units, of which a file of {n_bytes} bytes has no weights"
            )


def _integers(value, name):
    if isinstance(value, Integral):
        yield name, int(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _integers(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _integers(item, name)


def _check_shapes(model):
    """Compare weights with what the parameters ask for, before a module of that size takes memory."""
    with torch.device("meta"):
        asked = {n: tuple(t.shape) for n, t in model._build_model(model.n_features_in_).state_dict().items()}
    held = {name: np.shape(value) for name, value in model.weights_.items()}
    if asked != held:
        wrong = sorted(name for name in asked.keys() | held.keys() if asked.get(name) != held.get(name))
        raise ModelFileError(f"its weights {wrong[:5]} are not those of its parameters")
