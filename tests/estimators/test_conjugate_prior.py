"""Conjugate priors, as users write them."""

import numpy as np
import pytest
from sklearn.base import clone

from skgen import GaussianMixture
from skgen.priors import Conjugate
from tests.estimators.test_gaussian_mixture import every_type, rows

pytestmark = pytest.mark.filterwarnings("ignore:EM did not converge")


def mixture(n_components=2, **params):
    return GaussianMixture(n_components, **{"reg_covar": 0.0, "random_state": 0, "prior": "conjugate"} | params)


@every_type
def test_the_bound_with_a_prior_never_falls(kind):
    fitted = mixture(3, covariance_type=kind, tol=0, max_iter=60).fit(rows())
    assert (np.diff(fitted.lower_bounds_) >= -1e-12).all()


@every_type
def test_with_a_prior_no_component_collapses(kind):
    X = np.concatenate([rows(60), np.full((20, 3), 9.0)])
    fitted = mixture(6, covariance_type=kind, max_iter=300).fit(X)
    assert fitted.events_ == []
    assert np.isfinite(fitted.score(X))
    assert np.linalg.eigvalsh(np.atleast_2d(fitted.precisions_ if kind == "full" else [[1.0]])).min() > 0


@every_type
def test_many_rows_outweigh_a_prior(kind):
    X = rows()
    # Weights are repetitions.
    weight = np.full(len(X), 1000.0)
    free = mixture(covariance_type=kind, prior=None, tol=1e-10, max_iter=500).fit(X, sample_weight=weight)
    held = mixture(covariance_type=kind, tol=1e-10, max_iter=500).fit(X, sample_weight=weight)
    assert held.score(X) == pytest.approx(free.score(X), abs=1e-4)


def test_a_single_component_has_the_mode_of_its_posterior():
    X = rows()
    n, d = X.shape
    scale = np.diag([1.0, 2.0, 3.0])
    prior = Conjugate(mean_precision=5.0, mean=[1.0, 2.0, 3.0], degrees_of_freedom=7.0, covariance=scale)
    fitted = mixture(1, prior=prior).fit(X)
    mean = (X.sum(axis=0) + 5 * np.array([1.0, 2.0, 3.0])) / (n + 5)
    np.testing.assert_allclose(fitted.means_[0], mean, rtol=1e-10)
    deviation, pull = X - X.mean(axis=0), X.mean(axis=0) - [1.0, 2.0, 3.0]
    scatter = scale + deviation.T @ deviation + n * 5 / (n + 5) * np.outer(pull, pull)
    np.testing.assert_allclose(fitted.covariances_[0], scatter / (7 + d + 2 + n), rtol=1e-10)


def test_the_defaults_are_scaled_by_the_rows():
    X = rows()
    plain = mixture(max_iter=200, tol=1e-12).fit(X)
    moved = mixture(max_iter=200, tol=1e-12).fit(100 * X + 7)
    np.testing.assert_allclose(moved.means_, 100 * plain.means_ + 7, rtol=1e-6)
    np.testing.assert_allclose(moved.covariances_, 1e4 * plain.covariances_, rtol=1e-6)


def test_rows_on_a_plane_leave_no_component_singular():
    X = rows()
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    fitted = mixture(max_iter=20, tol=0).fit(X)
    assert np.linalg.eigvalsh(fitted.covariances_).min() > 0


def test_few_rows_in_many_columns_and_constant_columns():
    X = np.random.default_rng(0).normal(size=(8, 20))
    X[:, 3] = 2.0
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 3 "):
        fitted = mixture(max_iter=20).fit(X)
    assert np.isfinite(fitted.score_samples(X)).all()


def test_missing_entries_do_not_count_in_the_prior():
    X = rows()
    X[::3, 1] = np.nan
    assert np.isfinite(mixture().fit(X).score(X))


def test_a_prior_is_a_parameter_like_others():
    estimator = mixture(prior=Conjugate()).set_params(prior__mean_precision=2.0)
    assert clone(estimator).get_params()["prior__mean_precision"] == 2.0
    estimator.fit(rows())
    assert estimator.prior == Conjugate(mean_precision=2.0)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Conjugate(weight_concentration=0.5), "prior__weight_concentration must be a number >= 1"),
        (Conjugate(mean_precision=-1), "prior__mean_precision must be a number >= 0"),
        (Conjugate(mean=[0.0]), r"prior__mean must have shape \(3,\)"),
        (Conjugate(degrees_of_freedom=2), "prior__degrees_of_freedom must be a number > 2"),
        (Conjugate(covariance=-1.0), "prior__covariance must be a positive number, 3 of them, or"),
        (Conjugate(covariance=[1.0, 2.0]), "prior__covariance must be"),
        (Conjugate(covariance=np.ones((3, 3))), "prior__covariance must be"),
        (Conjugate(covariance=np.nan), "prior__covariance must be"),
        (Conjugate(mean=[0.0, np.nan, 0.0]), "prior__mean must"),
        ("flat", "'prior' parameter"),
    ],
)
def test_a_wrong_prior_is_named(prior, message):
    with pytest.raises(ValueError, match=message):
        mixture(prior=prior).fit(rows())


@pytest.mark.parametrize("covariance", [2.0, [2.0, 2.0, 2.0], np.diag([2.0, 2.0, 2.0])])
def test_a_scale_may_come_in_several_shapes(covariance):
    X = rows()
    known = mixture(prior=Conjugate(covariance=2.0)).fit(X)
    fitted = mixture(prior=Conjugate(covariance=covariance)).fit(X)
    np.testing.assert_array_equal(fitted.means_, known.means_)
