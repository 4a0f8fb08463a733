"""MixtureOfFactorAnalyzers: what it says of rows, against the dense normals that it stands for."""

import numpy as np
import pytest
import sklearn.decomposition
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from skgen import GaussianMixture, MixtureOfFactorAnalyzers
from skgen.models.factor_mixture import NOISES
from skgen.training.em import EM_SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore:EM did not converge")

every_noise = pytest.mark.parametrize("noise", NOISES)
# Sums of a hundred products.
ROUNDING = 1e-9


def rows(n_rows=200, n_features=5, *, apart=6.0, missing=0.0, seed=0):
    """Rows of two clusters around planes, and their clusters."""
    random = np.random.default_rng(seed)
    labels = np.arange(n_rows) % 2
    planes = random.normal(size=(2, 2, n_features))
    X = np.einsum("nq,nqd->nd", random.normal(size=(n_rows, 2)), planes[labels])
    X += 0.5 * random.normal(size=X.shape) + apart * labels[:, None]
    X[random.random(X.shape) < missing] = np.nan
    return X, labels


def mixture(n_components=2, **parameters):
    return MixtureOfFactorAnalyzers(n_components, **{"n_factors": 2, "random_state": 0} | parameters)


def joint_density(model, X):
    """log p(observed entries of X, component), (rows, K), by SciPy."""
    joint = np.tile(np.log(model.weights_), (len(X), 1))
    for k, (mean, covariance) in enumerate(zip(model.means_, model.get_covariance(), strict=True)):
        for n, row in enumerate(X):
            there = ~np.isnan(row)
            if there.any():
                joint[n, k] += multivariate_normal(mean[there], covariance[np.ix_(there, there)]).logpdf(row[there])
    return joint


# -- fits ---------------------------------------------------------------------------------------------------------


def test_one_component_is_factor_analysis():
    X = rows(800, 8)[0][::2]
    model = mixture(1, reg_covar=0.0, tol=1e-12, max_iter=2000).fit(X)
    peer = sklearn.decomposition.FactorAnalysis(2, tol=1e-8, max_iter=5000, svd_method="lapack").fit(X)
    assert model.score(X) == pytest.approx(peer.score(X), abs=1e-6)
    np.testing.assert_allclose(model.get_covariance(0), peer.get_covariance(), atol=1e-3)


def test_one_component_with_isotropic_noise_is_probabilistic_pca():
    X, _ = rows(apart=0.0)
    model = mixture(1, noise="isotropic", reg_covar=0.0, max_iter=1, tol=0.0).fit(X)
    peer = sklearn.decomposition.PCA(2).fit(X)
    covariance = peer.get_covariance() * (len(X) - 1) / len(X)  # scikit-learn divides by n - 1
    np.testing.assert_allclose(model.get_covariance(0), covariance, rtol=1e-9, atol=1e-9)


def test_clusters_are_found():
    X, labels = rows()
    found = mixture().fit_predict(X)
    assert (found == labels).all() or (found == 1 - labels).all()


def test_few_factors_generalise_better_than_full_covariances_from_few_rows_of_many_columns():
    X, _ = rows(240, 40)
    held_out = X[160:]
    model, full = mixture(reg_covar=1e-3).fit(X[:160]), GaussianMixture(2, reg_covar=1e-3, random_state=0).fit(X[:160])
    assert model.score(held_out) > full.score(held_out) + 5


@every_noise
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_weight_is_a_repetition_and_no_weight_is_absence(noise, missing):
    X, _ = rows(60, missing=missing)
    weight = np.random.default_rng(1).integers(0, 4, len(X))
    parameters = {"noise": noise, "max_iter": 20, "tol": 0.0}
    weighted = mixture(**parameters).fit(X, sample_weight=weight)
    repeated = mixture(**parameters).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-6)
    assert weighted.bic(X, weight) == pytest.approx(repeated.bic(np.repeat(X, weight, axis=0)), rel=1e-6)


@pytest.mark.parametrize("solver", EM_SOLVERS)
def test_a_weight_is_a_repetition_for_every_solver(solver):
    X, _ = rows(30, missing=0.1)
    weight = np.random.default_rng(1).integers(0, 4, len(X))
    # Repetitions are more rows than a batch takes, and so are the distinct rows.
    parameters = {"solver": solver, "batch_size": 12, "max_iter": 20, "tol": 0.0}
    weighted = mixture(**parameters).fit(X, sample_weight=weight)
    repeated = mixture(**parameters).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-6)


def test_the_bound_is_the_mean_log_likelihood_at_the_fitted_parameters_and_never_falls():
    X, _ = rows(missing=0.2)
    model = mixture(reg_covar=0.0, max_iter=50, tol=0.0).fit(X)
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-12)
    assert (np.diff([*model.lower_bounds_, model.lower_bound_]) > -1e-10).all()


