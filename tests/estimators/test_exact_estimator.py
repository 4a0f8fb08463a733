"""What every estimator with an exact posterior shares: missing entries, precision, centring, interruption, chunks."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning

from skgen import GaussianMixture
from skgen.callbacks import EarlyStopping
from skgen.training.em import EM_SOLVERS
from tests.estimators.test_gaussian_mixture import every_type, rows

pytestmark = pytest.mark.filterwarnings("ignore:EM did not converge")

KNOWN = GaussianMixture.from_parameters(
    [0.4, 0.6],
    [[0.0, 0.0, 0.0], [4.0, -2.0, 1.0]],
    [
        [[1.0, 0.6, 0.2], [0.6, 1.5, -0.3], [0.2, -0.3, 0.8]],
        [[0.5, 0.0, -0.2], [0.0, 1.0, 0.4], [-0.2, 0.4, 2.0]],
    ],
    random_state=0,
)


def mixture(n_components=2, **params):
    return GaussianMixture(n_components, **{"random_state": 0} | params)


def with_gaps(X, share=0.2, seed=1):
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X


# -- missing entries ----------------------------------------------------------------------------------------------


@every_type
def test_the_score_of_a_row_with_gaps_is_that_of_its_marginal(kind):
    X = rows()
    fitted = mixture(covariance_type=kind).fit(X)
    for columns in ([0], [2], [0, 1], [1, 2]):
        hidden = np.full_like(X, np.nan)
        hidden[:, columns] = X[:, columns]
        marginal = fitted.marginal(columns)
        np.testing.assert_allclose(fitted.score_samples(hidden), marginal.score_samples(X[:, columns]), rtol=1e-9)
        found, expected = fitted.predict_proba(hidden), marginal.predict_proba(X[:, columns])
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)


def test_a_row_of_gaps_says_nothing():
    nothing = np.full((2, 3), np.nan)
    np.testing.assert_allclose(KNOWN.score_samples(nothing), 0, atol=1e-12)
    np.testing.assert_allclose(KNOWN.predict_proba(nothing), [[0.4, 0.6]] * 2, rtol=1e-12)
    mean = 0.4 * KNOWN.means_[0] + 0.6 * KNOWN.means_[1]
    np.testing.assert_allclose(KNOWN.impute(nothing), [mean] * 2, rtol=1e-12)
    X = rows()
    one, other = (mixture(reg_covar=0, tol=1e-13, max_iter=5000).fit(x) for x in (X, np.vstack([X, nothing])))
    # Each row without entries counts as a row, of log-likelihood 0.
    assert other.lower_bound_ * 302 == pytest.approx(one.lower_bound_ * 300, rel=1e-8)


def test_fits_of_rows_with_gaps_find_the_parameters():
    n = 20000
    X = with_gaps(KNOWN.sample(n, random_state=1)[0])
    fitted = mixture(tol=1e-9, max_iter=1000).fit(X)
    order = np.argsort(fitted.means_[:, 0])
    count = 0.8 * n * KNOWN.weights_
    for k, found in enumerate(order):
        variances = np.diag(KNOWN.covariances_[k])
        assert (np.abs(fitted.means_[found] - KNOWN.means_[k]) < 5 * np.sqrt(variances / count[k])).all()
        products = KNOWN.covariances_[k] ** 2 + np.outer(variances, variances)
        error = np.sqrt(products / (0.8 * count[k]))
        assert (np.abs(fitted.covariances_[found] - KNOWN.covariances_[k]) < 5 * error).all()
    assert abs(fitted.weights_[order[0]] - 0.4) < 5 * np.sqrt(0.24 / (0.8 * n))


@pytest.mark.parametrize("solver", EM_SOLVERS)
@every_type
def test_every_solver_learns_from_rows_with_gaps(kind, solver):
    X = with_gaps(rows())
    fitted = mixture(covariance_type=kind, solver=solver, max_iter=20, tol=0).fit(X)
    assert np.isfinite(fitted.lower_bound_)
    assert fitted.lower_bound_ == pytest.approx(fitted.score(X), rel=1e-10)
    assert fitted.lower_bound_ > mixture(1, covariance_type=kind).fit(X).lower_bound_ - 0.05


def test_gaps_are_filled_in_by_conditional_means():
    X = with_gaps(KNOWN.sample(40, random_state=1)[0], share=0.4)
    filled = KNOWN.impute(X)
    assert not np.isnan(filled).any()
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    for row, result in zip(X, filled, strict=True):
        hidden = np.isnan(row)
        if hidden.any() and not hidden.all():
            given = KNOWN.conditional(np.flatnonzero(~hidden), row[~hidden])
            np.testing.assert_allclose(result[hidden], given.weights_ @ given.means_, rtol=1e-9, atol=1e-12)


def test_gaps_are_filled_in_by_draws_from_the_conditional_distribution():
    row = np.array([2.0, np.nan, np.nan])
    n = 40000
    draws = KNOWN.impute(np.tile(row, (n, 1)), method="sample", random_state=3)[:, 1:]
    given = KNOWN.conditional([0], [2.0])
    mean = given.weights_ @ given.means_
    spread = given.means_ - mean
    covariance = np.einsum("k,kij->ij", given.weights_, given.covariances_)
    covariance += np.einsum("k,ki,kj->ij", given.weights_, spread, spread)
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * np.sqrt(np.diag(covariance) / n)).all()
    deviation = (draws - mean)[:, :, None] * (draws - mean)[:, None]
    assert (np.abs(deviation.mean(axis=0) - covariance) < 5 * deviation.std(axis=0) / np.sqrt(n)).all()
    X = with_gaps(rows())
    fitted = mixture().fit(X)
    one, other = (fitted.impute(X, method="sample", random_state=s) for s in (0, 1))
    assert (one != other).any(axis=1).sum() == np.isnan(X).any(axis=1).sum()
    np.testing.assert_array_equal(one, fitted.impute(X, method="sample", random_state=0))
    with pytest.raises(ValueError, match=r"method must be one of \['mean', 'sample'\], got 'median'"):
        fitted.impute(X, method="median")


def test_several_tables_have_draws_of_their_own():
    X = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan], [0.5, 1.0, 2.0]])[:, : KNOWN.n_features_in_]
    tables = KNOWN.impute(X, n_imputations=5, random_state=0)
    assert tables.shape == (5, *X.shape)
    seen = ~np.isnan(X)
    for i, table in enumerate(tables):
        np.testing.assert_array_equal(table[seen], X[seen])
        assert all((table != other)[~seen].all() for other in tables[:i])
    with pytest.raises(ValueError, match="n_imputations"):
        KNOWN.impute(X, n_imputations=0)


def test_a_column_of_gaps_is_named():
    X = rows()
    X[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"Column\(s\) 1 of X have no observed value"):
        mixture().fit(X)
    with pytest.raises(ValueError, match=r"Column\(s\) b of X have no observed value"):
        mixture().fit(pd.DataFrame(X, columns=list("abc")))
    weight = np.r_[np.ones(10), np.zeros(290)]
    X = rows()
    X[:10, 2] = np.nan
    with pytest.raises(ValueError, match=r"Column\(s\) 2 of X have no observed value"):
        mixture().fit(X, sample_weight=weight)


def test_a_constant_column_is_named_once():
    X = rows()
    X[:, 1] = 7.0
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 1 carry no information") as caught:
        fitted = mixture().fit(X)
    assert len(caught) == 1
    assert np.isfinite(fitted.score_samples(X)).all()
    np.testing.assert_allclose(fitted.means_[:, 1], 7.0, rtol=1e-9)


# -- precision and place ------------------------------------------------------------------------------------------


@every_type
def test_rows_in_float32_give_float32_and_nearly_the_same_likelihood(kind):
    X = rows(3000).astype(np.float32)
    one, other = (mixture(3, covariance_type=kind, max_iter=30, tol=0).fit(x) for x in (X, X.astype(np.float64)))
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(one, name).dtype == np.float32
        assert getattr(other, name).dtype == np.float64
    assert one.predict_proba(X).dtype == one.sample()[0].dtype == one.impute(X).dtype == np.float32
    assert one.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-5)
    assert one.score(X) == pytest.approx(other.score(X.astype(np.float64)), rel=1e-5)


@pytest.mark.parametrize("shift", [1e3, 1e6, 1e9])
@every_type
def test_where_the_rows_are_changes_nothing(kind, shift):
    # Rows on a grid of whole eighths, which moving them does not round.
    X = np.round(rows() * 8) / 8
    one, other = (mixture(covariance_type=kind, max_iter=20, tol=0).fit(X + place) for place in (0.0, shift))
    np.testing.assert_allclose(other.means_ - shift, one.means_, atol=1e-7 + shift * 1e-15)
    np.testing.assert_allclose(other.covariances_, one.covariances_, rtol=1e-6, atol=1e-8)
    assert other.lower_bound_ == pytest.approx(one.lower_bound_, rel=1e-8)


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_covariances_of_condition_1e12_keep_their_digits(kind):
    X = rows()
    root = np.diag([1.0, 1e-3, 1e-6]) @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    plain = mixture(covariance_type=kind, reg_covar=0, max_iter=20, tol=0).fit(X)
    turned = mixture(covariance_type=kind, reg_covar=0, max_iter=20, tol=0).fit(X @ root)
    shift = np.linalg.slogdet(root)[1]
    assert turned.lower_bound_ + shift == pytest.approx(plain.lower_bound_, abs=1e-4)


# -- runs ---------------------------------------------------------------------------------------------------------


class Stop:
    """Does something after an iteration."""

    def __init__(self, iteration, action):
        self.iteration, self.action = iteration, action

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "iteration" and context.task_id == self.iteration - 1 and self.action()


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("solver", EM_SOLVERS)
def test_ctrl_c_leaves_the_parameters_so_far(solver):
    X = rows()
    estimator = mixture(solver=solver, tol=0, max_iter=30).set_callbacks(Stop(4, interrupt))
    assert isinstance(estimator, CallbackSupportMixin)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        estimator.fit(X)
    assert estimator.n_iter_ == len(estimator.lower_bounds_) == 4
    assert estimator.lower_bound_ == pytest.approx(estimator.score(X), rel=1e-10)
    pickle.loads(pickle.dumps(estimator.set_callbacks())).predict(X)


def test_a_callback_that_keeps_the_best_iteration_gets_its_parameters():
    X = rows()
    estimator = mixture(solver="online", batch_size=10, tol=0, max_iter=40, learning_decay=0.51)
    estimator.set_callbacks(EarlyStopping(patience=40)).fit(X)
    assert estimator.best_iter_ == 1 + int(np.argmax(estimator.lower_bounds_))
    far = mixture(tol=0, max_iter=10).set_callbacks(EarlyStopping()).fit(X * [1, 1e-7, 1] + [0, 1, 0])
    assert np.isfinite(far.score(X * [1, 1e-7, 1] + [0, 1, 0]))


@pytest.mark.parametrize("solver", EM_SOLVERS)
def test_solvers_end_where_em_does(solver):
    X = rows(600, 2, seed=2)
    reference = mixture(tol=1e-10, max_iter=2000).fit(X)
    found = mixture(solver=solver, tol=0, max_iter=100, batch_size=200).fit(X)
    # Online and Monte Carlo EM end within their noise: a fraction of a nat over all rows, per parameter.
    noise = {"online": 11 / 600, "mcem": 11 / 600}.get(solver, 1e-5)
    assert found.lower_bound_ > reference.lower_bound_ - noise


def test_an_absent_device_is_refused():
    with pytest.raises(ValueError, match="device='cuda:7' is not present; available: "):
        mixture(device="cuda:7").fit(rows())


def test_a_fitted_model_of_an_absent_device_works_on_the_cpu():
    fitted = mixture().fit(rows()).set_params(device="cuda:7")
    fitted = pickle.loads(pickle.dumps(fitted))
    with pytest.warns(UserWarning, match="Using the CPU"):
        fitted.predict(rows())
