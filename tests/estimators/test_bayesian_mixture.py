import inspect

import numpy as np
import pytest
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture as Plain

from skgen import BayesianGaussianMixture
from skgen.distributions.covariance import COVARIANCES
from skgen.models.weight_priors import WEIGHT_PRIORS

# The rows of a fit are learnt from in one pass, so that sums differ by rounding only.
ROUNDING = {"rtol": 1e-9, "atol": 1e-9}

EVERY_COVARIANCE = pytest.mark.parametrize("covariance_type", sorted(COVARIANCES))
PLAIN_COVARIANCES = pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
EVERY_WEIGHT = pytest.mark.parametrize("weights", sorted(WEIGHT_PRIORS))


def clusters(n=120, d=3, seed=0, spread=6.0):
    """Rows in three clusters."""
    random = np.random.default_rng(seed)
    means = spread * random.normal(size=(3, d))
    return means[np.arange(n) % 3] + random.normal(size=(n, d)) @ random.normal(size=(d, d))


def with_missing(X, share=0.2, seed=1):
    missing = np.random.default_rng(seed).random(X.shape) < share
    missing[0] = False
    return np.where(missing, np.nan, X)


def mixture(n_components=3, **parameters):
    return BayesianGaussianMixture(n_components, **{"random_state": 0, "max_iter": 200} | parameters)


def plain_of(fitted, X):
    """scikit-learn's mixture with the parameters of a fitted one."""
    names = set(Plain().get_params()) - {"tol", "n_init", "max_iter", "verbose", "verbose_interval"}
    plain = Plain(**{name: value for name, value in fitted.get_params().items() if name in names})
    plain._check_parameters(X, np)
    degrees = fitted.degrees_of_freedom_
    parameters = (fitted.weight_concentration_, fitted.mean_precision_, fitted.means_, degrees, fitted.covariances_)
    plain._set_parameters((*parameters, fitted.precisions_cholesky_))
    plain.converged_, plain.n_features_in_ = True, X.shape[1]
    return plain


# -- scikit-learn ---------------------------------------------------------------------------------------------------


def test_all_parameters_of_scikit_learn_are_here_with_its_defaults():
    ours = inspect.signature(BayesianGaussianMixture).parameters
    for name, parameter in inspect.signature(Plain).parameters.items():
        assert ours[name].default == parameter.default, name


@PLAIN_COVARIANCES
@EVERY_WEIGHT
def test_all_attributes_of_scikit_learn_are_here_in_its_shapes(covariance_type, weights):
    X = clusters()
    fitted = mixture(covariance_type=covariance_type, weight_concentration_prior_type=weights).fit(X)
    plain = Plain(
        n_components=3, covariance_type=covariance_type, weight_concentration_prior_type=weights, random_state=0
    ).fit(X)
    # scikit-learn's bounds are arrays of one number where the covariance is tied; fits take as many steps as they need.
    bounds = {"lower_bound_", "lower_bounds_"}
    names = {name for name in vars(plain) if name.endswith("_") and not name.startswith("_")}
    assert all(hasattr(fitted, name) for name in names)
    for name in names - bounds:
        assert np.shape(getattr(fitted, name)) == np.shape(getattr(plain, name)), name
    for name in ("weight_concentration_", "lower_bounds_", "converged_", "n_iter_"):
        assert type(getattr(fitted, name)) is type(getattr(plain, name)), name


@PLAIN_COVARIANCES
def test_priors_are_scikit_learns_by_default(covariance_type):
    X = clusters()
    fitted = mixture(covariance_type=covariance_type).fit(X)
    plain = Plain(n_components=3, covariance_type=covariance_type)
    plain._check_parameters(X, np)
    for name in ("weight_concentration_prior", "mean_precision_prior", "mean_prior", "covariance_prior"):
        np.testing.assert_allclose(getattr(fitted, f"{name}_"), getattr(plain, f"{name}_"), **ROUNDING)
    assert fitted.degrees_of_freedom_prior_ == plain.degrees_of_freedom_prior_