def test_chunks_are_learnt_from_one_after_the_other():
    X, _ = rows(6000)
    whole, model = mixture().fit(X), mixture()
    for chunk in np.array_split(X, 12):
        model.partial_fit(chunk)
    # 27 free parameters are each found within a few standard errors: half a nat over the rows for each.
    assert model.score(X) > whole.score(X) - 20 * 27 / len(X)


def test_rows_in_float32_give_parameters_in_float32_near_those_in_float64():
    X, _ = rows()
    single, double = mixture().fit(X.astype(np.float32)), mixture().fit(X)
    for name in ("weights_", "means_", "components_", "noise_variance_"):
        assert getattr(single, name).dtype == np.float32
    assert single.transform(X.astype(np.float32)).dtype == np.float32
    assert single.score(X) == pytest.approx(double.score(X), abs=1e-5)


# -- densities and latent variables -------------------------------------------------------------------------------


@every_noise
def test_scores_and_probabilities_are_those_of_dense_normals_also_where_entries_are_missing(noise):
    X, _ = rows(apart=1.0, missing=0.3)
    X[0] = np.nan
    model = mixture(3, noise=noise, max_iter=10).fit(X)
    joint = joint_density(model, X[:40])
    np.testing.assert_allclose(model.score_samples(X[:40]), logsumexp(joint, axis=1), rtol=1e-7, atol=1e-9)
    shares = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_proba(X[:40]), shares, rtol=1e-6, atol=1e-9)
    assert model.score_samples(X[:1]) == pytest.approx(0, abs=1e-12)


@every_noise
def test_attributes_have_the_documented_shapes_and_make_up_the_covariances(noise):
    X, _ = rows()
    model = mixture(3, noise=noise, n_factors=1, max_iter=3).fit(X)
    assert model.components_.shape == (3, 1, 5)
    assert model.noise_variance_.shape == {"diagonal": (3, 5), "isotropic": (3,), "shared": (5,)}[noise]
    per_row = {"diagonal": model.noise_variance_[1], "isotropic": np.full(5, model.noise_variance_[1])}
    noise_of_1 = per_row.get(noise, model.noise_variance_)
    expected = model.components_[1].T @ model.components_[1] + np.diag(noise_of_1)
    np.testing.assert_allclose(model.get_covariance(1), expected, rtol=ROUNDING)
    np.testing.assert_allclose(model.get_covariance()[1], expected, rtol=ROUNDING)


def test_transform_is_the_mean_of_the_factors_times_the_responsibility():
    X, _ = rows(apart=1.0, missing=0.1)
    model = mixture(3, max_iter=10).fit(X)
    responsibilities, means = model.posterior(X)
    np.testing.assert_allclose(responsibilities, model.predict_proba(X))
    Z = model.transform(X)
    np.testing.assert_allclose(Z.reshape(len(X), 3, 2), responsibilities[:, :, None] * means)
    assert list(model.get_feature_names_out()) == [f"mixtureoffactoranalyzers{i}" for i in range(6)]
    for k, covariance in enumerate(model.get_covariance()):
        row = X[5]
        there = ~np.isnan(row)
        gain = np.linalg.solve(covariance[np.ix_(there, there)], (row - model.means_[k])[there])
        np.testing.assert_allclose(means[5, k], model.components_[k][:, there] @ gain, rtol=1e-7)


def test_rows_of_one_component_come_back_from_their_factors_but_for_the_noise():
    X, _ = rows(apart=30.0)
    model = mixture().fit(X)
    Z = model.transform(X)
    k = model.predict(X)
    plane = model.means_[k] + np.einsum(
        "nq,nqd->nd", Z.reshape(len(X), 2, 2)[np.arange(len(X)), k], model.components_[k]
    )
    np.testing.assert_allclose(model.inverse_transform(Z), plane, rtol=1e-7)
    assert np.square(model.inverse_transform(Z) - X).mean() < 0.5**2
    np.testing.assert_allclose(model.inverse_transform(np.zeros((1, 4)))[0], model.weights_ @ model.means_)
    with pytest.raises(ValueError, match="n_components \\* n_factors = 4"):
        model.inverse_transform(np.zeros((1, 3)))


def test_missing_entries_are_filled_by_conditional_means_and_draws():
    X, _ = rows(600)
    holes = X.copy()
    gone = np.random.default_rng(3).random(X.shape) < 0.2
    holes[gone] = np.nan
    model = mixture().fit(holes)
    mean, draw = model.impute(holes), model.impute(holes, method="sample", random_state=1)
    for filled in (mean, draw):
        np.testing.assert_array_equal(filled[~gone], X[~gone])
        assert np.isfinite(filled).all()
    errors = [np.square(filled[gone] - X[gone]).mean() for filled in (mean, draw)]
    assert errors[0] < np.square(np.nanmean(holes, axis=0) - X)[gone].mean() / 5
    # A draw has the error of the mean twice: its own, and that of what it stands for.
    assert errors[1] == pytest.approx(2 * errors[0], rel=0.3)


