"""skgen.meta._inner: what meta-estimators do with the estimator inside."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skgen import GaussianMixture, ProbabilisticPCA
from skgen.meta import GenerativeClassifier
from skgen.meta._inner import allows_nan, checked_rows, fitted_clone, weight_parameters

X = np.random.default_rng(0).normal(size=(30, 2))


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (ProbabilisticPCA(), True),
        (PCA(), False),
        (make_pipeline(StandardScaler(), "passthrough", ProbabilisticPCA()), True),
        (make_pipeline(StandardScaler(), PCA()), False),
        (FrozenEstimator(ProbabilisticPCA().fit(X)), True),
    ],
)
def test_missing_entries_are_taken_where_all_steps_take_them(estimator, expected):
    assert allows_nan(estimator) is expected


def test_weights_go_to_all_steps_that_take_them():
    pipeline = make_pipeline(StandardScaler(), MaxAbsScaler(), KernelDensity())
    assert set(weight_parameters(pipeline, 1)) == {"standardscaler__sample_weight", "kerneldensity__sample_weight"}
    with pytest.raises(ValueError, match="the fit of PCA takes no weights"):
        weight_parameters(make_pipeline(StandardScaler(), PCA()), 1)


def test_rows_of_weight_zero_are_not_there():
    weight = (np.arange(30) < 20).astype(float)
    fitted = fitted_clone(KernelDensity(), X, None, weight)
    np.testing.assert_array_equal(np.asarray(fitted.tree_.data), X[:20])


def test_the_estimator_that_was_given_is_not_fitted():
    given = GaussianMixture()
    assert fitted_clone(given, X) is not given
    assert not hasattr(given, "parameters_")


def test_weights_reach_a_pipeline_whether_metadata_is_routed_or_not():
    weight = np.arange(30) % 3
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(1))
    expected = fitted_clone(pipeline, X, None, weight)
    with config_context(enable_metadata_routing=True):
        routed = fitted_clone(pipeline, X, None, weight)
    np.testing.assert_array_equal(routed[-1].means_, expected[-1].means_)
    np.testing.assert_array_equal(routed[0].mean_, expected[0].mean_)


def test_rows_may_have_missing_entries_where_the_estimators_inside_take_them():
    X, y = np.array([[0.0, np.nan], [1.0, 2.0]]), np.array([0, 1])
    rows, _ = checked_rows(GenerativeClassifier(), X, [GaussianMixture()], y=y, reset=True)
    np.testing.assert_array_equal(rows, X)
    with pytest.raises(ValueError, match="contains NaN"):
        checked_rows(GenerativeClassifier(), X, [GaussianMixture(), KernelDensity()], reset=True)
