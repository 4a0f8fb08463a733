import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skgen import FactorAnalysis, ProbabilisticPCA
from skgen.models.linear_gaussian import LinearGaussian
from skgen.training.em import EM_SOLVERS


def rows(n_rows=200, n_features=6, n_factors=2, *, seed=0, missing=0.0, scale=3.0):
    random = np.random.default_rng(seed)
    X = scale * random.normal(size=(n_rows, n_factors)) @ random.normal(size=(n_factors, n_features))
    X = 5 + X + random.normal(size=(n_rows, n_features))
    X[random.random(X.shape) < missing] = np.nan
    return X


def assert_same_density(one, other, rtol=1e-9):
    np.testing.assert_allclose(one.get_covariance(), other.get_covariance(), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(one.mean_, other.mean_, rtol=rtol, atol=rtol)


# -- scikit-learn's PCA -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_attributes_are_those_of_pca(n_components):
    X = rows()
    model, pca = ProbabilisticPCA(n_components).fit(X), PCA(n_components).fit(X)
    for name in ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "mean_"):
        np.testing.assert_allclose(getattr(model, name), getattr(pca, name), rtol=1e-10, atol=1e-10, err_msg=name)
    # The maximum of the likelihood divides by the number of rows.
    assert model.noise_variance_ == pytest.approx(pca.noise_variance_ * 199 / 200, rel=1e-10)
    assert (model.n_components_, model.n_samples_, model.n_features_in_) == (n_components, 200, 6)


def test_the_density_is_that_of_pca_but_for_the_divisor():
    X = rows(5000)
    model, pca = ProbabilisticPCA(2).fit(X), PCA(2).fit(X)
    np.testing.assert_allclose(model.get_covariance() * 5000 / 4999, pca.get_covariance(), rtol=1e-10)
    np.testing.assert_allclose(model.get_precision() * 4999 / 5000, pca.get_precision(), rtol=1e-8, atol=1e-10)
    assert pca.score(X) < model.score(X) < pca.score(X) + 1e-6
    given = clone(pca).fit(X)
    given.explained_variance_, given.noise_variance_ = pca.explained_variance_ * 0.9998, model.noise_variance_
    np.testing.assert_allclose(model.score_samples(X), given.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95])
def test_a_share_of_the_variance_chooses_as_pca_does(share):
    X = rows(50, 10, 4)
    assert ProbabilisticPCA(share).fit(X).n_components_ == PCA(share).fit(X).n_components_


def test_minka_s_choice_is_that_of_pca():
    X = rows(300, 10, 4)
    assert ProbabilisticPCA("mle").fit(X).n_components_ == PCA("mle").fit(X).n_components_ == 4


@pytest.mark.parametrize("n_components", ["mle", "ard"])
@pytest.mark.parametrize(("n_rows", "n_features"), [(300, 10), (60, 100)])
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_the_number_of_factors_is_found(n_components, n_rows, n_features, missing):
    X = rows(n_rows, n_features, 3, missing=missing)
    assert ProbabilisticPCA(n_components, random_state=0).fit(X).n_components_ == 3


def test_none_leaves_one_direction_to_the_noise():
    assert ProbabilisticPCA().fit(rows()).n_components_ == 5
    assert ProbabilisticPCA().fit(rows(4)).n_components_ == 2
    assert ProbabilisticPCA().fit(rows(4)).noise_variance_ > 1e-6


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_none_counts_different_rows_whatever_their_weights(missing):
    X, weight = rows(5, 10, missing=missing), np.array([3, 1, 2, 0, 4])
    weighted = ProbabilisticPCA(max_iter=5, tol=0).fit(X, sample_weight=weight)
    repeated = ProbabilisticPCA(max_iter=5, tol=0).fit(np.repeat(X, weight, axis=0))
    # Four rows span three directions, one of which is left to the noise.
    assert weighted.n_components_ == repeated.n_components_ == 2


@pytest.mark.parametrize("solver", ["auto", "em", "em-accelerated", "gradient"])
@pytest.mark.parametrize("n_rows", [100, 4])
def test_chunks_after_a_fit_teach_what_all_rows_do(solver, n_rows):
    X = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ProbabilisticPCA(2, solver=solver, max_iter=5, random_state=0).fit(X[:n_rows])
    assert_same_density(model.partial_fit(X[n_rows:]), ProbabilisticPCA(2).fit(X), rtol=1e-9)


def test_the_remedy_for_divergence_names_parameters_that_exist():
    words = LinearGaussian(2, 1).remedy.replace(",", "").split()
    named = {word for word in words if "_" in word}
    assert named
    for model in (ProbabilisticPCA(), FactorAnalysis()):
        assert named <= set(model.get_params())


