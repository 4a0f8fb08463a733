"""Warnings point at the user's line, through whatever stands between."""

import sys
import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skgen.estimators._warnings import warn_user
from tests.estimators.configurations import rows, vae


def places(function):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function()
    return {(warning.filename, warning.lineno) for warning in found}


def test_a_call_from_outside_is_its_own_place():
    line = sys._getframe().f_lineno + 1
    assert places(lambda: warn_user("here")) == {(__file__, line)}


@pytest.mark.parametrize("X", [np.where(np.arange(5) == 1, 0.5, rows())])
def test_a_warning_of_fit_points_outside_of_pipeline_and_search(X):
    pipeline = make_pipeline(MinMaxScaler(), vae(kl_warmup=9))
    search = GridSearchCV(pipeline, {"variationalautoencoder__n_components": [1]}, cv=2)
    for estimator in (vae(kl_warmup=9), pipeline, search):
        line = sys._getframe().f_lineno + 1
        assert places(lambda estimator=estimator: estimator.fit(X)) == {(__file__, line)}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_warning_about_values_points_at_the_call_that_was_given_them():
    model = vae(likelihood="bernoulli").fit(rows())
    for call in (model.transform, model.score_samples, model.fit, model.partial_fit):
        line = sys._getframe().f_lineno + 1
        assert places(lambda call=call: call(2 * rows())) == {(__file__, line)}
