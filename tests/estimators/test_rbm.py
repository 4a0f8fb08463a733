"""Restricted Boltzmann machines as estimators: what they say about rows, against enumeration, and how they learn."""

import itertools
import pickle
import warnings

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix
from scipy.special import expit, logsumexp
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM
from sklearn.preprocessing import StandardScaler

from skgen import RBM
from tests.estimators.configurations import MACHINES, configured, machine, rows

every = pytest.mark.parametrize("name", MACHINES)
PARAMETERS = ("weight", "visible_bias", "hidden_bias")


def binary(n_rows=60, n_features=6, seed=0):
    return (rows(n_rows, n_features, seed=seed) > 0.5).astype(float)


def codes(n_rows=80, seed=0):
    """Rows of codes with 3, 2 and 4 categories, the last two dependent."""
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 3, n_rows), random.integers(0, 2, n_rows)
    third = np.where(random.random(n_rows) < 0.8, 2 * second, random.integers(0, 4, n_rows))
    return np.column_stack([first, 10 * second, third - 1]).astype(float)


def strong(model, size=1.5, seed=0):
    """The fitted machine with weights that couple its units."""
    random = np.random.default_rng(seed)
    for name in PARAMETERS:
        model.weights_[name] = size * random.normal(size=model.weights_[name].shape)
    model._runtime.models.clear()
    model._log_partition = None
    return model


def every_binary_row(n_features):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n_features)))


# -- what is fitted is what scikit-learn's machine is -------------------------------------------------------------


def test_parameters_mean_what_they_mean_in_scikit_learn():
    X = binary()
    model = strong(machine(3).fit(X))
    other = BernoulliRBM(3).fit(X)
    other.components_, other.intercept_hidden_ = model.components_, model.intercept_hidden_
    other.intercept_visible_ = model.intercept_visible_
    np.testing.assert_allclose(model.transform(X), other.transform(X), rtol=1e-12)
    np.testing.assert_allclose(model.free_energy(X), other._free_energy(X), rtol=1e-12)
    assert model.gibbs(X, random_state=0).shape == other.gibbs(X).shape


def test_parameters_of_scikit_learn_have_the_same_names():
    named = set(BernoulliRBM().get_params()) - {"n_iter"}
    assert named <= set(RBM().get_params())
    assert RBM().n_components == BernoulliRBM().n_components


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian"])
def test_parameters_are_in_the_units_of_the_rows(hidden):
    X = 5 + rows(60) * [1, 10, 100, 1000, 0.1]
    model = machine(visible="gaussian", hidden=hidden, max_iter=20).fit(X)
    field = X @ model.components_.T + model.intercept_hidden_
    H = field if hidden == "gaussian" else expit(field)
    np.testing.assert_allclose(model.transform(X), H, rtol=1e-9)
    mean = model.intercept_visible_ + model.noise_variance_ * (H @ model.components_)
    np.testing.assert_allclose(model.inverse_transform(H), mean, rtol=1e-9)


def test_attributes_are_there_only_after_a_fit():
    with pytest.raises(NotFittedError):
        _ = RBM().components_
    assert not hasattr(machine().fit(binary()), "noise_variance_")


# -- likelihoods ----------------------------------------------------------------------------------------------------


def test_probabilities_of_all_binary_rows_sum_to_one():
    model = strong(machine(3).fit(binary()))
    assert model.score_kind == "exact"
    assert model.score_measure == "mass"
    assert logsumexp(model.score_samples(every_binary_row(6))) == pytest.approx(0, abs=1e-12)


