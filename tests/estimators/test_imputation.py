"""Rows with missing entries: learnt from, scored, and filled in."""

import math
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris

from skgen import FactorAnalysis, ProbabilisticPCA, VariationalAutoencoder
from skgen.likelihoods import Gaussian
from skgen.priors import Vamp
from tests.estimators.configurations import CONFIGURATIONS, LABELLED, NETWORKS, ROUNDED, configured, rows, vae

pytestmark = [pytest.mark.filterwarnings(each) for each in ("ignore::sklearn.exceptions.ConvergenceWarning", ROUNDED)]

every = pytest.mark.parametrize("name", NETWORKS)
VAES = [name for name in NETWORKS if isinstance(configured(name), VariationalAutoencoder)]
every_vae = pytest.mark.parametrize("name", VAES)


def holes(X, share=0.3, seed=1):
    """Rows with missing entries; one is complete, and of one all are missing."""
    hidden = np.random.default_rng(seed).random(X.shape) < share
    hidden[0], hidden[-1] = False, True
    return np.where(hidden, np.nan, X)


@every
def test_incomplete_rows_are_learnt_from_and_used_as_others_are(name):
    X = holes(rows())
    estimator = configured(name).fit(X, X_val=holes(rows(20, seed=3)))
    order = np.random.default_rng(0).permutation(len(X))
    for method in (estimator.transform, estimator.score_samples):
        values = method(X)
        assert np.isfinite(values).all()
        np.testing.assert_allclose(method(X[order]), values[order], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            np.concatenate([method(X[i : i + 1]) for i in range(5)]), values[:5], rtol=1e-9, atol=1e-9
        )
        assert np.isfinite(method(rows())).all()
    assert estimator.score_samples(X)[-1] == 0
    again = configured(name).fit(X, X_val=holes(rows(20, seed=3)))
    np.testing.assert_array_equal(again.transform(X), estimator.transform(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(X), estimator.transform(X))


@every
def test_a_model_of_complete_rows_takes_incomplete_ones_and_may_go_on_with_them(name):
    estimator = configured(name).fit(rows())
    X = holes(rows())
    before = estimator.score_samples(X)
    assert np.isfinite(before).all()
    assert np.isfinite(estimator.transform(X)).all()
    learnt = None if estimator._searches_lines else configured(name, learning_rate=0).partial_fit(rows())
    if learnt is not None:
        seen, codes = learnt.score_samples(rows()), learnt.transform(rows())
        learnt.partial_fit(X)
        # Weights of new inputs start at 0; columns have other moments, so that a floor of the noise moves.
        # What is fitted to the rows of each call, and not by a step of some length, moves.
        if learnt.get_params().get("prior_fit") != "aggregate" and "amortized" not in name:
            np.testing.assert_allclose(learnt.score_samples(rows()), seen, rtol=0.05, atol=0.05)
        if learnt.get_params().get("inference", "amortized") == "amortized":  # a search for a row follows the generator
            np.testing.assert_allclose(learnt.transform(rows()), codes, rtol=0.05, atol=0.05)
    estimator.partial_fit(X).partial_fit(rows())
    assert np.isfinite(estimator.score_samples(X)).all()


@every
def test_weights_are_repetitions_of_incomplete_rows(name):
    estimator = configured(name)
    if estimator.early_stopping or getattr(estimator, "dropout", 0):
        return  # rows are held out and hidden units dropped by row
    X = holes(rows(30))
    weight = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    one = configured(name, max_iter=2).fit(X, sample_weight=weight)
    other = configured(name, max_iter=2).fit(np.repeat(X, weight.astype(int), axis=0))
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-5, atol=1e-5)


def test_equal_incomplete_rows_stay_on_one_side_of_a_split():
    X = np.repeat(holes(rows(12)), 3, axis=0)
    one = vae(early_stopping=True, validation_fraction=0.3).fit(X)
    other = vae(early_stopping=True, validation_fraction=0.3).fit(X[::3], sample_weight=np.full(12, 3.0))
    np.testing.assert_allclose(one.transform(X[::3]), other.transform(X[::3]), rtol=1e-5, atol=1e-5)


@every
def test_columns_without_a_value_are_named_and_infinite_values_refused(name):
    X = holes(rows())
    X[:, [1, 3]] = np.nan
    with pytest.raises(ValueError, match=r"Column\(s\) 1, 3 of X have no observed value"):
        configured(name).fit(X)
    X = holes(rows())
    X[0, 2] = np.inf
    with pytest.raises(ValueError, match="X contains infinity"):
        configured(name).fit(X)
    with pytest.raises(ValueError, match="X contains infinity"):
        configured(name).fit(rows()).transform(X)


def test_a_critic_of_complete_rows_starts_anew_with_incomplete_ones():
    estimator = vae(mutual_information_weight=0.5, warm_start=True).fit(rows()).fit(holes(rows()))
    assert np.isfinite(estimator.history_["mutual_information_bound"]).all()
    size = estimator.training_state_["loss.critic"].size
    fresh = vae(mutual_information_weight=0.5).partial_fit(holes(rows()))
    assert size == fresh.training_state_["loss.critic"].size


