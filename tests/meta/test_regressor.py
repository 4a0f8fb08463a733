"""skgen.meta.regressor"""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_linnerud
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skgen import RBM, GaussianMixture
from skgen.meta.regressor import GenerativeRegressor


def kinked(n_rows=300):
    random = np.random.default_rng(0)
    X = random.uniform(-3, 3, size=(n_rows, 1))
    return X, np.abs(X[:, 0]) + (0.1 + 0.3 * (X[:, 0] > 0)) * random.normal(size=n_rows)


def normal():
    return GaussianMixture(1, reg_covar=0.0)


def test_one_normal_distribution_is_linear_regression():
    X, y = load_diabetes(return_X_y=True)
    linear = LinearRegression().fit(X, y)
    mean, deviation = GenerativeRegressor(normal()).fit(X, y).predict(X, return_std=True)
    np.testing.assert_allclose(mean, linear.predict(X), rtol=1e-7)
    residual = np.sqrt(np.mean((y - linear.predict(X)) ** 2))
    np.testing.assert_allclose(deviation, residual, rtol=1e-7)


def test_units_and_scalers_change_no_prediction():
    X, y = load_diabetes(return_X_y=True)
    for estimator in (make_pipeline(MinMaxScaler(), normal()), SklearnMixture(reg_covar=0.0)):
        mean, deviation = GenerativeRegressor(estimator).fit(X, y).predict(X[:20], return_std=True)
        expected = GenerativeRegressor(normal()).fit(X, y).predict(X[:20], return_std=True)
        np.testing.assert_allclose(mean, expected[0], rtol=1e-6)
        np.testing.assert_allclose(deviation, expected[1], rtol=1e-6)


def test_kernels_give_the_weighted_mean_of_nadaraya_and_watson():
    X, y = kinked(50)
    at = np.linspace(-2, 2, 7)[:, None]
    width = 0.4
    kernels = np.exp(-((at - X.T) ** 2) / (2 * width**2))
    share = kernels / kernels.sum(axis=1, keepdims=True)
    mean, deviation = GenerativeRegressor(KernelDensity(bandwidth=width)).fit(X, y).predict(at, return_std=True)
    np.testing.assert_allclose(mean, share @ y, rtol=1e-9)
    np.testing.assert_allclose(deviation**2, share @ y**2 - (share @ y) ** 2 + width**2, rtol=1e-8)


def test_means_and_deviations_are_those_of_draws_from_the_joint_density():
    X, y = kinked()
    regressor = GenerativeRegressor(GaussianMixture(3, random_state=0)).fit(X, y)
    mean, deviation = regressor.predict([[0.5]], return_std=True)
    given = regressor.estimator_.conditional([0], [0.5])
    drawn = given.sample(20000, random_state=0)[0][:, 0]
    assert abs(drawn.mean() - mean[0]) < 5 * deviation[0] / np.sqrt(len(drawn))
    square = (drawn - mean[0]) ** 2
    assert abs(square.mean() - deviation[0] ** 2) < 5 * square.std() / np.sqrt(len(drawn))
    np.testing.assert_allclose(regressor.predict([[0.5]]), mean, rtol=1e-10)


def test_components_bend_the_line_and_vary_the_scatter():
    X, y = kinked()
    regressor = GenerativeRegressor().fit(X, y)
    assert cross_val_score(GenerativeRegressor(), X, y).mean() > 0.8
    deviation = regressor.predict([[-2.0], [2.0]], return_std=True)[1]
    assert deviation[1] > 1.5 * deviation[0]


def test_several_targets_are_predicted_at_once():
    X, Y = load_linnerud(return_X_y=True)
    mean, deviation = GenerativeRegressor(normal()).fit(X, Y).predict(X, return_std=True)
    np.testing.assert_allclose(mean, LinearRegression().fit(X, Y).predict(X), rtol=1e-6)
    assert deviation.shape == Y.shape
    np.testing.assert_allclose(GenerativeRegressor(normal()).fit(X, Y).predict(X), mean, rtol=1e-9)


def test_missing_columns_are_regressed_without():
    X, y = load_diabetes(return_X_y=True)
    holes = X.copy()
    holes[:, 3:] = np.nan
    holes[5:, 2] = np.nan
    regressor = GenerativeRegressor(normal()).fit(X, y)
    mean, deviation = regressor.predict(holes, return_std=True)
    for rows, columns in ((slice(0, 5), 3), (slice(5, None), 2)):
        fewer = GenerativeRegressor(normal()).fit(X[:, :columns], y).predict(X[rows, :columns], return_std=True)
        np.testing.assert_allclose(mean[rows], fewer[0], rtol=1e-6)
        np.testing.assert_allclose(deviation[rows], fewer[1], rtol=1e-6)
    np.testing.assert_allclose(regressor.predict(holes), mean, rtol=1e-9)


def test_a_row_of_which_nothing_is_known_has_the_moments_of_the_targets():
    X, y = load_diabetes(return_X_y=True)
    nothing = np.full((1, X.shape[1]), np.nan)
    mean, deviation = GenerativeRegressor(normal()).fit(X, y).predict(nothing, return_std=True)
    np.testing.assert_allclose([mean[0], deviation[0]], [y.mean(), y.std()], rtol=1e-6)


def test_weights_are_repetitions():
    X, y = load_diabetes(return_X_y=True)
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = GenerativeRegressor(normal()).fit(X, y, sample_weight=weight.astype(float)).predict(X)
    rows = np.repeat(np.arange(len(X)), weight)
    np.testing.assert_allclose(weighted, GenerativeRegressor(normal()).fit(X[rows], y[rows]).predict(X), rtol=1e-6)


def test_estimators_that_cannot_condition_are_refused_by_name():
    X, y = kinked(50)
    with pytest.raises(TypeError, match=r"KernelDensity has no impute.*ProbabilisticPCA"):
        GenerativeRegressor(KernelDensity(kernel="tophat")).fit(X, y)
    binary = np.random.default_rng(0).integers(0, 2, size=(50, 4)).astype(float)
    machine = GenerativeRegressor(RBM(2, max_iter=2, random_state=0)).fit(binary[:, :3], binary[:, 3])
    assert machine.predict(binary[:, :3]).shape == (50,)
    with pytest.raises(TypeError, match="RBM has no conditional"):
        machine.predict(binary[:, :3], return_std=True)


def test_principal_components_predict():
    X, y = kinked()
    joint = make_pipeline(StandardScaler(), PCA(1))
    assert GenerativeRegressor(joint).fit(X[X[:, 0] > 0], y[X[:, 0] > 0]).score(X[X[:, 0] > 0], y[X[:, 0] > 0]) > 0.5