# -- the likelihood ---------------------------------------------------------------------------------------------------


def test_the_noise_variance_is_right_where_features_outnumber_rows():
    random = np.random.default_rng(0)
    estimates, theirs = [], []
    for _ in range(10):
        X = random.normal(size=(50, 5)) @ random.normal(size=(5, 200)) + random.normal(size=(50, 200))
        estimates.append(ProbabilisticPCA(5).fit(X).noise_variance_)
        theirs.append(PCA(5).fit(X).noise_variance_)
    # Factors and mean take 6 of 50 rows' degrees of freedom from the noise, whose true variance is 1.
    assert np.mean(estimates) == pytest.approx(0.887, abs=5 * np.std(estimates) / 10**0.5 + 0.001)
    assert np.mean(theirs) == pytest.approx(3.92, abs=5 * np.std(theirs) / 10**0.5 + 0.005)


def test_no_solver_finds_a_higher_likelihood_than_the_closed_form():
    X = rows()
    best = ProbabilisticPCA(2).fit(X)
    for name in EM_SOLVERS:
        other = ProbabilisticPCA(2, solver=name, random_state=0, max_iter=30, batch_size=20)
        other.set_params(tol=0 if name in ("online", "mcem") else 1e-12)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            other.fit(X)
        assert other.lower_bound_ <= best.lower_bound_ + 1e-12, name
        assert other.lower_bound_ > best.lower_bound_ - 0.05, name