def test_a_column_may_begin_in_a_later_chunk():
    X = rows(60)
    X[:30, 2] = np.nan
    estimator = vae(learning_rate=0.01, batch_size=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for chunk in (X[:1], X[1:30], X[30:31], X[31:]):
            estimator.partial_fit(chunk)
        for _ in range(200):
            estimator.partial_fit(X)
    late = estimator.inverse_transform(estimator.transform(X[30:]))[:, 2]
    # Correlations of 30 unrelated pairs have the standard error 1 / sqrt(30).
    assert np.corrcoef(late, X[30:, 2])[0, 1] > 3 / math.sqrt(30)


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_history_is_in_the_units_of_the_score(objective):
    X = holes(rows(300)) * [1, 10, 100, 1e3, 1e4]
    n_draws = 128 if objective == "elbo" else 8
    estimator = vae(objective=objective, n_draws=n_draws, learning_rate=0, max_iter=30, batch_size=100).fit(X, X_val=X)
    exact = estimator.elbo(X)["elbo"].mean()
    for name in (objective, f"validation_{objective}"):
        values = np.array(estimator.history_[name])
        if objective == "elbo":
            assert abs(values.mean() - exact) < 5 * values.std() / math.sqrt(len(values)) + 0.05
        else:
            assert exact < values.mean() < estimator.score(X) + 0.05


# -- exact answers ----------------------------------------------------------------------------------------------------


def linear(n_components, likelihood, **parameters):
    return vae(n_components, likelihood=likelihood, decoder_hidden_layer_sizes=(), learning_rate=0.01, **parameters)


def marginal(estimator):
    """Mean and covariance of the rows of a model with a linear decoder, in the units of X."""
    mean = estimator.inverse_transform(np.zeros((1, 2)))[0]
    loadings = estimator.inverse_transform(np.eye(2)) - mean
    return mean, loadings.T @ loadings + np.diag(estimator.noise_variance_)


def exact_scores(X, mean, covariance):
    scores = np.zeros(len(X))
    for i, row in enumerate(X):
        seen = ~np.isnan(row)
        if seen.any():
            away = row[seen] - mean[seen]
            matrix = covariance[np.ix_(seen, seen)]
            quadratic = away @ np.linalg.solve(matrix, away)
            scores[i] = -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * matrix)[1])
    return scores


@pytest.mark.filterwarnings("ignore:.*Pareto-k:UserWarning")
@pytest.mark.parametrize("incomplete", [False, True])
def test_the_score_of_an_incomplete_row_is_its_marginal_likelihood(incomplete):
    complete = rows(60)
    X = holes(complete)
    estimator = linear(2, Gaussian(min_variance=0.5), max_iter=100, n_score_draws=2**13)
    estimator.fit(X if incomplete else complete)
    exact = exact_scores(X, *marginal(estimator))
    # Sobol points err less than independent draws, whose standard error the weights tell.
    error = estimator.log_likelihood(X, n_draws=2**13, random_state=0, return_std=True)[1]
    assert (np.abs(estimator.score_samples(X) - exact) < 5 * error + 1e-4).all()
    assert np.median(error) < 0.01
    assert (estimator.elbo(X)["elbo"] < exact + 0.02).all()


@pytest.mark.parametrize(("variance", "peer"), [("shared", ProbabilisticPCA), ("feature", FactorAnalysis)])
def test_linear_decoders_reach_the_likelihood_of_exact_models_on_incomplete_rows(variance, peer):
    X = holes(load_iris().data, share=0.2)
    best = peer(1, max_iter=2000, tol=1e-10).fit(X).score(X)
    estimator = linear(
        1,
        Gaussian(variance, min_variance=1e-6),
        hidden_layer_sizes=(32,),
        objective="iwae",
        n_draws=8,
        max_iter=800,
        n_iter_no_change=np.inf,
        learning_rate_schedule="cosine",
        precision="float64",
        n_score_draws=1024,
    ).fit(X)
    # The encoder is what falls short: of each of many patterns it has seen some rows only.
    assert best - 0.05 < estimator.score(X) < best + 0.01


# -- imputation -------------------------------------------------------------------------------------------------------


@every_vae
def test_observed_entries_stay_and_missing_ones_get_values_that_rows_may_have(name):
    X = holes(rows())
    seen = ~np.isnan(X)
    for estimator in (configured(name).fit(X), configured(name).fit(rows())):
        for filled in (
            estimator.impute(X, n_draws=64),
            estimator.impute(X, method="sample", n_draws=64),
            *estimator.impute(X, n_imputations=3, n_draws=64),
        ):
            assert np.isfinite(filled).all()
            assert filled.dtype == X.dtype
            if not estimator._module(X.dtype).likelihood.whole:
                np.testing.assert_array_equal(filled[seen], X[seen])
        assert np.shape(estimator.impute(X, n_imputations=3, n_draws=8)) == (3, *X.shape)
        np.testing.assert_array_equal(estimator.impute(rows(), n_draws=8), rows()) if "poisson" not in name else None
        one = estimator.impute(X, n_imputations=2, n_draws=16, random_state=1)
        np.testing.assert_array_equal(one, estimator.impute(X, n_imputations=2, n_draws=16, random_state=1))
        assert (one[0] != one[1]).any()