@PLAIN_COVARIANCES
@EVERY_WEIGHT
def test_a_fit_ends_where_scikit_learn_stays(covariance_type, weights):
    X = clusters()
    fitted = mixture(covariance_type=covariance_type, weight_concentration_prior_type=weights, tol=0).fit(X)
    plain = plain_of(fitted, X)
    np.testing.assert_allclose(fitted.weights_, plain.weights_, **ROUNDING)
    np.testing.assert_allclose(fitted.precisions_, plain.precisions_, **ROUNDING)
    np.testing.assert_allclose(fitted.predict_proba(X), plain.predict_proba(X), **ROUNDING)
    plain._m_step(X, plain._e_step(X)[1])
    np.testing.assert_allclose(fitted.means_, plain.means_, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(fitted.covariances_, plain.covariances_, rtol=1e-7, atol=1e-7)


# -- the bound and the predictive density ---------------------------------------------------------------------------


@EVERY_COVARIANCE
@EVERY_WEIGHT
@pytest.mark.parametrize("missing", [False, True])
def test_the_bound_never_falls_without_reg_covar(covariance_type, weights, missing):
    X = with_missing(clusters(spread=2.0)) if missing else clusters(spread=2.0)
    fitted = mixture(covariance_type=covariance_type, weight_concentration_prior_type=weights, reg_covar=0, tol=0)
    fitted.set_params(max_iter=40).fit(X)
    bounds = [*fitted.lower_bounds_, fitted.lower_bound_]
    assert min(np.diff(bounds)) >= -1e-13 * abs(bounds[-1])


def test_scores_of_one_component_are_ratios_of_evidences():
    X, fixed = clusters(40), {"mean_prior": np.zeros(3), "covariance_prior": np.eye(3)}
    one = mixture(1, weight_concentration_prior_type="dirichlet_distribution", reg_covar=0, **fixed)
    before, after = (one.fit(rows).lower_bound_ * len(rows) for rows in (X[:-1], X))
    score = one.fit(X[:-1]).score_samples(X[-1:])
    np.testing.assert_allclose(score, after - before, **ROUNDING)


@EVERY_COVARIANCE
def test_scores_are_log_densities_of_student_distributions(covariance_type):
    X = clusters()
    fitted = mixture(2, covariance_type=covariance_type).fit(X)
    matrices = {
        "full": fitted.covariances_,
        "diag": [np.diag(np.ravel(each)) for each in np.atleast_2d(fitted.covariances_)],
    }.get(covariance_type)
    if matrices is None:
        each = np.broadcast_to(fitted.covariances_, 2) if fitted.covariances_.ndim == 0 else fitted.covariances_
        spherical = "spherical" in covariance_type
        matrices = [np.eye(3) * v for v in each] if spherical else [np.atleast_2d(each)] * 2
        matrices = [np.diag(each)] * 2 if covariance_type == "tied_diag" else matrices
    degrees, beta = np.broadcast_to(fitted.degrees_of_freedom_, 2), fitted.mean_precision_
    density = sum(
        weight * multivariate_t.pdf(X, mean, (1 + b) * nu / (b * (nu - 2)) * matrix, nu - 2)
        for weight, mean, matrix, nu, b in zip(fitted.weights_, fitted.means_, matrices, degrees, beta, strict=True)
    )
    np.testing.assert_allclose(fitted.score_samples(X), np.log(density), **ROUNDING)


def test_scores_do_not_depend_on_where_the_origin_is():
    X = clusters()
    near, far = (mixture(reg_covar=0).fit(rows) for rows in (X, X + 2.0**20))
    np.testing.assert_allclose(near.score_samples(X), far.score_samples(X + 2.0**20), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(near.mean_prior_ + 2.0**20, far.mean_prior_, rtol=1e-9)


@pytest.mark.parametrize("solver", ["em-accelerated", "incremental", "gradient"])
@EVERY_WEIGHT
def test_every_solver_finds_the_same_posterior(solver, weights):
    X, options = clusters(), {"weight_concentration_prior_type": weights, "tol": 0, "reg_covar": 0}
    reference, other = (mixture(solver=each, max_iter=60, **options).fit(X) for each in ("em", solver))
    assert other.lower_bound_ == pytest.approx(reference.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(other.means_, reference.means_, atol=1e-3)


def test_online_em_comes_close_to_the_best_bound():
    X, options = clusters(2000), {"tol": 0, "max_iter": 10}
    best, online = mixture(**options).fit(X), mixture(solver="online", batch_size=250, **options).fit(X)
    assert online.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-2)


def test_components_that_nothing_asks_for_get_no_weight():
    random = np.random.default_rng(0)
    X = 20 * np.eye(3)[np.arange(300) % 3] + random.normal(size=(300, 3))
    fitted = mixture(6, weight_concentration_prior=1e-3, max_iter=2000, tol=1e-8).fit(X)
    np.testing.assert_allclose(np.sort(fitted.weights_), [0, 0, 0, 1 / 3, 1 / 3, 1 / 3], atol=0.01)


# -- weights, missing entries, chunks -------------------------------------------------------------------------------


@EVERY_COVARIANCE
@pytest.mark.parametrize("missing", [False, True])
def test_weights_are_repetitions(covariance_type, missing):
    X = with_missing(clusters()) if missing else clusters()
    weight = np.arange(len(X)) % 4
    weighted = mixture(covariance_type=covariance_type).fit(X, sample_weight=weight)
    repeated = mixture(covariance_type=covariance_type).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.means_, repeated.means_, **ROUNDING)
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, **ROUNDING)
    np.testing.assert_allclose(weighted.covariance_prior_, repeated.covariance_prior_, **ROUNDING)
    np.testing.assert_allclose(weighted.lower_bound_, repeated.lower_bound_, **ROUNDING)