def test_samples_score_as_high_as_training_rows():
    X, _ = rows(2000)
    model = mixture().fit(X)
    drawn, labels = model.sample(2000, random_state=1)
    assert (np.diff(labels) >= 0).all()
    scores = [model.score_samples(each) for each in (X, drawn)]
    error = np.sqrt(sum(each.var() / len(each) for each in scores))
    assert abs(scores[0].mean() - scores[1].mean()) < 4 * error


def test_criteria_count_the_parameters_that_rotations_leave():
    X, _ = rows()
    model = mixture().fit(X)
    free = 1 + 2 * (5 + (5 * 2 - 1) + 5)
    assert model.aic(X) == pytest.approx(-2 * len(X) * model.score(X) + 2 * free)
    assert model.bic(X) == pytest.approx(-2 * len(X) * model.score(X) + np.log(len(X)) * free)


# -- bad input ----------------------------------------------------------------------------------------------------


def test_more_factors_than_columns_are_refused():
    with pytest.raises(ValueError, match="n_factors=6 is more than n_features = 5"):
        mixture(n_factors=6).fit(rows()[0])


def test_as_many_factors_as_columns_are_fitted():
    X, _ = rows()
    for noise in NOISES:
        assert np.isfinite(mixture(n_factors=5, noise=noise).fit(X).score(X))


@every_noise
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_constant_and_repeated_columns_and_repeated_rows_are_fitted(noise, reg_covar):
    X, _ = rows(40)
    X = np.repeat(X, 5, axis=0)
    X = np.c_[X, X[:, 0], np.full(len(X), 7.0)]
    with pytest.warns(UserWarning, match="Constant column\\(s\\) 6 carry no information"):
        model = mixture(noise=noise, reg_covar=reg_covar, max_iter=20).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    for name in ("weights_", "means_", "components_", "noise_variance_"):
        assert np.isfinite(getattr(model, name)).all()


CLUSTER = np.random.default_rng(5).normal(size=(60, 3))
HOSTILE = {
    "constant rows": np.full((20, 3), 5.0),
    "zeros": np.zeros((20, 3)),
    "a constant column": np.insert(CLUSTER[:, :2], 1, 1.0, axis=1),
    "an outlier": np.concatenate([CLUSTER, [[1e8, 1e8, 0.0]]]),
    "a far outlier": np.concatenate([CLUSTER, [[1e10, 1e10, 0.0]]]),
    "three different rows": np.repeat(CLUSTER[:3], 10, axis=0),
    "six rows": CLUSTER[:6],
    "a row without any entry": np.concatenate([CLUSTER, np.full((1, 3), np.nan)]),
    "small numbers": CLUSTER * 1e-150,
    "large numbers": CLUSTER * 1e150,
}


@pytest.mark.filterwarnings("ignore:Components were left", "ignore:Constant column")
@pytest.mark.parametrize("solver", EM_SOLVERS)
@pytest.mark.parametrize("X", HOSTILE.values(), ids=HOSTILE)
def test_every_solver_gives_a_density_of_hostile_rows(X, solver):
    model = mixture(3, solver=solver, max_iter=30).fit(X)
    assert all(np.isfinite(value).all() for value in model.parameters_.values())
    assert np.isfinite(model.score(X))


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_units_of_the_columns_are_of_no_account_without_regularisation(scale):
    X, _ = rows()
    plain, scaled = (mixture(reg_covar=0.0, max_iter=20, tol=0.0).fit(each) for each in (X, scale * X))
    shift = X.shape[1] * np.log(scale)
    np.testing.assert_allclose(scaled.score_samples(scale * X) + shift, plain.score_samples(X), rtol=1e-6)


def test_rows_far_from_the_origin_lose_no_digits():
    X, _ = rows()
    plain, far = (mixture(max_iter=20, tol=0.0).fit(each) for each in (X, X + 1e6))
    np.testing.assert_allclose(far.score_samples(X + 1e6), plain.score_samples(X), rtol=1e-6, atol=1e-6)


def test_components_that_collapse_are_replaced_or_left_out():
    X, _ = rows(80)
    X = np.concatenate([X, np.full((2, 5), 100.0)])
    replaced = mixture(3, reg_covar=0.0, max_iter=30)
    pruned = mixture(3, reg_covar=0.0, max_iter=30, on_degenerate="prune")
    for model in (replaced, pruned):
        with pytest.warns(match="events_"):
            model.fit(X)
        assert np.isfinite(model.score_samples(X)).all()
        assert {event["action"] for event in model.events_} <= {"reinit", "prune"}
    assert pruned.n_components_ == len(pruned.weights_) == len(pruned.components_) == 2
    with pytest.raises(ValueError, match="degenerate"):
        mixture(3, reg_covar=0.0, max_iter=30, on_degenerate="raise").fit(X)