def test_probabilities_of_all_codes_sum_to_one():
    model = strong(machine(3, visible="categorical").fit(codes()))
    everything = np.array(list(itertools.product(*model.categories_)))
    assert len(everything) == 24
    assert logsumexp(model.score_samples(everything)) == pytest.approx(0, abs=1e-12)
    assert model.score_measure == "mass"


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "relu"])
def test_a_density_integrates_to_one_in_the_units_of_the_rows(hidden):
    X = rows(60, 2) * [1, 50] + [0, 100]
    model = machine(2, visible="gaussian", hidden=hidden, max_iter=30).fit(X)
    assert model.score_measure == "density"
    mean, scale = X.mean(axis=0), X.std(axis=0)
    axes = [np.linspace(m - 12 * s, m + 12 * s, 241) for m, s in zip(mean, scale, strict=True)]
    grid = np.array(list(itertools.product(*axes)))
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    total = logsumexp(-model.free_energy(grid)) + np.log(cell)
    found = model.log_partition(random_state=0)
    if found.method == "exact":
        # The trapezoidal rule on a smooth density that vanishes at the ends.
        assert total == pytest.approx(found.value, abs=1e-6)
    else:
        assert found.lower - 0.01 <= total <= found.upper + 0.01


@pytest.mark.parametrize("visible", ["bernoulli", "categorical"])
def test_the_pseudo_likelihood_is_that_of_each_column_given_the_others(visible):
    X = binary() if visible == "bernoulli" else codes()
    model = strong(machine(3, visible=visible).fit(X))
    expected = np.zeros(len(X))
    for i in range(X.shape[1]):
        scores = []
        for value in np.unique(X[:, i]):
            other = X.copy()
            other[:, i] = value
            scores.append(model.score_samples(other))
        expected += model.score_samples(X) - logsumexp(scores, axis=0)
    np.testing.assert_allclose(model.pseudo_log_likelihood(X), expected, rtol=1e-9)
    np.testing.assert_array_equal(
        model.set_params(score_method="pseudo").score_samples(X), model.pseudo_log_likelihood(X)
    )
    assert model.score_kind == "pseudo"


def test_annealing_brackets_the_exact_normaliser():
    model = strong(machine(5).fit(binary()), size=1.0)
    exact = model.log_partition("exact")
    assert exact.value == exact.lower == exact.upper
    for X in (None, binary()):
        found = model.log_partition("ais", X=X, random_state=0)
        assert found.lower <= exact.value <= found.upper
        assert abs(found.value - exact.value) < 0.1
    assert abs(model.log_partition("ais", random_state=0).reverse - exact.value) < 0.2


def test_the_normaliser_is_computed_once_and_kept_until_a_refit(monkeypatch):
    X, calls = binary(), []
    model = machine(3).fit(X)
    expected = model.score_samples(X)
    assert pickle.loads(pickle.dumps(model))._log_partition == model._log_partition
    monkeypatch.setattr(RBM, "log_partition", lambda *a, **k: calls.append(1))
    np.testing.assert_array_equal(model.score_samples(X), expected)
    assert not calls
    assert model.fit(X)._log_partition is None
    assert model.partial_fit(X)._log_partition is None


def test_estimates_that_disagree_are_a_warning(monkeypatch):
    model = machine(3).fit(binary())
    found = model.log_partition("ais", random_state=0)
    monkeypatch.setattr(RBM, "log_partition", lambda *a, **k: found._replace(reverse=found.value + 1.5))
    with pytest.warns(UserWarning, match=r"differ by 1\.5 nats"):
        model.score(binary())


def test_a_score_that_is_an_estimate_says_so_and_repeats():
    X = binary(80, 25)
    one, other = (machine(25, hidden="gaussian", max_iter=2).fit(X) for _ in range(2))
    assert one.score_kind == "estimate"
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    assert machine(2).score_kind == "exact"
    assert machine(200).score_kind == "estimate"
    assert machine(200, visible="gaussian", hidden="gaussian").score_kind == "exact"


def test_a_search_chooses_by_the_score():
    search = GridSearchCV(machine(), {"n_components": [1, 3]}, cv=2, error_score="raise").fit(binary())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# -- chains -----------------------------------------------------------------------------------------------------------


