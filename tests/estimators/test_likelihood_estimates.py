"""Log-likelihoods of latent-variable models with errors, and what brackets them."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from skgen.estimators import _arrays
from skgen.likelihoods import Gaussian
from tests.estimators.configurations import configured, rows, vae
from tests.oracles import log_likelihood_by_quadrature, process_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HEAVY = "rows have importance weights with Pareto-k above 0.7"
BROAD = Gaussian("feature", min_variance=0.3)
PARTS = ["vae", "vae-bernoulli", "vae-network", "vae-clusters", "vae-vamp", "vae-uniform"]


@pytest.fixture(scope="module")
def fitted():
    """Fitted estimators by configuration, to be read only."""
    return {name: configured(name).fit(rows()) for name in PARTS}


@pytest.fixture(scope="module")
def curved():
    """A model with one latent variable and a decoder that is not linear."""
    return vae(1, likelihood=BROAD, max_iter=200, learning_rate=0.01).fit(rows(60))


@pytest.fixture(scope="module")
def linear():
    """A linear Gaussian model, of which the log-likelihood is known."""
    X = load_iris().data
    estimator = vae(2, likelihood=Gaussian("shared"), hidden_layer_sizes=(), max_iter=60, learning_rate=0.02).fit(X)
    loading = estimator.inverse_transform(np.eye(2)) - estimator.inverse_transform(np.zeros((2, 2)))
    covariance = torch.from_numpy(loading.T @ loading + np.diag(estimator.noise_variance_.astype(float)))
    mean = torch.from_numpy(estimator.inverse_transform(np.zeros((1, 2)))[0])
    exact = torch.distributions.MultivariateNormal(mean, covariance).log_prob(torch.from_numpy(X))
    return estimator, X, exact.numpy()


def test_standard_errors_of_log_likelihood_are_honest():
    X = rows(30)
    # Log-weights are quadratic and of moderate size, so that 400 of them show their own spread.
    estimator = vae(1, likelihood=BROAD, hidden_layer_sizes=(), max_iter=300, learning_rate=0.01).fit(X)
    draws = [estimator.log_likelihood(X, n_draws=400, random_state=seed, return_std=True) for seed in range(200)]
    values, errors = (np.stack(part) for part in zip(*draws, strict=True))
    # The ratio of two standard deviations from 200 repetitions of 30 rows errs by 5 % per row.
    ratio = errors.mean(axis=0) / values.std(axis=0, ddof=1)
    assert 0.95 < ratio.mean() < 1.05
    deviation = (values.mean(axis=0) - estimator.log_likelihood(X, n_draws=200_000, random_state=0)) / values.std(
        axis=0
    )
    assert np.abs(deviation).max() < 5 / math.sqrt(200) + 0.1


def test_log_likelihood_is_seeded_and_refuses_errors_of_one_draw():
    estimator = vae().fit(rows())
    one, same, other = (estimator.log_likelihood(rows(), n_draws=10, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    with pytest.raises(ValueError, match="n_draws must be an integer of at least 1, got 0"):
        estimator.log_likelihood(rows(), n_draws=0)
    with pytest.raises(ValueError, match="return_std=True needs n_draws >= 2"):
        estimator.log_likelihood(rows(), n_draws=1, return_std=True)


def test_annealed_chains_agree_with_quadrature_within_their_errors(curved):
    X = rows(60)
    model = curved._module(X.dtype)
    exact = (log_likelihood_by_quadrature(model, model.standardize(torch.from_numpy(X))) + model.log_jacobian).numpy()
    value, std, ess = curved.log_likelihood(X, method="ais", return_std=True, return_ess=True, random_state=0)
    assert (np.abs(value - exact) < 5 * std + 1e-6).all()
    assert std.mean() < 0.05
    assert ((ess >= 1) & (ess <= 16 + 1e-9)).all()


def test_both_methods_agree_with_the_exact_likelihood_of_a_linear_model(linear):
    estimator, X, exact = linear
    for method in ("importance", "ais"):
        value, std = estimator.log_likelihood(X, method=method, return_std=True, random_state=1)
        assert (np.abs(value - exact) < 5 * std + 1e-6).all()
        assert abs(value.mean() - exact.mean()) < 0.02


def test_few_draws_err_to_the_low_side(linear):
    estimator, X, exact = linear
    for method, n_draws in (("importance", 2), ("ais", 1)):
        error = np.stack(
            [
                estimator.log_likelihood(X, method=method, n_draws=n_draws, n_temperatures=2, random_state=seed) - exact
                for seed in range(8)
            ]
        ).mean(axis=1)
        assert error.mean() < 4 * error.std() / math.sqrt(8)
        assert error.mean() < 0


def test_the_gap_on_simulated_rows_holds_the_truth_and_closes_with_more_temperatures(linear):
    estimator, *_ = linear
    wide, narrow = (estimator.log_likelihood_gap(200, n_draws=4, n_temperatures=n, random_state=0) for n in (2, 100))
    for gap in (wide, narrow):
        assert gap.gap == pytest.approx(gap.upper - gap.lower)
        assert gap.gap > -4 * gap.std
    assert narrow.gap < 0.1
    assert narrow.gap < wide.gap
    # The expectation of log p(x) over rows of the model is minus its entropy.
    loading = estimator.inverse_transform(np.eye(2)) - estimator.inverse_transform(np.zeros((2, 2)))
    covariance = loading.T @ loading + np.diag(estimator.noise_variance_.astype(float))
    entropy = 0.5 * (4 * math.log(2 * math.pi * math.e) + np.linalg.slogdet(covariance)[1])
    # The log-density of a normal row varies with variance d / 2.
    assert abs(narrow.lower + entropy) < 5 * math.sqrt(2 / 200) + 0.1


@pytest.mark.filterwarnings(f"ignore:.* {HEAVY}:UserWarning")
@pytest.mark.parametrize("method", ["importance", "ais"])
@pytest.mark.parametrize("name", PARTS)
def test_a_row_has_the_same_value_in_any_part_order_and_tile(name, method, fitted, monkeypatch):
    X, estimator = rows(9), fitted[name]
    settings = {"method": method, "n_draws": 3 if method == "ais" else 90, "n_temperatures": 3, "random_state": 3}

    def estimates(X):
        return np.stack(estimator.log_likelihood(X, **settings, return_std=True, return_ess=True), axis=1)

    whole = estimates(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(estimates(X[order]), whole[order], rtol=1e-6, atol=1e-8)
    pieces = np.concatenate([estimates(part) for part in np.array_split(X, 2)])
    np.testing.assert_allclose(pieces, whole, rtol=1e-6, atol=1e-8)
    width = estimator._module(X.dtype).width
    monkeypatch.setattr(_arrays, "TILE_BYTES", 8 * 4 * width * 12 if method == "ais" else 8 * 12 * 90 * 4)
    np.testing.assert_allclose(estimates(X), whole, rtol=1e-6, atol=1e-8)
    twice = estimates(np.concatenate([X[:2], X[:2]]))
    np.testing.assert_allclose(twice[:2], twice[2:], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [*PARTS, "vae-full", "vae-flow"])
def test_every_prior_and_posterior_has_a_sandwich(name):
    gap = configured(name).fit(rows()).log_likelihood_gap(30, n_draws=4, n_temperatures=60, random_state=0)
    assert -5 * gap.std - 1e-6 < gap.gap < 1.0


@pytest.mark.filterwarnings(f"ignore:.* {HEAVY}:UserWarning")
def test_rows_with_missing_entries_have_estimates_that_agree():
    X = np.where(np.random.default_rng(0).random((40, 5)) < 0.3, np.nan, rows())
    estimator = vae(1, likelihood=BROAD, max_iter=100, learning_rate=0.01).fit(X)
    value, std = estimator.log_likelihood(X[:10], random_state=0, return_std=True)
    annealed, error = estimator.log_likelihood(X[:10], method="ais", random_state=0, return_std=True)
    assert (np.abs(annealed - value) < 5 * np.hypot(std, error) + 1e-6).all()


@pytest.mark.filterwarnings(f"ignore:.* {HEAVY}:UserWarning")
def test_effective_sample_sizes_are_those_of_the_errors(curved):
    n_draws = 500
    _, std, ess = curved.log_likelihood(rows(), n_draws=n_draws, return_std=True, return_ess=True, random_state=0)
    np.testing.assert_allclose(std, np.sqrt((n_draws / ess - 1) / (n_draws - 1)), rtol=1e-9)
    assert ((ess > 1) & (ess < n_draws)).all()
    only = curved.log_likelihood(rows(), n_draws=n_draws, return_ess=True, random_state=0)
    np.testing.assert_array_equal(only[1], ess)


def test_heavy_tails_are_a_warning_that_counts_the_rows():
    # A posterior whose standard deviation is a third of what it learnt: its weights have no variance.
    estimator = vae(1, likelihood=BROAD, max_iter=50).fit(rows())
    name = max(name for name in estimator.weights_ if name.startswith("encoder") and name.endswith("bias"))
    estimator.weights_[name] = estimator.weights_[name] - np.array([0.0, 2.0], dtype=estimator.weights_[name].dtype)
    estimator._runtime.models.clear()
    with pytest.warns(UserWarning, match=rf"[1-9]\d? of 40 {HEAVY}.*Use method='ais'"):
        estimator.log_likelihood(rows(), random_state=0)
    value = estimator.log_likelihood(rows(), method="ais", n_draws=64, n_temperatures=300, random_state=0)
    model, x = estimator._module(np.float64), torch.from_numpy(rows())
    exact = log_likelihood_by_quadrature(model, model.standardize(x)) + model.log_jacobian
    assert np.abs(value - exact.numpy()).mean() < 0.1


def test_annealing_computes_in_double_precision_and_answers_in_that_of_the_rows(curved):
    wide = curved.log_likelihood(rows(), method="ais", n_draws=4, n_temperatures=10, random_state=0)
    narrow = curved.log_likelihood(rows(dtype=np.float32), method="ais", n_draws=4, n_temperatures=10, random_state=0)
    assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "exact"}, "method must be one of"),
        ({"method": "ais", "n_draws": 0}, "n_draws must be an integer of at least 1"),
        ({"method": "ais", "n_temperatures": 1}, "n_temperatures must be an integer of at least 2"),
        ({"method": "ais", "n_draws": 1, "return_std": True}, "return_std=True needs n_draws >= 2"),
    ],
)
def test_bad_settings_are_refused(settings, message, curved):
    with pytest.raises(ValueError, match=message):
        curved.log_likelihood(rows(), **settings)


def test_categories_have_no_path_to_anneal_along():
    estimator = configured("vae-discrete").fit(rows())
    for method in (lambda: estimator.log_likelihood(rows(), method="ais"), estimator.log_likelihood_gap):
        with pytest.raises(ValueError, match=r"use log_likelihood\(method='importance'\), or another prior"):
            method()


def test_global_state_is_untouched(curved):
    before = process_state()
    curved.log_likelihood(rows(), method="ais", n_draws=2, n_temperatures=3)
    curved.log_likelihood_gap(5, n_draws=2, n_temperatures=3)
    assert process_state() == before


@pytest.mark.parametrize("method", ["importance", "ais"])
def test_estimates_have_the_dtype_of_the_rows(method, curved):
    X = rows(4)
    for dtype in (np.float32, np.float64):
        answer = curved.log_likelihood(
            X.astype(dtype), method=method, n_draws=4, n_temperatures=3, return_std=True, return_ess=True
        )
        assert [each.dtype for each in answer] == [dtype] * 3