@pytest.mark.parametrize("solver", ["em", "em-accelerated", "gradient", "incremental"])
def test_exact_solvers_reach_the_closed_form(solver):
    X = rows(60, scale=1.0)
    best = ProbabilisticPCA(2).fit(X)
    other = ProbabilisticPCA(2, solver=solver, random_state=0, tol=1e-13, max_iter=2000).fit(X)
    assert other.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(other.get_covariance(), best.get_covariance(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other.components_, best.components_, atol=1e-4)
    np.testing.assert_allclose(other.transform(X), best.transform(X), atol=1e-3)
    bound = other.history_["lower_bound"]
    assert min(b - a for a, b in itertools.pairwise(bound)) > -1e-12


@pytest.mark.parametrize("missing", [0.2, 0.5])
def test_scores_of_incomplete_rows_are_those_of_the_marginal(missing):
    model, X = ProbabilisticPCA(2).fit(rows()), rows(missing=missing, seed=1)
    covariance = model.get_covariance()
    for row, score in zip(X[:50], model.score_samples(X[:50]), strict=True):
        seen = ~np.isnan(row)
        if seen.any():
            expected = multivariate_normal(model.mean_[seen], covariance[np.ix_(seen, seen)]).logpdf(row[seen])
            assert score == pytest.approx(expected, rel=1e-9)
        else:
            assert score == 0


def test_em_of_incomplete_rows_ends_at_a_maximum_of_their_likelihood():
    X = rows(missing=0.3)
    model = ProbabilisticPCA(2, tol=1e-13).fit(X)
    assert min(b - a for a, b in itertools.pairwise(model.history_["lower_bound"])) > -1e-12
    other = ProbabilisticPCA(2, solver="gradient", random_state=1, tol=1e-13).fit(X)
    assert other.lower_bound_ == pytest.approx(model.lower_bound_, abs=1e-8)
    assert model.score(X) == pytest.approx(model.lower_bound_, abs=1e-10)


def test_a_few_missing_entries_change_little():
    X = rows(2000)
    full = ProbabilisticPCA(2).fit(X)
    X[::100, 0] = np.nan
    np.testing.assert_allclose(ProbabilisticPCA(2).fit(X).get_covariance(), full.get_covariance(), atol=0.5)


# -- weights and chunks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [2, "mle", 0.9])
@pytest.mark.parametrize(("shape", "missing"), [((40, 6), 0.0), ((40, 6), 0.2), ((16, 24), 0.0)])
def test_weights_are_repetitions(n_components, shape, missing):
    X = rows(*shape, missing=missing)
    times = np.arange(len(X)) % 4
    weighted = ProbabilisticPCA(n_components, random_state=0).fit(X, sample_weight=times)
    repeated = ProbabilisticPCA(n_components, random_state=0).fit(np.repeat(X, times, axis=0))
    assert_same_density(weighted, repeated, 1e-7)
    np.testing.assert_allclose(weighted.explained_variance_, repeated.explained_variance_, rtol=1e-7)
    np.testing.assert_allclose(weighted.singular_values_, repeated.singular_values_, rtol=1e-7)


@pytest.mark.parametrize("sizes", [(100, 100), (1, 3, 196), (150, 1, 49)])
@pytest.mark.parametrize("n_components", [2, "mle"])
def test_chunks_teach_what_all_rows_do(sizes, n_components):
    X = rows()
    model, start = ProbabilisticPCA(n_components), 0
    for size in sizes:
        model.partial_fit(X[start : start + size])
        start += size
    whole = ProbabilisticPCA(n_components).fit(X)
    assert_same_density(model, whole)
    np.testing.assert_allclose(model.explained_variance_, whole.explained_variance_)
    assert model.n_samples_ == model.n_samples_seen_ == 200


def test_a_fit_goes_on_with_chunks():
    X = rows()
    assert_same_density(ProbabilisticPCA(2).fit(X[:120]).partial_fit(X[120:]), ProbabilisticPCA(2).fit(X))


def test_chunks_with_missing_entries_are_learnt_from():
    X = rows(4000, missing=0.1)
    model = ProbabilisticPCA(2, random_state=0)
    for chunk in np.split(X, 8):
        model.partial_fit(chunk)
    whole = ProbabilisticPCA(2).fit(X)
    assert model.score(X) > whole.score(X) - 0.02
    complete = ProbabilisticPCA(2).partial_fit(rows(2000)).partial_fit(rows(500, missing=0.2, seed=1))
    assert np.isfinite(complete.score(X))


# -- latent variables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_posterior_is_that_of_the_joint_normal(missing):
    model, X = ProbabilisticPCA(2).fit(rows()), rows(30, missing=missing, seed=1)
    loadings, sigma = model.parameters_["loadings"], model.get_covariance()
    means, covariances = model.posterior(X)
    np.testing.assert_array_equal(means, model.transform(X))
    covariances = np.broadcast_to(covariances, (30, 2, 2))
    for row, mean, covariance in zip(X, means, covariances, strict=True):
        seen = ~np.isnan(row)
        gain = np.linalg.solve(sigma[np.ix_(seen, seen)], loadings[seen]).T
        np.testing.assert_allclose(mean, gain @ (row[seen] - model.mean_[seen]), atol=1e-9)
        np.testing.assert_allclose(covariance, np.eye(2) - gain @ loadings[seen], atol=1e-9)


def test_the_transform_is_the_shrunk_projection():
    X = rows()
    model = ProbabilisticPCA(2).fit(X)
    variance = model.explained_variance_ * 199 / 200
    shrinkage = np.sqrt(variance - model.noise_variance_) / variance
    np.testing.assert_allclose(model.transform(X), PCA(2).fit_transform(X) * shrinkage, atol=1e-9)
    loadings = model.components_.T * np.sqrt(variance - model.noise_variance_)
    np.testing.assert_allclose(
        model.inverse_transform(model.transform(X)), model.transform(X) @ loadings.T + model.mean_
    )


def test_missing_entries_are_filled_with_their_expectation():
    X = rows(missing=0.2)
    model = ProbabilisticPCA(2).fit(X)
    filled = model.impute(X)
    expected = model.inverse_transform(model.transform(X))
    np.testing.assert_allclose(filled[np.isnan(X)], expected[np.isnan(X)], atol=1e-9)
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    draws = np.stack([model.impute(X[:20], method="sample", random_state=seed) for seed in range(100)])
    error = draws.std(axis=0) / 10
    assert (np.abs(draws.mean(axis=0) - filled[:20]) <= 5 * error + 1e-12).all()


def test_samples_follow_the_model():
    model = ProbabilisticPCA(2).fit(rows())
    X = model.sample(20000, random_state=0)
    covariance = model.get_covariance()
    variance = np.diag(covariance)
    assert (np.abs(X.mean(axis=0) - model.mean_) < 5 * np.sqrt(variance / 20000)).all()
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / 20000)
    assert (np.abs(np.cov(X.T) - covariance) < 5 * error).all()


# -- bad and extreme input --------------------------------------------------------------------------------------------


def test_as_many_components_as_the_rank_leave_the_smallest_noise_and_a_warning():
    X = rows(200, 3, 1) @ np.random.default_rng(0).normal(size=(3, 6))
    with pytest.warns(ConvergenceWarning, match="No variance is left for the noise of 3 components"):
        model = ProbabilisticPCA(3).fit(X)
    assert model.noise_variance_ == pytest.approx(1e-10 * X.var(axis=0).mean(), rel=1e-6)
    assert np.isfinite(model.score(X))
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-3)


