import itertools
import pickle
import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris
from sklearn.decomposition import FactorAnalysis as PeerFactorAnalysis
from sklearn.exceptions import ConvergenceWarning

from skgen import FactorAnalysis


def rows(n_rows=200, n_features=8, n_factors=2, *, seed=0, missing=0.0):
    random = np.random.default_rng(seed)
    X = 2 * random.normal(size=(n_rows, n_factors)) @ random.normal(size=(n_factors, n_features))
    X = 5 + X + random.uniform(0.5, 1.5, n_features) * random.normal(size=(n_rows, n_features))
    X[random.random(X.shape) < missing] = np.nan
    return X


def assert_same_density(one, other, rtol=1e-6):
    np.testing.assert_allclose(one.get_covariance(), other.get_covariance(), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(one.mean_, other.mean_, rtol=rtol, atol=rtol)


# -- scikit-learn's FactorAnalysis ----------------------------------------------------------------------------------


def test_attributes_are_those_of_scikit_learn():
    X = rows()
    model = FactorAnalysis(2, tol=1e-10).fit(X)
    peer = PeerFactorAnalysis(2, tol=1e-10, max_iter=10_000, svd_method="lapack").fit(X)
    public = {name for name in vars(peer) if name.endswith("_")}
    assert not {name for name in public if not hasattr(model, name)}
    for name in ("mean_", "noise_variance_"):
        np.testing.assert_allclose(getattr(model, name), getattr(peer, name), rtol=1e-4, err_msg=name)
    signs = np.sign((model.components_ * peer.components_).sum(axis=1))
    np.testing.assert_allclose(model.components_, signs[:, None] * peer.components_, atol=1e-3)
    np.testing.assert_allclose(model.transform(X), signs * peer.transform(X), atol=1e-3)
    np.testing.assert_allclose(model.get_covariance(), peer.get_covariance(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.get_precision(), peer.get_precision(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.score_samples(X), peer.score_samples(X), atol=1e-2)
    assert model.loglike_[-1] == pytest.approx(peer.loglike_[-1], rel=1e-8)


@pytest.mark.parametrize(("n_rows", "n_features", "n_factors"), [(200, 8, 2), (60, 12, 3), (30, 60, 2), (40, 150, 3)])
def test_the_likelihood_is_never_below_scikit_learn_s(n_rows, n_features, n_factors):
    for seed in range(3):
        X = rows(n_rows, n_features, n_factors, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = FactorAnalysis(n_factors).fit(X)
            peer = PeerFactorAnalysis(n_factors, tol=1e-6, max_iter=3000, svd_method="lapack").fit(X)
        # Noise at its floor, a share of 1e-8 of a variance, and the tolerance of 1e-6 are all that is left.
        assert model.lower_bound_ > peer.score(X) - 1e-5
        assert model.lower_bound_ == pytest.approx(model.score(X), abs=1e-9)
        assert min(b - a for a, b in itertools.pairwise(model.history_["lower_bound"])) > -1e-9


def test_none_stands_for_as_many_factors_as_features():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert FactorAnalysis().fit(load_iris().data).n_components_ == 4


@pytest.mark.parametrize("rotation", ["varimax", "quartimax"])
def test_a_rotation_makes_loadings_simple_and_changes_no_density(rotation):
    X = rows(300, 9, 3)
    plain, turned = FactorAnalysis(3).fit(X), FactorAnalysis(3, rotation=rotation).fit(X)
    assert_same_density(plain, turned, rtol=1e-10)
    gamma = {"varimax": 1.0, "quartimax": 0.0}[rotation]

    def criterion(loadings):
        squares = loadings.T**2
        return (squares**2).sum() - gamma / 9 * (squares.sum(axis=0) ** 2).sum()

    peer = PeerFactorAnalysis(3, rotation=rotation, tol=1e-10, max_iter=10_000, svd_method="lapack").fit(X)
    assert criterion(turned.components_) >= max(criterion(plain.components_), criterion(peer.components_)) - 1e-3


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [None, "varimax", "quartimax"])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_a_weight_is_a_repetition(rotation, missing):
    X, weight = rows(60, missing=missing), np.random.default_rng(1).integers(0, 4, 60)
    settings = {"rotation": rotation, "tol": 0 if missing else 1e-10, "max_iter": 100}
    one = FactorAnalysis(2, **settings).fit(X, sample_weight=weight)
    other = FactorAnalysis(2, **settings).fit(np.repeat(X, weight, axis=0))
    assert_same_density(one, other)
    np.testing.assert_allclose(one.components_, other.components_, atol=1e-6)


@pytest.mark.parametrize("solver", ["auto", "em", "em-accelerated", "gradient"])
@pytest.mark.parametrize("n_rows", [100, 6])
def test_chunks_after_a_fit_teach_what_all_rows_do(solver, n_rows):
    X = rows(170)
    first, second = X[:n_rows], X[n_rows:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = FactorAnalysis(2, solver=solver, max_iter=20, random_state=0).fit(first)
    model.set_params(max_iter=1000, tol=1e-10).partial_fit(second)
    assert_same_density(model, FactorAnalysis(2, tol=1e-10).fit(X))


@pytest.mark.parametrize("solver", ["auto", "em-accelerated"])
def test_scores_of_incomplete_rows_are_those_of_the_marginal(solver):
    X = rows(missing=0.2)
    model = FactorAnalysis(2, solver=solver, max_iter=5000).fit(X)
    covariance = model.get_covariance()
    for row, score in zip(X[:30], model.score_samples(X[:30]), strict=True):
        seen = ~np.isnan(row)
        expected = multivariate_normal(model.mean_[seen], covariance[np.ix_(seen, seen)]).logpdf(row[seen])
        assert score == pytest.approx(expected, rel=1e-9)
    assert model.score(X) == pytest.approx(model.lower_bound_, abs=1e-9)


def test_fewer_rows_than_features_have_the_maximum_that_em_has():
    X = rows(40, 150, 3)
    direct = FactorAnalysis(3, tol=1e-10).fit(X)
    em = FactorAnalysis(3, solver="em-accelerated", tol=1e-9, max_iter=5000, random_state=0).fit(X)
    assert direct.lower_bound_ > em.lower_bound_ - 1e-6
    assert direct.n_iter_ < 30


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (3, 40)])
def test_hardly_any_rows_are_fitted(shape):
    X = np.random.default_rng(0).normal(size=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = FactorAnalysis(1).fit(X)
    assert np.isfinite(model.score(X))
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), atol=1e-9)


def test_a_constant_column_is_left_out_of_the_factors():
    X = rows()
    X[:, 3] = 7.3
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 3"):
        model = FactorAnalysis(2).fit(X)
    np.testing.assert_allclose(model.components_[:, 3], 0, atol=1e-6)
    kept = np.delete(np.arange(8), 3)
    alone = FactorAnalysis(2).fit(X[:, kept])
    np.testing.assert_allclose(model.get_covariance()[np.ix_(kept, kept)], alone.get_covariance(), rtol=1e-4, atol=1e-4)


def test_units_of_columns_change_loadings_in_proportion():
    X, units = rows(), 10.0 ** np.linspace(-100, 100, 8)
    plain, scaled = FactorAnalysis(2).fit(X), FactorAnalysis(2).fit(X * units)
    np.testing.assert_allclose(scaled.components_ / units, plain.components_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(scaled.noise_variance_ / units**2, plain.noise_variance_, rtol=1e-6)


def test_a_factor_that_is_a_column_is_named():
    X = rows()
    X[:, 1] = 2 * X[:, 0]
    with pytest.warns(ConvergenceWarning, match="Heywood"):
        model = FactorAnalysis(2).fit(X)
    assert np.isfinite(model.score(X))


def test_float32_rows_give_float32_parameters_and_the_same_likelihood():
    X = rows(5000)
    narrow, wide = FactorAnalysis(2).fit(X.astype(np.float32)), FactorAnalysis(2).fit(X)
    assert narrow.components_.dtype == narrow.noise_variance_.dtype == narrow.mean_.dtype == np.float32
    assert narrow.score(X.astype(np.float32)) == pytest.approx(wide.score(X), rel=1e-5)


def test_a_second_fit_and_a_pickle_change_nothing():
    X = rows()
    model = FactorAnalysis(2).fit(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    np.testing.assert_array_equal(again.fit(X).components_, model.components_)


def test_too_many_factors_are_refused():
    with pytest.raises(ValueError, match="n_components=9 must be at most n_features=8"):
        FactorAnalysis(9).fit(rows())