@every_vae
def test_means_do_not_depend_on_a_row_s_company(name):
    X = holes(rows())
    estimator = configured(name).fit(X)
    filled = estimator.impute(X, n_draws=128)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(estimator.impute(X[order], n_draws=128), filled[order], rtol=1e-8, atol=1e-8)
    alone = np.concatenate([estimator.impute(X[i : i + 1], n_draws=128) for i in range(4)])
    np.testing.assert_allclose(alone, filled[:4], rtol=1e-8, atol=1e-8)


def test_bad_arguments_are_refused():
    estimator = vae().fit(rows())
    for match, bad in [
        ("method must be one of", {"method": "median"}),
        ("n_draws", {"n_draws": 0}),
        ("n_imputations", {"n_imputations": 0}),
    ]:
        with pytest.raises(ValueError, match=match):
            estimator.impute(rows(), **bad)


@pytest.mark.filterwarnings("ignore:.*Pareto-k:UserWarning")
def test_means_and_draws_are_those_of_the_marginal_normal_distribution():
    X = holes(rows(400))
    estimator = linear(2, Gaussian(min_variance=0.5), max_iter=60).fit(X)
    mean, covariance = marginal(estimator)
    filled = estimator.impute(X, n_draws=2**12)
    size = estimator.log_likelihood(X, n_draws=2**12, random_state=0, return_ess=True)[1]
    draws = estimator.impute(X, n_imputations=20, n_draws=2000, random_state=0)
    inside = []
    for i, row in enumerate(X):
        seen, gap = ~np.isnan(row), np.isnan(row)
        slope = covariance[np.ix_(gap, seen)] @ np.linalg.pinv(covariance[np.ix_(seen, seen)])
        expected = mean[gap] + slope @ (row[seen] - mean[seen])
        spread = covariance[np.ix_(gap, gap)] - slope @ covariance[np.ix_(seen, gap)]
        deviation = np.sqrt(np.diag(spread))
        np.testing.assert_allclose(filled[i, gap], expected, atol=5 * deviation.max(initial=0) / math.sqrt(size[i]))
        inside.append((np.abs(draws[:, i, gap] - expected) < 1.6449 * deviation).ravel())
    share, n = np.concatenate(inside).mean(), len(np.concatenate(inside))
    # Entries of a row go together, five at most.
    assert abs(share - 0.9) < 4 * math.sqrt(5 * 0.09 / n)


def test_intervals_of_imputations_cover_what_was_hidden():
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 2)) @ random.normal(size=(2, 5)) + 0.5 * random.normal(size=(600, 5))
    rows = holes(X, share=0.3)
    estimator = linear(2, "gaussian", max_iter=150).fit(rows)
    draws = estimator.impute(rows, n_imputations=99, n_draws=1000, random_state=0)
    low, high = np.sort(draws, axis=0)[[4, 94]]
    missing = np.isnan(rows)
    inside = ((X - low) * (high - X) > 0)[missing]
    assert abs(inside.mean() - 0.9) < 4 * 2 * math.sqrt(0.09 / missing.sum())


def test_pseudo_inputs_start_as_rows_without_gaps():
    X = holes(rows())
    estimator = vae(prior=Vamp(8), learning_rate=0, max_iter=1).fit(X)
    weights = estimator.weights_
    starts = weights["prior.pseudo_inputs"] * weights["scale"] + weights["shift"]
    assert np.isfinite(starts).all()
    for column in range(X.shape[1]):
        observed = X[~np.isnan(X[:, column]), column]
        assert np.abs(starts[:, column, None] - observed).min(axis=1).max() < 1e-6


def test_a_read_only_map_of_incomplete_rows_is_used_where_it_is(tmp_path):
    np.save(tmp_path / "x.npy", holes(rows(300)).astype(np.float32))
    X = np.load(tmp_path / "x.npy", mmap_mode="r")
    estimator = vae(batch_size=64).fit(X)
    assert torch.tensor(estimator.transform(X)).isfinite().all()


def test_tables_of_an_array_are_an_array_under_a_likelihood_per_column():
    X = rows()
    X[0, 0] = np.nan
    estimator = clone(CONFIGURATIONS["vae-columns"]).fit(X)
    tables = estimator.impute(X, n_imputations=3, n_draws=8)
    assert isinstance(tables, np.ndarray)
    assert (tables.shape, tables.dtype) == ((3, *X.shape), X.dtype)
    frames = estimator.fit(pd.DataFrame(X)).impute(pd.DataFrame(X), n_imputations=3, n_draws=8)
    assert [type(frame) for frame in frames] == [pd.DataFrame] * 3


def test_models_with_classes_refuse_to_impute_and_say_what_does():
    estimator = clone(LABELLED["vae-conditional"]).fit(rows(), np.arange(len(rows())) % 2)
    with pytest.raises(ValueError, match="impute is for models without classes"):
        estimator.impute(rows())