@EVERY_COVARIANCE
def test_missing_entries_are_allowed_everywhere(covariance_type):
    X = with_missing(clusters())
    X[1] = np.nan
    fitted = mixture(covariance_type=covariance_type).fit(X)
    assert np.isfinite(fitted.score_samples(X)).all()
    np.testing.assert_allclose(fitted.score_samples(X)[1], 0, atol=1e-12)
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)
    for method in ("mean", "sample"):
        filled = fitted.impute(X, method=method)
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])


def test_few_missing_entries_change_little():
    X = clusters(3000)
    whole, partial = (mixture(tol=1e-6).fit(rows) for rows in (X, with_missing(X, 0.05)))
    order = [np.argmin(np.linalg.norm(partial.means_ - mean, axis=1)) for mean in whole.means_]
    # Means of a thousand rows with variances of at most ten or so.
    np.testing.assert_allclose(partial.means_[order], whole.means_, atol=0.2)


def test_chunks_are_learnt_from_one_by_one():
    X = clusters(6000)
    chunked = mixture(total_samples=6000)
    for chunk in np.split(X, 12):
        chunked.partial_fit(chunk)
    assert chunked.n_samples_seen_ == 6000
    np.testing.assert_allclose(chunked.mean_precision_.sum(), 6000 + 3, rtol=1e-9)
    assert chunked.score(X) == pytest.approx(mixture().fit(X).score(X), abs=0.01)


# -- draws ----------------------------------------------------------------------------------------------------------


def test_draws_have_the_scores_that_the_density_promises():
    X = clusters()
    fitted = mixture().fit(X)
    draws, labels = fitted.sample(4000, random_state=1)
    assert draws.shape == (4000, 3)
    assert labels.shape == (4000,)
    # E[q(x) / p(x)] = 1 for any density q, and p is at most e times smaller here.
    other = multivariate_t(draws.mean(axis=0), np.cov(draws.T), 5)
    ratio = np.exp(other.logpdf(draws) - fitted.score_samples(draws))
    error = ratio.std() / len(ratio) ** 0.5
    assert abs(ratio.mean() - 1) < 5 * error


@EVERY_COVARIANCE
def test_with_any_amount_of_evidence_the_predictive_density_is_that_of_the_expected_mixture(covariance_type):
    X = clusters()
    model = mixture(1, covariance_type=covariance_type).fit(X, sample_weight=np.full(len(X), 1e200))
    scale = model.covariances_ * np.eye(3) if np.ndim(model.covariances_) < 2 else model.covariances_
    scale = np.diag(scale[0]) if covariance_type == "diag" else scale
    expected = multivariate_normal(model.means_[0], np.reshape(scale, (3, 3))).logpdf(X)
    np.testing.assert_allclose(model.score_samples(X), expected, **ROUNDING)


# -- hostile rows ---------------------------------------------------------------------------------------------------


def finite(fitted, X):
    parts = [*fitted.parameters_.values(), fitted.score_samples(X), fitted.predict_proba(X), fitted.covariances_]
    return all(np.isfinite(part).all() for part in parts) and np.isfinite(fitted.lower_bound_)


@EVERY_COVARIANCE
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_a_constant_column_is_fitted_with_a_warning(covariance_type, reg_covar):
    X = clusters()
    X[:, 1] = 3.0
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 1"):
        fitted = mixture(covariance_type=covariance_type, reg_covar=reg_covar).fit(X)
    assert finite(fitted, X)
    np.testing.assert_allclose(fitted.means_[:, 1], 3.0)


@EVERY_COVARIANCE
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_columns_that_depend_on_others_are_fitted(covariance_type, reg_covar):
    X = clusters()
    X[:, 2] = X[:, 0] + X[:, 1]
    assert finite(mixture(covariance_type=covariance_type, reg_covar=reg_covar).fit(X), X)