def law(model, n_features):
    return np.exp(model.score_samples(every_binary_row(n_features)))


def frequencies(X):
    index = (X @ 2 ** np.arange(X.shape[1])[::-1]).astype(int)
    return np.bincount(index, minlength=2 ** X.shape[1]) / len(X)


@pytest.mark.parametrize("method", ["pcd", "cd", "tempering"])
def test_samples_have_the_law_of_the_machine(method):
    model = strong(machine(2, method=method, n_chains=7).fit(binary(n_features=4)), size=0.8)
    n = 20_000
    expected = law(model, 4)
    found = frequencies(model.sample(n, n_steps=100, random_state=0))
    # Five standard errors of independent draws.
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / n) + 1e-4).all()


def test_a_gibbs_step_keeps_the_law_of_the_machine():
    model = strong(machine(2).fit(binary(n_features=4)), size=0.8)
    expected, n = law(model, 4), 20_000
    start = every_binary_row(4)[np.random.default_rng(0).choice(16, n, p=expected / expected.sum())]
    moved = model.gibbs(start, random_state=1)
    assert (moved != start).any()
    assert (np.abs(frequencies(moved) - expected) < 5 * np.sqrt(expected / n) + 1e-4).all()


def test_linear_machines_are_drawn_from_without_chains():
    X = rows(200) * [1, 5, 1, 2, 1]
    model = machine(2, visible="gaussian", hidden="gaussian", max_iter=100).fit(X)
    drawn = model.sample(50_000, n_steps=1, random_state=0)
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), atol=5 * X.std(axis=0).max() / np.sqrt(50_000))
    # The density at the draws has the mean that the entropy of a normal law gives.
    covariance = np.cov(drawn.T)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    assert model.score(drawn) == pytest.approx(-entropy, abs=0.05)


@pytest.mark.parametrize("visible", ["bernoulli", "categorical"])
def test_missing_cells_are_drawn_given_the_observed_ones(visible):
    X = binary() if visible == "bernoulli" else codes()
    model = strong(machine(2, visible=visible).fit(X), size=0.8)
    row = X[0].copy()
    row[1] = np.nan
    values = np.unique(X[:, 1])
    candidates = np.repeat(row[None], len(values), axis=0)
    candidates[:, 1] = values
    expected = np.exp(model.score_samples(candidates) - logsumexp(model.score_samples(candidates)))
    n = 4000
    drawn = model.impute(np.repeat(row[None], n, axis=0), method="sample", n_steps=30, random_state=0)
    np.testing.assert_array_equal(np.delete(drawn, 1, axis=1), np.repeat(np.delete(row, 1)[None], n, axis=0))
    found = np.array([(drawn[:, 1] == value).mean() for value in values])
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / n)).all()
    mean = model.impute(row[None], n_steps=4000, random_state=0)[0, 1]
    if visible == "bernoulli":
        assert mean == pytest.approx(expected[1], abs=0.03)
    else:
        assert mean == values[expected.argmax()]


def test_imputing_leaves_complete_rows_alone_and_takes_empty_ones():
    X = binary()
    model = machine().fit(X)
    np.testing.assert_array_equal(model.impute(X), X)
    empty = np.full((3, 6), np.nan)
    assert np.isfinite(model.impute(empty)).all()
    np.testing.assert_array_equal(model.impute(empty, random_state=3), model.impute(empty, random_state=3))
    with pytest.raises(ValueError, match=r"method must be one of \['mean', 'sample'\], got 'mode'"):
        model.impute(X, method="mode")


