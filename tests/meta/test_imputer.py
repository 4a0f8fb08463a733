"""skgen.meta.imputer"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgen import GaussianMixture, ProbabilisticPCA, VariationalAutoencoder
from skgen.meta import DensitySelector
from skgen.meta.imputer import GenerativeImputer

NAN = np.nan


def complete(n_rows=400, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n_rows, 4)) @ random.normal(size=(4, 4)) + random.normal(size=4) * 10


def network():
    return VariationalAutoencoder(2, hidden_layer_sizes=(8,), max_iter=20, random_state=0)


def through_scaler(estimator):
    return make_pipeline(StandardScaler(), estimator)


def holes(X, share=0.3, seed=1):
    return np.where(np.random.default_rng(seed).random(X.shape) < share, NAN, X)


def normal(**parameters):
    return GaussianMixture(1, **{"reg_covar": 0.0, "tol": 1e-10, "max_iter": 1000} | parameters)


@pytest.mark.parametrize(
    "estimator", [normal(), make_pipeline(StandardScaler(), normal()), SklearnMixture(reg_covar=0.0), PCA(3)]
)
def test_means_are_those_of_the_regression_on_what_is_observed(estimator):
    X = complete()
    filled = GenerativeImputer(estimator).fit(X).transform(holes(X))
    mean, covariance = X.mean(axis=0), np.cov(X.T, bias=True)
    if isinstance(estimator, PCA):
        covariance = estimator.fit(X).get_covariance()
    for row, result in zip(holes(X), filled, strict=True):
        seen = ~np.isnan(row)
        slope = covariance[~seen][:, seen] @ np.linalg.pinv(covariance[seen][:, seen])
        np.testing.assert_allclose(result[~seen], mean[~seen] + slope @ (row[seen] - mean[seen]), rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(result[seen], row[seen])


def test_incomplete_training_rows_are_fitted_by_their_likelihood():
    X = holes(complete())
    imputer = GenerativeImputer(normal()).fit(X)
    np.testing.assert_allclose(imputer.estimator_.means_, normal().fit(X).means_)
    np.testing.assert_allclose(imputer.transform(X), normal().fit(X).impute(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_fill_in_what_their_own_imputation_does():
    X = holes(complete(100))
    imputer = GenerativeImputer(network()).fit(X)
    fitted = network().fit(X)
    # Columns that are taken out of a table lie otherwise in memory, and are added up in another order.
    np.testing.assert_allclose(imputer.transform(X), fitted.impute(X), rtol=1e-9)
    draws = imputer.draw(X, 3)
    assert draws.shape == (3, 100, 4)
    np.testing.assert_array_equal(draws[:, ~np.isnan(X)], np.broadcast_to(X[~np.isnan(X)], (3, (~np.isnan(X)).sum())))


def test_kernels_fill_in_the_weighted_means_of_training_rows():
    X, width = complete(50), 2.0
    row = np.array([[X[0, 0], NAN, NAN, NAN]])
    weight = stats.norm.pdf(row[0, 0], X[:, 0], width)
    filled = GenerativeImputer(KernelDensity(bandwidth=width)).fit(X).transform(row)
    np.testing.assert_allclose(filled[0, 1:], weight @ X[:, 1:] / weight.sum())


def test_estimators_that_take_no_missing_entries_are_refused_by_name():
    with pytest.raises(TypeError, match=r"fit of GaussianMixture does not take.*ProbabilisticPCA"):
        GenerativeImputer(SklearnMixture()).fit(holes(complete()))
    with pytest.raises(TypeError, match="KernelDensity has no impute"):
        GenerativeImputer(KernelDensity(kernel="tophat")).fit(complete())


@pytest.mark.parametrize(
    "estimator", [None, ProbabilisticPCA(2), GaussianMixture(2, random_state=0), network(), through_scaler(network())]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_row_gets_the_same_draw_in_any_company(estimator):
    X = holes(complete(60))
    imputer = GenerativeImputer(estimator, sample_posterior=True, random_state=3).fit(X)
    together = imputer.transform(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(imputer.transform(X[order]), together[order])
    np.testing.assert_array_equal(np.vstack([imputer.transform(X[i : i + 1]) for i in range(len(X))]), together)
    other = GenerativeImputer(estimator, sample_posterior=True, random_state=4).fit(X).transform(X)
    assert (other != together)[np.isnan(X)].all()
    np.testing.assert_array_equal(together[~np.isnan(X)], X[~np.isnan(X)])


def test_rows_that_differ_get_noise_that_is_independent_and_normal():
    X = complete(400)
    rows = X.copy()
    rows[:, 3] = NAN
    imputer = GenerativeImputer(normal(), sample_posterior=True, random_state=0).fit(X)
    noise = imputer.transform(rows)[:, 3] - imputer.set_params(sample_posterior=False).transform(rows)[:, 3]
    deviation = np.sqrt(1 / np.linalg.inv(np.cov(X.T, bias=True))[3, 3])
    assert stats.kstest(noise / deviation, "norm").pvalue > 1e-3
    # The correlation of 400 independent pairs has the standard error 1 / sqrt(400).
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 4 / np.sqrt(400)


def test_draws_are_independent_and_scatter_as_the_conditional_distribution():
    X = complete()
    imputer = GenerativeImputer(normal(), random_state=0).fit(X)
    rows = np.repeat([[X[0, 0], X[0, 1], X[0, 2], NAN]], 2, axis=0)
    draws = imputer.draw(rows, 4000)
    assert draws.shape == (4000, 2, 4)
    np.testing.assert_array_equal(draws[:, :, :3], np.broadcast_to(rows[:, :3], (4000, 2, 3)))
    deviation = np.sqrt(1 / np.linalg.inv(np.cov(X.T, bias=True))[3, 3])
    noise = (draws[:, :, 3] - imputer.transform(rows)[:, 3]) / deviation
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(noise.T)[0, 1]) < 4 / np.sqrt(4000)
    np.testing.assert_array_equal(imputer.draw(rows, 4000), draws)


def test_intervals_of_draws_cover_what_they_say():
    X = complete(1000)
    rows = holes(X)
    draws = GenerativeImputer(random_state=0).fit(rows).draw(rows, 99)
    # The 5th and the 95th of 99 draws have a new one between them with probability 0.9.
    low, high = np.sort(draws, axis=0)[[4, 94]]
    missing = np.isnan(rows)
    inside = ((X - low) * (high - X) >= 0)[missing]
    # Entries of a row go together; there are four in a row, so that this many standard errors are at least four.
    assert abs(inside.mean() - 0.9) < 4 * 2 * np.sqrt(0.9 * 0.1 / missing.sum())


@pytest.mark.parametrize("keep", [False, True])
def test_empty_columns_are_left_out_or_kept_as_0(keep):
    X = holes(complete(50))
    X[:, 1] = NAN
    imputer = GenerativeImputer(keep_empty_features=keep, sample_posterior=True, random_state=0).fit(X)
    filled = imputer.transform(X)
    assert filled.shape == (50, 4 if keep else 3)
    assert imputer.draw(X, 2).shape == (2, *filled.shape)
    others = np.delete(X, 1, axis=1)
    expected = GenerativeImputer(sample_posterior=True, random_state=0).fit_transform(others)
    np.testing.assert_array_equal(np.delete(filled, 1, axis=1) if keep else filled, expected)
    assert not keep or (filled[:, 1] == 0).all()
    names = imputer.get_feature_names_out()
    assert names.tolist() == (["x0", "x1", "x2", "x3"] if keep else ["x0", "x2", "x3"])
    with pytest.raises(ValueError, match="no column with an entry"):
        GenerativeImputer().fit(np.full((3, 2), NAN))


def test_indicators_say_what_was_missing():
    X = complete(50)
    X[:5, 2] = NAN
    frame = pd.DataFrame(X, columns=list("abcd"))
    imputer = GenerativeImputer(add_indicator=True).set_output(transform="pandas")
    filled = imputer.fit_transform(frame)
    assert filled.columns.tolist() == ["a", "b", "c", "d", "missingindicator_c"]
    np.testing.assert_array_equal(filled["missingindicator_c"], np.isnan(X[:, 2]))
    np.testing.assert_array_equal(imputer.get_feature_names_out(), filled.columns)


def test_a_selector_chooses_the_density_by_likelihood():
    X = holes(complete(100))
    selector = DensitySelector([("one", normal()), ("factors", ProbabilisticPCA(1))], cv=3, random_state=0)
    imputer = GenerativeImputer(selector).fit(X)
    assert imputer.estimator_.best_name_ == "one"
    np.testing.assert_allclose(imputer.transform(X), normal().fit(X).impute(X))


def test_weights_are_repetitions():
    X = holes(complete(60))
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = GenerativeImputer(normal()).fit(X, sample_weight=weight.astype(float)).transform(X)
    repeated = GenerativeImputer(normal()).fit(np.repeat(X, weight, axis=0)).transform(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-4)
