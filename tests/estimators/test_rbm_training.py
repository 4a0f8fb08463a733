"""The course of a fit of a restricted Boltzmann machine: weights, chunks, warm starts, history, parameters."""

import pickle
import warnings

import numpy as np
import pytest

from tests.estimators.configurations import MACHINES, configured, machine, rows
from tests.estimators.machines import binary

every = pytest.mark.parametrize("name", MACHINES)


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
    with pytest.warns(UserWarning, match=r"Constant column\(s\) 2 .* that constant and noise, which has variance 1"):
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


def test_progress_of_real_columns_is_watched_in_cells_of_which_each_column_has_as_many(monkeypatch):
    X = rows(400, 20)
    whole = machine(visible="gaussian", batch_size=20, max_iter=3).fit(X)
    monkeypatch.setattr("skgen.estimators._rbm_monitor.QUADRATURE_UNITS", (1, 32 * 2 * 100))
    monkeypatch.setattr("skgen.estimators._rbm_monitor.QUADRATURE_SHARE", 1)
    part = machine(visible="gaussian", batch_size=20, max_iter=3).fit(X)
    np.testing.assert_array_equal(part.components_, whole.components_)
    # 100 cells, whose features are nearly standard normal with an entropy of variance 1/2, stand for 20 columns.
    error = 20 * np.sqrt(0.5 / 100)
    assert 0 < abs(part.history_["pseudo_log_likelihood"][-1] - whole.pseudo_log_likelihood(X).mean()) < 5 * error


def test_what_scores_are_is_a_matter_of_what_was_fitted():
    model = machine(visible="gaussian").fit(rows())
    assert model.set_params(visible="bernoulli", hidden="relu").score_measure == "density"
    assert model.score_kind == "exact"


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