@pytest.mark.parametrize("n_steps", [0, 1.5, "3"])
def test_a_number_of_steps_is_a_positive_integer(n_steps):
    model = machine().fit(binary())
    for call in (model.sample, lambda **k: model.gibbs(binary(), **k), lambda **k: model.impute(binary(), **k)):
        with pytest.raises(ValueError, match="n_steps must be an integer of at least 1, got"):
            call(n_steps=n_steps)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_temperatures": 1}, "n_temperatures must be an integer of at least 2, got 1"),
        ({"n_temperatures": 2.5}, "n_temperatures must be an integer of at least 2, got 2.5"),
        ({"n_chains": 0}, "n_chains must be an integer of at least 1, got 0"),
    ],
)
def test_an_annealing_needs_two_temperatures_and_a_chain(parameters, match):
    with pytest.raises(ValueError, match=match):
        machine().fit(binary()).log_partition("ais", **parameters)


# -- what is learnt -------------------------------------------------------------------------------------------------


def linear(**parameters):
    return RBM(
        2,
        visible="gaussian",
        hidden="gaussian",
        solver="adam",
        learning_rate=0.01,
        weight_decay=0.0,
        batch_size=200,
        max_iter=1000,
        random_state=0,
        **parameters,
    )


def test_a_linear_machine_with_one_variance_finds_the_subspace_of_pca():
    X = StandardScaler().fit_transform(load_wine().data)
    model, expected = linear(variance="shared").fit(X), PCA(2).fit(X)
    loadings = model.noise_variance_[:, None] * model.components_.T
    assert np.rad2deg(subspace_angles(loadings, expected.components_.T)).max() < 0.01
    # scikit-learn divides the variance by n - 1: its likelihood is not at its maximum.
    assert expected.score(X) <= model.score(X) <= expected.score(X) + 1e-3


def test_a_linear_machine_with_a_variance_for_each_column_is_factor_analysis():
    X = StandardScaler().fit_transform(load_wine().data)
    model, expected = linear().fit(X), FactorAnalysis(2, tol=1e-9, max_iter=20_000).fit(X)
    loadings = model.noise_variance_[:, None] * model.components_.T
    assert np.rad2deg(subspace_angles(loadings, expected.components_.T)).max() < 0.1
    assert model.score(X) == pytest.approx(expected.score(X), abs=1e-4)


def test_a_machine_of_real_columns_knows_clusters():
    random = np.random.default_rng(0)
    means = np.array([[0, 0, 0], [4, 0, 1], [0, 4, -2], [3, 3, 3]])
    X = means[random.integers(0, 4, 2000)] + 0.5 * random.normal(size=(2000, 3))
    model = RBM(10, visible="gaussian", max_iter=50, random_state=0).fit(X[:1500])
    # A normal law with any covariance is the best that one cluster can be.
    one = PCA(3).fit(X[:1500]).score(X[1500:])
    assert model.score_kind == "exact"
    assert model.score(X[1500:]) > one + 1


def digits():
    X = (load_digits().data / 16 > 0.5).astype(float)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:1437]], X[order[1437:]]


def test_the_defaults_learn_digits():
    train, test = digits()
    model = RBM(16, random_state=0).fit(train)
    # scikit-learn's at its own defaults has -23.7 nats, tuned on the test rows -18.8.
    assert model.score(test) > -18.8
    assert model.score(train) < 0


def test_which_value_is_called_one_does_not_matter():
    train, test = digits()
    scores = [RBM(16, max_iter=20, random_state=0).fit(X).score(Y) for X, Y in ((train, test), (1 - train, 1 - test))]
    assert abs(scores[0] - scores[1]) < 0.3