@EVERY_COVARIANCE
def test_more_columns_than_rows_are_fitted(covariance_type):
    X = np.random.default_rng(0).normal(size=(10, 30))
    assert finite(mixture(2, covariance_type=covariance_type).fit(X), X)


@EVERY_COVARIANCE
def test_duplicated_rows_are_fitted(covariance_type):
    X = np.repeat(clusters(6), 20, axis=0)
    assert finite(mixture(5, covariance_type=covariance_type).fit(X), X)


@EVERY_COVARIANCE
def test_covariances_of_condition_1e12_are_fitted(covariance_type):
    X = clusters() * np.array([1e-6, 1.0, 1e6])
    fitted = mixture(covariance_type=covariance_type, reg_covar=0).fit(X)
    assert finite(fitted, X)


def test_rows_are_scored_alike_in_any_units():
    X, scale = clusters(), np.array([1e-6, 1.0, 1e6])
    plain, scaled = (mixture(reg_covar=0).fit(rows) for rows in (X, X * scale))
    np.testing.assert_allclose(plain.score_samples(X), scaled.score_samples(X * scale) + np.log(scale).sum(), rtol=1e-6)


def test_fewer_rows_than_components_are_refused():
    with pytest.raises(ValueError, match="n_components = 5"):
        mixture(5).fit(clusters(4))


def test_a_column_without_values_is_refused():
    X = clusters()
    X[:, 1] = np.nan
    with pytest.raises(ValueError, match="no observed value"):
        mixture().fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mean_prior": [0.0, 1.0]}, "mean_prior"),
        ({"mean_prior": [0.0, np.inf, 1.0]}, "mean_prior"),
        ({"degrees_of_freedom_prior": 2.0}, "degrees_of_freedom_prior"),
        ({"covariance_prior": np.ones((3, 3))}, "covariance_prior"),
        ({"covariance_prior": 1.0}, "covariance_prior"),
        ({"covariance_prior": np.ones(2), "covariance_type": "diag"}, "covariance_prior"),
        ({"covariance_prior": -np.ones(3), "covariance_type": "tied_diag"}, "covariance_prior"),
        ({"weight_concentration_prior": 0}, "weight_concentration_prior"),
        ({"weight_concentration_prior_type": "dirichlet"}, "weight_concentration_prior_type"),
        ({"solver": "mcem"}, "solver"),
    ],
)
def test_parameters_out_of_their_range_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        mixture(**parameters).fit(clusters())


@pytest.mark.parametrize(
    ("covariance_type", "covariance_prior"),
    [
        ("full", 2 * np.eye(3)),
        ("tied", 2 * np.eye(3)),
        ("diag", 2 * np.ones(3)),
        ("tied_diag", 2 * np.ones(3)),
        ("spherical", 2.0),
        ("tied_spherical", 2.0),
    ],
)
def test_given_priors_are_kept(covariance_type, covariance_prior):
    given = {"mean_prior": np.arange(3.0), "mean_precision_prior": 0.5, "degrees_of_freedom_prior": 4.5}
    fitted = mixture(covariance_type=covariance_type, covariance_prior=covariance_prior, **given).fit(clusters())
    np.testing.assert_array_equal(fitted.covariance_prior_, covariance_prior)
    for name, value in given.items():
        np.testing.assert_array_equal(getattr(fitted, f"{name}_"), value)


def test_float32_rows_give_float32_parameters():
    X = clusters()
    wide, narrow = mixture().fit(X), mixture().fit(X.astype(np.float32))
    assert narrow.means_.dtype == narrow.covariances_.dtype == narrow.score_samples(X.astype(np.float32)).dtype
    assert narrow.means_.dtype == np.float32
    assert narrow.lower_bound_ == pytest.approx(wide.lower_bound_, rel=1e-5)


def test_a_fit_that_has_not_converged_says_so():
    with pytest.warns(ConvergenceWarning, match="did not converge in 2 iterations"):
        mixture(max_iter=2, tol=1e-9).fit(clusters(spread=1.0))


def test_a_warm_start_goes_on_under_the_same_prior():
    X = clusters(spread=2.0)
    whole = mixture(tol=0, max_iter=20).fit(X)
    parts = mixture(tol=0, max_iter=10, warm_start=True).fit(X).fit(X)
    np.testing.assert_allclose(parts.means_, whole.means_, **ROUNDING)
    assert parts.n_iter_ == 20
