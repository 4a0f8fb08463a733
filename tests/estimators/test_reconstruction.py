"""Tests of skgen.estimators._reconstruction."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skgen import ProbabilisticPCA
from skgen.estimators._reconstruction import check_reconstructs, reconstructed

X = np.random.RandomState(0).standard_normal((20, 3))


@pytest.mark.parametrize(
    "estimator", [PCA(2), ProbabilisticPCA(2), make_pipeline(StandardScaler(), PCA(2)), GridSearchCV(PCA(2), {})]
)
def test_rows_go_through_the_latent_variables(estimator):
    check_reconstructs(estimator)
    estimator.fit(X)
    expected = estimator.inverse_transform(estimator.transform(X))
    for given in (estimator, FrozenEstimator(estimator)):
        np.testing.assert_array_equal(reconstructed(given, X), expected)


@pytest.mark.parametrize(("estimator", "method"), [(LinearRegression(), "transform"), (KMeans(), "inverse_transform")])
def test_what_does_not_reconstruct_is_refused_by_name(estimator, method):
    with pytest.raises(TypeError, match=rf"{type(estimator).__name__} has no {method}\. Estimators that reconstruct"):
        check_reconstructs(estimator)


def test_what_gives_other_columns_is_refused():
    lossy = FunctionTransformer(lambda X: X, inverse_func=lambda X: X[:, :2])
    with pytest.raises(ValueError, match=r"gives an array of shape \(20, 2\) for rows of shape \(20, 3\)"):
        reconstructed(lossy, X)