@pytest.mark.parametrize("method", ["cd", "pcd", "tempering"])
def test_learning_raises_the_likelihood_of_dependent_columns(method):
    random = np.random.default_rng(0)
    first = random.integers(0, 2, 400)
    X = np.column_stack([first, first, 1 - first, random.integers(0, 2, 400)]).astype(float)
    model = machine(3, method=method, n_chains=20, batch_size=20, max_iter=60, learning_rate=0.2).fit(X)
    # The entropy of two independent bits is 1.386; columns on their own have 2.77.
    assert -1.386 - 0.15 < model.score(X) < -1.386 + 0.01


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_chunks_of_any_size_learn_alike(size):
    X = np.tile(digits()[0], (2, 1))
    model = RBM(16, random_state=0)
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size])
    # Of units alone it is -24.7; scikit-learn's machine falls to -1800 with chunks of 1000.
    assert model.pseudo_log_likelihood(X).mean() > -25.5
    assert 0 < model.transform(X).mean() < 1


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "relu"])
def test_ten_times_the_learning_rate_leaves_numbers(visible, hidden):
    X = load_wine().data if visible == "gaussian" else binary(200)
    rate = 10 * RBM().learning_rate
    model = RBM(20, visible=visible, hidden=hidden, learning_rate=rate, max_iter=20, batch_size=20, random_state=0)
    model.fit(X)
    assert all(np.isfinite(value).all() for value in model.weights_.values())
    assert np.isfinite(model.pseudo_log_likelihood(X)).all()


@pytest.mark.parametrize("hidden", ["gaussian", "relu"])
def test_weights_stay_where_the_density_has_an_integral(hidden):
    X = np.repeat(np.random.default_rng(0).normal(size=(100, 1)), 6, axis=1)
    model = RBM(3, visible="gaussian", hidden=hidden, learning_rate=1.0, max_iter=50, random_state=0).fit(X)
    assert np.linalg.norm(model.weights_["weight"], 2) < 1
    assert np.isfinite(model.score_samples(X)).all()


def test_variances_do_not_collapse():
    X = np.repeat(np.random.default_rng(0).normal(size=(100, 1)), 4, axis=1)
    model = RBM(8, visible="gaussian", max_iter=300, random_state=0, learning_rate=0.1).fit(X)
    assert (model.noise_variance_ >= 0.03**2 * X.var(axis=0) * (1 - 1e-6)).all()


def test_sparse_units_are_on_as_often_as_wanted():
    X = binary(300, 12)
    common = {"learning_rate": 0.1, "max_iter": 100, "random_state": 0, "batch_size": 50}
    mean = RBM(8, sparsity_target=0.1, sparsity_cost=5.0, **common).fit(X).transform(X).mean(axis=0)
    plain = RBM(8, **common).fit(X).transform(X).mean(axis=0)
    assert np.abs(mean - 0.1).max() < 0.05 < np.abs(plain - 0.1).max()


# -- how it runs ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The best epoch is the last")
@every
def test_weights_are_repetitions_and_zero_weights_absences(name):
    X = rows(25)
    times = np.random.default_rng(0).integers(0, 4, size=25)
    weighted = configured(name).fit(X, sample_weight=times)
    repeated = configured(name).fit(np.repeat(X, times, axis=0))
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-6)
    for key, values in repeated.history_.items():
        np.testing.assert_allclose(weighted.history_[key], values, rtol=1e-6, atol=1e-9, err_msg=key)


@every
def test_storing_between_chunks_changes_nothing(name):
    chunks = np.array_split(rows(250), 5)
    straight, stored = configured(name, batch_size=32), configured(name, batch_size=32)
    for chunk in chunks:
        straight.partial_fit(chunk)
        stored = pickle.loads(pickle.dumps(stored)).partial_fit(chunk)
    for key, value in straight.weights_.items():
        np.testing.assert_array_equal(stored.weights_[key], value, err_msg=key)
    for key, value in straight.training_state_.items():
        np.testing.assert_array_equal(stored.training_state_[key], value, err_msg=key)
    assert stored.history_ == straight.history_
    assert straight.n_samples_seen_ == 250
    assert straight.n_iter_ == 5


@every
def test_a_warm_start_is_the_second_part_of_one_fit(name):
    options = {"learning_rate_schedule": "constant", "n_iter_no_change": np.inf, "early_stopping": False}
    whole = configured(name, max_iter=8, **options).fit(rows())
    halves = configured(name, max_iter=4, warm_start=True, **options).fit(rows()).fit(rows())
    assert halves.n_iter_ == 8
    for key, value in whole.weights_.items():
        np.testing.assert_allclose(halves.weights_[key], value, rtol=1e-7, atol=1e-9, err_msg=key)