def test_too_many_components_are_refused():
    for X in (rows(), rows(missing=0.1)):
        with pytest.raises(ValueError, match="n_components=7 must be at most n_features=6"):
            ProbabilisticPCA(7).fit(X)


def test_a_column_without_entries_is_refused_and_a_row_without_entries_is_taken():
    X = rows(missing=0.1)
    X[3] = np.nan
    model = ProbabilisticPCA(2).fit(X)
    assert model.score_samples(X[3:4]) == 0
    np.testing.assert_allclose(model.transform(X[3:4]), 0, atol=1e-12)
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match=r"Column\(s\) 2 of X have no observed value"):
        ProbabilisticPCA(2).fit(X)


def test_one_row_and_equal_rows_are_fitted():
    for X in (rows(1), np.repeat(rows(1), 5, axis=0), np.zeros((3, 4))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = ProbabilisticPCA(1).fit(X)
        assert np.isfinite(model.score(X))
        np.testing.assert_allclose(model.mean_, X[0], rtol=1e-12)


def test_a_constant_column_has_no_part_in_the_components():
    X = rows()
    X[:, 3] = 7.3
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 3"):
        model = ProbabilisticPCA(2).fit(X)
    np.testing.assert_allclose(model.components_[:, 3], 0, atol=1e-12)


def test_rows_far_from_the_origin_are_learnt_from_as_others():
    X = rows()
    near, far = ProbabilisticPCA(2).fit(X), ProbabilisticPCA(2).fit(X + 1e8)
    # Rows near 1e8 are rounded by 1e-8.
    np.testing.assert_allclose(far.get_covariance(), near.get_covariance(), rtol=1e-6)
    np.testing.assert_allclose(far.score_samples(X + 1e8), near.score_samples(X), rtol=1e-5)


def test_float32_rows_give_float32_parameters_and_the_same_likelihood():
    X = rows(5000)
    narrow, wide = ProbabilisticPCA(2).fit(X.astype(np.float32)), ProbabilisticPCA(2).fit(X)
    for name in ("components_", "explained_variance_", "mean_", "noise_variance_", "singular_values_"):
        assert getattr(narrow, name).dtype == np.float32, name
    assert narrow.get_covariance().dtype == narrow.sample(2).dtype == np.float32
    assert narrow.score(X.astype(np.float32)) == pytest.approx(wide.score(X), rel=1e-5)


def test_a_warm_start_refuses_another_number_of_components():
    model = ProbabilisticPCA(2, warm_start=True).fit(rows())
    assert_same_density(model.fit(rows(seed=1)), ProbabilisticPCA(2).fit(rows(seed=1)))
    with pytest.raises(ValueError, match="n_components from 2 to 3"):
        model.set_params(n_components=3).fit(rows())


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_named_columns_are_read_without_a_warning_and_posteriors_are_arrays(missing):
    frame = pd.DataFrame(rows(missing=missing), columns=list("abcdef"))
    model = ProbabilisticPCA(2).set_output(transform="pandas").fit(frame)
    plain = ProbabilisticPCA(2).fit(frame.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, covariance = model.posterior(frame)
        filled = model.impute(frame)
    assert isinstance(mean, np.ndarray)
    np.testing.assert_array_equal(mean, plain.transform(frame.to_numpy()))
    np.testing.assert_array_equal(covariance, plain.posterior(frame.to_numpy())[1])
    np.testing.assert_array_equal(filled, plain.impute(frame.to_numpy()))


@pytest.mark.parametrize("unit", [1e-30, 1e30])
@pytest.mark.parametrize("n_components", [2, 6])
def test_units_beyond_float32_change_no_fit(n_components, unit):
    X = rows(missing=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ProbabilisticPCA(n_components, max_iter=20, tol=0)
        plain, other = clone(model).fit(X), clone(model).fit(X * unit)
    np.testing.assert_allclose(other.noise_variance_ / unit**2, plain.noise_variance_, rtol=1e-9)


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "cg", "newton-cg"])
@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_gradients_reach_the_maximum_in_any_unit(method, unit):
    X = rows(missing=0.1) * unit
    exact = ProbabilisticPCA(2, tol=1e-12).fit(X)
    model = ProbabilisticPCA(2, solver="gradient", gradient_method=method, random_state=0).fit(X)
    # Each stops where an iteration gains less than 1e-6; what is left is a few times as much.
    assert model.converged_
    assert exact.lower_bound_ - 1e-5 < model.lower_bound_ <= exact.lower_bound_ + 1e-9
