"""What stands behind wrappers, and the affine maps that pipelines of scalers are."""

from typing import NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

AFFINE = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
"""Transformers that multiply each column by a number and add one."""


class Affine(NamedTuple):
    """The map x * scale + shift of each column; numbers where all columns have the same."""

    scale: np.ndarray | float = 1.0
    shift: np.ndarray | float = 0.0


def unwrapped(estimator):
    """The estimator behind FrozenEstimator and searches; of a search that is not fitted, what it varies."""
    while True:
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, (GridSearchCV, RandomizedSearchCV)):
            if estimator.refit is False:
                raise ValueError(f"{type(estimator).__name__} with refit=False fits no estimator to use: leave it out.")
            estimator = estimator.estimator
        else:
            return estimator


def steps(pipeline):
    """Names and transformers that rows go through before the last step, and the last step."""
    before = [(name, unwrapped(step)) for name, step in pipeline.steps[:-1] if step not in (None, "passthrough")]
    return before, unwrapped(pipeline.steps[-1][1])


def check_steps(estimator):
    """TypeError where an estimator is a pipeline with a step that is not known to be affine in each column."""
    estimator = unwrapped(estimator)
    if isinstance(estimator, Pipeline):
        before, last = steps(estimator)
        for name, step in before:
            _check_affine(name, step)
        check_steps(last)


def _check_affine(name, step):
    """TypeError for a transformer that is not known to be affine in each column."""
    step = unwrapped(step)
    if isinstance(step, Pipeline):
        for inner, each in step.steps:
            _check_affine(f"{name}.{inner}", each)
    elif step not in (None, "passthrough") and (not isinstance(step, AFFINE) or getattr(step, "clip", False)):
        raise TypeError(
            f"The step {name!r}, {step!r}, is not known to be affine in each column, so that densities cannot be taken "
            "back to the units of X. Use StandardScaler, MinMaxScaler(clip=False), MaxAbsScaler or RobustScaler, or "
            "transform X beforehand."
        )


def _affine(step):
    """The map of a fitted scaler."""
    step = unwrapped(step)
    if isinstance(step, Pipeline):
        return _composed([_affine(each) for _, each in step.steps])
    if step in (None, "passthrough"):
        return Affine()
    check_is_fitted(step)
    if isinstance(step, MinMaxScaler):
        return Affine(step.scale_, step.min_)
    scale = 1.0 if step.scale_ is None else 1 / step.scale_
    # A mean is kept where it is not taken away, too.
    if isinstance(step, StandardScaler):
        center = step.mean_ if step.with_mean else None
    else:
        center = getattr(step, "center_", None)
    return Affine(scale, 0.0 if center is None else -center * scale)


def _composed(maps):
    composed = Affine()
    for scale, shift in maps:
        composed = Affine(composed.scale * scale, composed.shift * scale + shift)
    return composed


def map_of(pipeline):
    """The map that rows go through before the last step of a fitted pipeline of scalers, and the last step."""
    before, last = steps(pipeline)
    check_steps(pipeline)
    return _composed([_affine(step) for _, step in before]), last