def test_a_warm_start_does_not_start_the_schedule_again():
    model = machine(learning_rate=1.0, max_iter=4, warm_start=True, learning_rate_schedule="linear").fit(rows())
    assert model.history_["learning_rate"] == [1, 0.75, 0.5, 0.25]
    assert model.fit(rows()).history_["learning_rate"][4:] == [0.5, 0.375, 0.25, 0.125]
    assert model.partial_fit(rows()).history_["learning_rate"][8:] == [1.0]


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "relu"])
def test_moments_that_move_leave_the_law_alone(hidden):
    X = rows(60)
    model = machine(visible="gaussian", hidden=hidden, precision="float64", max_iter=20).fit(X)
    scores, H = model.free_energy(X), model.transform(X)
    # Without a learning rate nothing else changes.
    model.set_params(learning_rate=0.0, weight_decay=0.0).partial_fit(X.mean(axis=0) + 2 + 1.7 * (X - X.mean(axis=0)))
    assert (model.weights_["shift"] > 1 + X.mean(axis=0) / 2).all()
    np.testing.assert_allclose(model.transform(X), H, rtol=1e-9, atol=1e-12)
    change = model.free_energy(X) - scores
    np.testing.assert_allclose(change, change[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variance", ["shared", "fixed"])
def test_moments_that_move_leave_features_of_the_mean_row_alone(variance):
    X = rows(60)
    model = machine(visible="gaussian", variance=variance, precision="float64", max_iter=20).fit(X)
    before = pickle.loads(pickle.dumps(model))
    model.set_params(learning_rate=0.0, weight_decay=0.0).partial_fit(2 + 8 * rows(60, seed=4))
    mean = model.weights_["shift"][None]
    np.testing.assert_allclose(model.transform(mean), before.transform(mean), rtol=1e-9)


def test_a_column_that_was_constant_comes_alive():
    X = rows(200) * [1, 10, 100, 1000, 1]
    first = X[:50].copy()
    first[:, 2] = first[0, 2]
    model = machine(3, visible="gaussian", learning_rate=0.02)
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 2 "):
        model.partial_fit(first)
    for _ in range(100):
        model.partial_fit(X)
    decoded = model.inverse_transform(model.transform(X))
    assert np.corrcoef(decoded[:, 2], X[:, 2])[0, 1] > 0.5


def test_binary_columns_that_are_constant_are_learnt_without_a_word():
    X = binary()
    X[:, 0], X[:, 3] = 0, 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = machine(max_iter=30).fit(X)
    mean = model.inverse_transform(model.transform(X)).mean(axis=0)
    assert mean[0] < 0.01
    assert mean[3] > 0.99


def test_history_holds_progress_on_rows_that_stay_the_same():
    X, X_val = rows(200), rows(50, seed=4)
    model = machine(batch_size=20).fit(X, X_val=X_val)
    history = model.history_
    assert history["pseudo_log_likelihood"][-1] == pytest.approx(model.pseudo_log_likelihood(X).mean(), rel=1e-5)
    assert history["validation_pseudo_log_likelihood"][-1] == pytest.approx(
        model.pseudo_log_likelihood(X_val).mean(), rel=1e-5
    )
    gap = model.free_energy(X_val).mean() - model.free_energy(X).mean()
    assert history["free_energy_gap"][-1] == pytest.approx(gap, abs=1e-4)
    assert {"energy_gap", "reconstruction_error", "learning_rate"} <= history.keys()


def test_early_stopping_keeps_the_best_epoch_on_validation_rows():
    model = machine(early_stopping=True, n_iter_no_change=3, tol=0.0, max_iter=60, learning_rate=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(binary(), X_val=binary(30, seed=5))
    values = model.history_["validation_pseudo_log_likelihood"]
    assert model.best_iter_ == 1 + int(np.argmax(values))
    assert model.pseudo_log_likelihood(binary(30, seed=5)).mean() == pytest.approx(max(values), rel=1e-9)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"sparsity_target": 0.1, "hidden": "relu"}, "sparsity_target needs hidden='bernoulli', got hidden='relu'"),
        ({"method": "exact"}, "method='exact' needs visible='gaussian' and hidden='gaussian'"),
        ({"solver": "lbfgs"}, "The 'solver' parameter of RBM"),
        ({"visible": "poisson"}, "The 'visible' parameter of RBM"),
        ({"n_chains": 0}, "The 'n_chains' parameter of RBM"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(parameters, match):
    with pytest.raises(ValueError, match=match):
        machine(**parameters).fit(rows())


def test_a_machine_is_not_continued_as_another():
    model = machine(warm_start=True).fit(rows())
    with pytest.raises(ValueError, match="another architecture: hidden from 'bernoulli' to 'relu'"):
        model.set_params(hidden="relu").fit(rows())


def test_tiny_shapes_are_enough():
    for n_components, n_rows, n_features in ((1, 1, 1), (1, 50, 1), (3, 2, 40), (5, 3, 2)):
        X = binary(n_rows, n_features)
        model = machine(n_components, batch_size=1).fit(X)
        assert model.transform(X).shape == (n_rows, n_components)
        assert np.isfinite(model.score_samples(X)).all()


def test_tempered_chains_have_ladders_whose_length_is_recorded():
    model = machine(3, method="tempering", n_chains=5, batch_size=4, max_iter=10).fit(binary(100))
    lengths = model.history_["n_temperatures"]
    assert lengths[0] == 10
    assert min(lengths) >= 2
    assert model.chains_.shape == (5, 3)


# -- rows -------------------------------------------------------------------------------------------------------------


def test_values_outside_are_clipped_and_counted():
    X = rows()
    X[3, 1], X[4, 4] = 1.5, -0.25
    with pytest.warns(UserWarning, match=r"outside \[0, 1\], 1 % of its cells.*Scale .*visible='gaussian'"):
        model = machine().fit(X)
    np.testing.assert_array_equal(model.components_, machine().fit(X.clip(0, 1)).components_)
    assert X[3, 1] == 1.5


def test_codes_have_their_own_categories():
    X = codes()
    model = machine(3, visible="categorical", max_iter=200, batch_size=20, learning_rate=0.3).fit(X)
    for found, column in zip(model.categories_, X.T, strict=True):
        np.testing.assert_array_equal(found, np.unique(column))
    assert model.components_.shape == (3, 9)
    assert set(map(tuple, model.sample(50, random_state=0))) <= set(itertools.product(*model.categories_))
    assert set(map(tuple, model.inverse_transform(model.transform(X)))) <= set(itertools.product(*model.categories_))
    # The third column depends on the second: the machine knows it.
    independent = sum(np.log(np.mean(X[:, i, None] == X[:, i], axis=1)).mean() for i in range(3))
    assert model.score(X) > independent + 0.1
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.score_samples(X), model.score_samples(X))


def test_a_code_that_was_not_seen_is_named():
    X = codes()
    other = X.copy()
    other[0, 2] = 7
    model = machine(visible="categorical").fit(X)
    for method in (model.transform, model.score_samples, model.partial_fit, model.impute):
        with pytest.raises(ValueError, match=r"Column 2 of X holds the category 7, .* known are -1, 0, 1, 2\."):
            method(other)
    named = machine(visible="categorical", categories=[[0, 1, 2], [0, 10], [-1, 0, 1, 2, 7]]).fit(X)
    assert np.isfinite(named.score_samples(other)).all()
    with pytest.raises(ValueError, match="categories must have one list for each column of X, got 1 for 3"):
        machine(visible="categorical", categories=[[0, 1]]).fit(X)
    with pytest.raises(ValueError, match=r"Column 0 of X has 1200 distinct values"):
        machine(visible="categorical").fit(np.arange(1200.0)[:, None])


def test_weights_of_codes_are_repetitions_and_zero_weights_absences():
    X = codes(30)
    times = np.random.default_rng(0).integers(0, 4, size=30)
    X[times == 0, 0] = 99
    weighted = machine(visible="categorical").fit(X, sample_weight=times)
    repeated = machine(visible="categorical").fit(np.repeat(X, times, axis=0))
    np.testing.assert_allclose(weighted.components_, repeated.components_, rtol=1e-6, atol=1e-9)


def test_a_refit_learns_codes_anew():
    model = machine(visible="categorical").fit(codes()).fit(codes() + 5)
    assert model.categories_[0].tolist() == [5, 6, 7]
    assert model.set_params(visible="bernoulli").fit(binary()).components_.shape == (2, 6)


SPARSE = [csr_matrix, csc_matrix, csr_array, csc_array]


@pytest.mark.parametrize("sparse", SPARSE)
@pytest.mark.parametrize("name", ["rbm", "rbm-cd", "rbm-gaussian", "rbm-early-stopping"])
@pytest.mark.parametrize("batch_size", [16, 100])
@pytest.mark.filterwarnings("ignore:The best epoch is the last")
def test_sparse_rows_are_the_rows_that_they_stand_for(sparse, name, batch_size):
    X = np.where(rows(60) > 0.6, rows(60), 0)
    weight = np.arange(60.0)
    dense = configured(name, batch_size=batch_size).fit(X, sample_weight=weight)
    model = configured(name, batch_size=batch_size).fit(sparse(X), sample_weight=weight)
    for key, value in dense.weights_.items():
        np.testing.assert_array_equal(model.weights_[key], value, err_msg=key)
    assert model.history_ == dense.history_
    for method in ("transform", "score_samples", "free_energy", "pseudo_log_likelihood"):
        np.testing.assert_array_equal(getattr(model, method)(sparse(X)), getattr(dense, method)(X))
    np.testing.assert_array_equal(model.gibbs(sparse(X), random_state=0), dense.gibbs(X, random_state=0))
    model.partial_fit(sparse(X))


def test_sparse_rows_are_read_a_batch_at_a_time(monkeypatch):
    read = []
    X = csr_matrix(np.eye(300, 40))
    toarray = csr_matrix.toarray

    def spy(self, *arguments, **options):
        read.append(self.shape[0])
        return toarray(self, *arguments, **options)

    monkeypatch.setattr(csr_matrix, "toarray", spy)
    monkeypatch.setattr("skgen.training.batches.BLOCK_BYTES", {"cpu": 1})
    monkeypatch.setattr("skgen.estimators._arrays.TILE_BYTES", 2**14)
    monkeypatch.setattr("skgen.estimators._rbm_monitor.UNITS", 0)
    model = machine(batch_size=20).fit(X)
    model.score_samples(X)
    assert 0 < max(read) <= 30


def test_sparse_values_outside_are_clipped_in_a_copy():
    X = csr_matrix(2 * np.eye(30, 5))
    with pytest.warns(UserWarning, match=r"outside \[0, 1\], 3\.33 % of its cells"):
        model = machine().fit(X)
    assert X.max() == 2
    np.testing.assert_array_equal(model.components_, machine().fit(np.eye(30, 5)).components_)


def test_missing_cells_of_sparse_rows_are_imputed():
    X = binary()
    model, holes = machine().fit(X), X.copy()
    holes[0, 0] = holes[3, 2] = np.nan
    filled = model.impute(csr_matrix(holes), random_state=0)
    np.testing.assert_array_equal(filled, model.impute(holes, random_state=0))
    with pytest.raises(ValueError, match="NaN"):
        model.transform(holes)
