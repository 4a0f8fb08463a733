"""Tests of skgen.inspection.loss_curve."""

import numpy as np
import pytest
import sklearn.mixture
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline

from skgen import RBM, GaussianMixture, RBMStack, VariationalAutoencoder
from skgen.callbacks import LossMonitor
from skgen.inspection import LossCurveDisplay

X = load_iris().data
BINARY = X.mean(axis=0) < X


def assert_drawn(display, history):
    assert list(display.lines_) == list(history)
    for name, values in history.items():
        x, y = display.lines_[name].get_data()
        np.testing.assert_array_equal(x, 1 + np.arange(len(values)))
        np.testing.assert_array_equal(y, values)


def test_the_curves_are_the_history_of_what_is_maximised():
    mixture = GaussianMixture(3, random_state=0).fit(X)
    display = LossCurveDisplay.from_estimator(make_pipeline("passthrough", mixture))
    assert_drawn(display, {"lower_bound": mixture.history_["lower_bound"]})
    assert display.ax_.get_xlabel() == "iteration"
    assert display.ax_.get_ylabel() == "lower bound, nats per row"
    rbm = RBM(n_components=3, max_iter=4, random_state=0).fit(BINARY)
    display = LossCurveDisplay.from_estimator(rbm)
    assert_drawn(display, {"pseudo_log_likelihood": rbm.history_["pseudo_log_likelihood"]})
    assert display.ax_.get_xlabel() == "epoch"


def test_validation_is_beside_training_and_the_best_epoch_is_marked():
    vae = VariationalAutoencoder(hidden_layer_sizes=4, max_iter=300, early_stopping=True, n_iter_no_change=3)
    vae.set_params(random_state=0, kl_warmup=0, learning_rate=0.05).fit(X)
    assert vae.best_iter_ < vae.n_iter_
    display = LossCurveDisplay.from_estimator(FrozenEstimator(vae))
    assert_drawn(display, {name: vae.history_[name] for name in ("elbo", "validation_elbo")})
    np.testing.assert_array_equal(display.best_line_.get_xdata(), [vae.best_iter_] * 2)
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown == ["elbo", "validation elbo", "best epoch"]


def test_entries_can_be_chosen_and_unknown_ones_are_named():
    history = {"elbo": [1.0, 2.0], "kl": [0.0, 1.0], "kl_weight": [0.5, 1.0]}
    display = LossCurveDisplay(history).plot(entries="kl_weight")
    assert_drawn(display, {"kl_weight": [0.5, 1.0]})
    assert display.ax_.get_ylabel() == "kl weight"
    assert display.plot(entries=["kl", "elbo"]).ax_.get_ylabel() == "nats per row"
    with pytest.raises(ValueError, match=r"entries must be among \['elbo', 'kl', 'kl_weight'\], got \['loss'\]"):
        display.plot(entries="loss")


def test_the_stages_of_a_stack_are_parted():
    stack = RBMStack(hidden_layer_sizes=(3, 2), max_iter=3, random_state=0).fit(BINARY)
    display = LossCurveDisplay.from_estimator(stack)
    (name,) = display.lines_
    assert name == "pseudo_log_likelihood"
    edges = [line.get_xdata()[0] for line in display.ax_.lines if line.get_color() == "0.8"]
    stages = np.array(stack.history_["stage"])
    assert edges == [place + 1.5 for place in np.flatnonzero(np.diff(stages))]
    assert 3.5 in edges
    x, values = display.lines_[name].get_data()
    assert np.isnan(x[3])
    np.testing.assert_array_equal(values[:3], stack.history_[name][:3])
    np.testing.assert_array_equal(values[4:7], stack.history_[name][3:6])


def test_a_log_of_the_monitor_can_be_drawn():
    monitor = LossMonitor()
    mixture = GaussianMixture(2, random_state=0).set_callbacks(monitor).fit(X)
    display = LossCurveDisplay(monitor.get_logs()[0]["history"], unit="iteration").plot()
    assert_drawn(display, {"lower_bound": mixture.history_["lower_bound"]})


def test_estimators_of_scikit_learn_that_keep_their_curves_are_drawn():
    mixture = sklearn.mixture.GaussianMixture(3, random_state=0).fit(X)
    assert_drawn(LossCurveDisplay.from_estimator(mixture), {"lower_bound": mixture.lower_bounds_})
    network = MLPRegressor(hidden_layer_sizes=4, early_stopping=True, random_state=0, max_iter=2000).fit(
        X[:, :3], X[:, 3]
    )
    display = LossCurveDisplay.from_estimator(network, entries=["loss", "validation_score"])
    assert_drawn(display, {"loss": network.loss_curve_, "validation_score": network.validation_scores_})


def test_a_single_epoch_is_a_point():
    display = LossCurveDisplay({"loss": [2.0]}).plot()
    assert display.lines_["loss"].get_marker() == "."


def test_an_estimator_without_history_and_one_that_is_not_fitted_are_refused():
    with pytest.raises(TypeError, match="KernelDensity keeps no history"):
        LossCurveDisplay.from_estimator(KernelDensity().fit(X))
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(GaussianMixture())


def test_a_history_without_entries_is_refused():
    with pytest.raises(ValueError, match="history must have at least one entry"):
        LossCurveDisplay({})
