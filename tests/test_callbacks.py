"""Tests of skgen.callbacks."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.callback import FitCallback, ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skgen._files
from skgen import (
    AdversarialVariationalBayes,
    AmortizedLatentModel,
    Autoencoder,
    GaussianMixture,
    GenerativeAdversarialNetwork,
    VariationalAutoencoder,
)
from skgen.callbacks import STEPS, Checkpoint, EarlyStopping, LossMonitor, TimeBudget
from skgen.likelihoods import Gaussian
from skgen.priors import Mixture

X, y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8,), "batch_size": 32, "random_state": 0, "n_iter_no_change": np.inf}


def vae(**params):
    return VariationalAutoencoder(**SMALL | {"max_iter": 8, "kl_warmup": 0} | params)


def autoencoder(**params):
    return Autoencoder(**SMALL | {"max_iter": 8} | params)


def gan(**params):
    return GenerativeAdversarialNetwork(2, **SMALL | {"max_iter": 8, "inversion_steps": 5} | params)


def adversarial_bayes(**params):
    small = {"sampler_hidden_layer_sizes": 4, "adversary_hidden_layer_sizes": 4, "max_iter": 8, "kl_warmup": 0}
    return AdversarialVariationalBayes(**SMALL | small | params)


def mixture(**params):
    return GaussianMixture(**{"n_components": 3, "max_iter": 8, "tol": 0.0, "random_state": 0} | params)


def units(**params):
    small = {"n_units": 2, "unit_size": 1, "hidden_layer_sizes": (4,), "refine_steps": 3, "max_iter": 5}
    return AmortizedLatentModel(**SMALL | small | params)


class Killed(BaseException):
    """Stands for the end of the process."""


class Kill:
    """End a fit after an epoch without letting it clean up."""

    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name in STEPS and estimator._runtime.run.epoch == self.epoch:
            raise Killed


class Starts(Kill):
    """Note the number of epochs done when training starts, and every epoch's number."""

    def __init__(self):
        self.starts, self.epochs = [], []

    def on_fit_task_begin(self, estimator, context):
        if context.task_name not in STEPS:
            self.starts.append(estimator._runtime.run.epoch)

    def on_fit_task_end(self, estimator, context):
        if context.task_name in STEPS:
            self.epochs.append(estimator._runtime.run.epoch)


class Interrupt(Kill):
    """Press Ctrl-C in an epoch."""

    def on_fit_task_begin(self, estimator, context):
        if context.task_name in STEPS and estimator._runtime.run.epoch + 1 == self.epoch:
            raise KeyboardInterrupt


def result(model, rows=X):
    """All that a fit ends with."""
    state = model.parameters_ if hasattr(model, "parameters_") else model.weights_
    arrays = {f"weights.{name}": value for name, value in state.items()}
    arrays |= {f"history.{name}": np.array(values) for name, values in model.history_.items()}
    scalars = {name: np.array(getattr(model, name)) for name in ("n_iter_", "best_iter_", "converged_")}
    if hasattr(model, "events_"):
        arrays["events"] = np.array(json.dumps(model.events_))
    return arrays | scalars | {"transform": model.transform(rows), "score": np.array(model.score(rows))}


def assert_same_bits(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype, name
        assert left[name].tobytes() == right[name].tobytes(), name


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [LossMonitor, EarlyStopping, lambda: TimeBudget(3), lambda: Checkpoint("folder")])
def test_a_callback_follows_the_protocol_and_survives_pickling(make):
    callback = make()
    assert isinstance(callback, FitCallback)
    assert not hasattr(callback, "max_propagation_depth")
    model = autoencoder().set_callbacks(callback)
    assert clone(model)._skl_callbacks == [callback]
    assert vars(pickle.loads(pickle.dumps(callback))) == vars(callback)


@pytest.mark.parametrize(
    "callback",
    [LossMonitor(), EarlyStopping(), TimeBudget(3), Checkpoint("folder")],
    ids=lambda c: type(c).__name__,
)
def test_a_callback_on_the_wrong_estimator_is_refused(callback):
    with pytest.raises(TypeError, match="an estimator of skgen that learns by epochs or iterations, got Pipeline"):
        make_pipeline(StandardScaler(), vae()).set_callbacks(callback).fit(X)


def test_callbacks_forget_a_fit_that_has_ended(tmp_path):
    callbacks = [LossMonitor(), TimeBudget(100), Checkpoint(tmp_path)]
    vae().set_callbacks(*callbacks).fit(X)
    with pytest.raises(Killed):
        vae().set_callbacks(*callbacks, Kill(2)).fit(X)
    assert [callback._fits for callback in callbacks] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "patience must be a number >= 1"),
        (lambda: EarlyStopping(tol=-1), "tol must be a number >= 0"),
        (lambda: EarlyStopping(mode="up"), "mode must be one of"),
        (lambda: TimeBudget("1h"), "seconds must be a number"),
        (lambda: Checkpoint("folder", every=0), "every must be an integer of at least 1"),
        (lambda: Checkpoint("folder", every=1.5), "every must be an integer of at least 1"),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_epoch_is_a_task_that_begins_before_it_and_ends_after_it():
    class Tasks(Kill):
        def __init__(self):
            self.seen = []

        def on_fit_task_begin(self, estimator, context):
            self.seen.append(("begin", context.task_name, estimator._runtime.run.epoch))

        def on_fit_task_end(self, estimator, context):
            run = estimator._runtime.run
            self.seen.append(("end", context.task_name, run.epoch if run else None))

    tasks = Tasks()
    vae(max_iter=2).set_callbacks(tasks).fit(X)
    epochs = [(edge, "epoch", n + (edge == "end")) for n in range(2) for edge in ("begin", "end")]
    assert tasks.seen == [("begin", "fit", 0), *epochs, ("end", "fit", None)]


def test_the_stop_of_any_callback_ends_fit():
    class Stop(Kill):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch" and context.task_id == 2

    model = vae(max_iter=50).set_callbacks(Stop(0)).fit(X)
    assert model.n_iter_ == len(model.history_["elbo"]) == 3
    assert not model.converged_


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_bars_nest_through_search_and_pipeline(n_jobs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    pipeline = make_pipeline(StandardScaler(), vae(max_iter=3), LogisticRegression())
    search = GridSearchCV(pipeline, {"variationalautoencoder__n_components": [1, 2]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert search.best_estimator_[1].n_iter_ == 3
    shown = capsys.readouterr().out
    for name in ("Pipeline", "VariationalAutoencoder", "LogisticRegression"):
        bars = [line for line in shown.splitlines() if f"| {name} - fit" in line]
        assert len(bars) == 5, shown
        assert all("100%" in bar for bar in bars), shown


def test_the_monitor_of_scikit_learn_scores_every_epoch():
    """It hands the metadata of a task to its scorer, which knows nothing of validation rows."""
    monitor = ScoringMonitor(scoring=lambda estimator, X, y: {"score": estimator.score(X)})
    model = vae(max_iter=3).set_callbacks(monitor).fit(X, y, X_val=X[:9])
    scores = [row["score"] for row in monitor.get_logs().data]
    assert len(scores) == 4
    assert scores[0] == scores[-1] == model.score(X)


# -- LossMonitor -----------------------------------------------------------------------------------


@pytest.mark.parametrize("to_file", [False, True])
def test_monitor_records_the_history_of_every_fit(tmp_path, to_file):
    path = tmp_path / "losses.jsonl" if to_file else None
    monitor = LossMonitor(path)
    models = [vae(max_iter=n).set_callbacks(monitor).fit(X) for n in (2, 5)]
    models.append(autoencoder().set_callbacks(monitor).fit(X, X_val=X[:9]))
    logs = monitor.get_logs()
    assert [log["history"] for log in logs] == [model.history_ for model in models]
    assert [log["estimator"] for log in logs] == [type(model).__name__ for model in models]
    assert logs[0]["task"] == [["VariationalAutoencoder", "fit", 0]]
    assert list(monitor.logs_.values()) == logs
    assert pickle.loads(pickle.dumps(monitor)).logs_ == monitor.logs_


def test_monitor_keeps_what_a_failed_fit_had(tmp_path):
    monitor = LossMonitor(tmp_path / "losses.jsonl")
    with pytest.raises(Killed):
        vae().set_callbacks(monitor, Kill(3)).fit(X)
    whole = vae().fit(X).history_["elbo"]
    assert monitor.get_logs()[0]["history"]["elbo"] == whole[:3]


def test_monitor_has_the_epochs_before_a_continued_fit(tmp_path):
    monitor = LossMonitor()
    model = vae(warm_start=True, max_iter=3).fit(X).set_callbacks(monitor).fit(X)
    assert [log["history"] for log in monitor.get_logs()] == [model.history_]
    assert len(model.history_["elbo"]) == 6


def test_monitor_file_gathers_the_fits_of_all_processes(tmp_path):
    path = tmp_path / "losses.jsonl"
    monitor = LossMonitor(path)
    search = GridSearchCV(vae(max_iter=3).set_callbacks(monitor), {"n_components": [1, 2]}, cv=2, n_jobs=2)
    search.fit(X)
    assert len(monitor.logs_) == 1  # the best model's, fitted here
    logs = monitor.get_logs()
    assert len(logs) == 5
    assert {len(log["history"]["elbo"]) for log in logs} == {3}
    assert logs[-1]["history"] == search.best_estimator_.history_
    assert {log["task"][0][0] for log in logs} == {"GridSearchCV"}
    assert len({json.dumps(log["task"]) for log in logs}) == 5
    assert len(path.read_text().splitlines()) == 15


def test_monitor_leaves_out_a_damaged_line(tmp_path):
    path = tmp_path / "losses.jsonl"
    monitor = LossMonitor(path)
    vae(max_iter=2).set_callbacks(monitor).fit(X)
    first, last = path.read_text().splitlines()
    path.write_text(f"{first}\n{last[:20]}\n")
    with pytest.warns(UserWarning, match="Line 2 of .* is no record"):
        (log,) = monitor.get_logs()
    assert len(log["history"]["elbo"]) == 1


# -- EarlyStopping ---------------------------------------------------------------------------------

FAR_MEANS = np.outer([0.0, 1e3, 2e3, 3e3], np.ones(4))
NOISY = {"learning_rate": 0.05, "max_iter": 60}


@pytest.mark.parametrize(
    ("monitor", "mode"), [("elbo", "max"), ("reconstruction", "max"), ("kl", "min"), (None, "max")]
)
def test_early_stopping_ends_with_the_weights_of_the_best_epoch(monitor, mode):
    model = vae(**NOISY).set_callbacks(EarlyStopping(monitor, mode=mode, patience=4)).fit(X)
    values = np.array(model.history_[monitor or "elbo"]) * (1 if mode == "max" else -1)
    assert model.best_iter_ == values.argmax() + 1
    assert model.n_iter_ == model.best_iter_ + 4 < 60
    assert model.converged_
    shorter = vae(**NOISY | {"max_iter": model.best_iter_}).fit(X)
    for name, value in shorter.weights_.items():
        np.testing.assert_array_equal(model.weights_[name], value)


def test_early_stopping_can_keep_the_last_weights():
    callback = EarlyStopping("elbo", patience=4, restore_best=False)
    model = vae(**NOISY).set_callbacks(callback).fit(X)
    shorter = vae(**NOISY | {"max_iter": model.n_iter_}).fit(X)
    np.testing.assert_array_equal(model.transform(X), shorter.transform(X))


def test_early_stopping_needs_progress_of_tol():
    """With a tolerance no epoch can reach, only the first counts as progress."""
    model = vae().set_callbacks(EarlyStopping("elbo", patience=3, tol=1e9)).fit(X)
    assert model.n_iter_ == 4


def test_early_stopping_restores_the_best_weights_however_fit_ends():
    model = vae(**NOISY).set_callbacks(EarlyStopping("elbo", patience=np.inf)).fit(X)
    assert model.n_iter_ == 60
    assert model.best_iter_ == np.argmax(model.history_["elbo"]) + 1
    shorter = vae(**NOISY | {"max_iter": model.best_iter_}).fit(X)
    np.testing.assert_array_equal(model.transform(X), shorter.transform(X))
    assert not model.converged_


def test_early_stopping_follows_validation_rows_by_default():
    model = vae(**NOISY).set_callbacks(EarlyStopping(patience=4)).fit(X[::2], X_val=X[1::2])
    assert model.best_iter_ == np.argmax(model.history_["validation_elbo"]) + 1
    assert model.n_iter_ == model.best_iter_ + 4


@pytest.mark.parametrize(("own", "patience"), [(3, np.inf), (np.inf, 3), (3, 5), (5, 3)])
def test_early_stopping_works_beside_the_estimator_s_own(own, patience):
    """Whichever runs out first stops; the callback's weights are the final ones."""
    model = vae(**NOISY | {"early_stopping": True, "n_iter_no_change": own, "tol": 0.0})
    model.set_callbacks(EarlyStopping("elbo", patience=patience)).fit(X)

    def stop(values, patience):
        best = np.maximum.accumulate(values)
        ends = [n for n in range(len(values)) if n >= patience and best[n] <= best[int(n - patience)]]
        return ends[0] + 1 if ends else np.inf

    ends = [stop(model.history_["validation_elbo"], own), stop(model.history_["elbo"], patience)]
    assert model.n_iter_ == min(ends)
    assert model.converged_
    assert model.best_iter_ == np.argmax(model.history_["elbo"]) + 1


def test_early_stopping_without_weights_leaves_the_estimator_s_own():
    model = vae(**NOISY | {"early_stopping": True, "tol": 0.0, "n_iter_no_change": 3})
    plain = clone(model).fit(X)
    watched = model.set_callbacks(EarlyStopping("elbo", patience=np.inf, restore_best=False)).fit(X)
    assert_same_bits(result(watched), result(plain))


def test_the_last_of_several_early_stoppings_decides():
    callbacks = [EarlyStopping("kl", mode="min", patience=np.inf), EarlyStopping("elbo", patience=np.inf)]
    model = vae(**NOISY).set_callbacks(*callbacks).fit(X)
    assert model.best_iter_ == np.argmax(model.history_["elbo"]) + 1
    model = vae(**NOISY).set_callbacks(*reversed(callbacks)).fit(X)
    assert model.best_iter_ == np.argmin(model.history_["kl"]) + 1


def test_early_stopping_spares_the_warm_up():
    model = vae(max_iter=20, kl_warmup=10).set_callbacks(EarlyStopping("elbo", patience=3, tol=1e9)).fit(X)
    assert model.n_iter_ == 13


def test_early_stopping_names_the_entries_there_are():
    with pytest.raises(ValueError, match=r"monitor must be one of \['elbo', .*, got 'loss'"):
        vae().set_callbacks(EarlyStopping("loss")).fit(X)


# -- TimeBudget ------------------------------------------------------------------------------------


def test_a_time_budget_ends_fit_after_the_epoch_in_which_it_is_over(monkeypatch):
    clock = iter(np.arange(0.0, 100.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    model = vae(max_iter=50).set_callbacks(TimeBudget(3.5)).fit(X)
    assert model.n_iter_ == 4
    assert not model.converged_


def test_a_long_time_budget_changes_nothing():
    assert_same_bits(result(vae().set_callbacks(TimeBudget(1e6)).fit(X)), result(vae().fit(X)))


# -- Checkpoint ------------------------------------------------------------------------------------

WEIGHTS = np.random.RandomState(0).uniform(0, 2, size=len(X))
CASES = {
    "vae": (vae, {}, {}, []),
    "warm-up": (vae, {"kl_warmup": 6}, {}, []),
    "sgd, dropout, cosine": (
        autoencoder,
        {"solver": "sgd", "dropout": 0.3, "learning_rate_schedule": "cosine", "weight_decay": 0.01},
        {},
        [],
    ),
    "adamw, iwae": (
        vae,
        {"solver": "adamw", "objective": "iwae", "n_draws": 3, "max_grad_norm": 1.0},
        {},
        [],
    ),
    "lbfgs": (vae, {"solver": "lbfgs"}, {}, []),
    "bfgs": (vae, {"solver": "bfgs"}, {}, []),
    "one batch": (vae, {"batch_size": 1000}, {}, []),
    "float64": (autoencoder, {"precision": "float64"}, {}, []),
    "random state": (vae, {"random_state": np.random.RandomState(5)}, {}, []),
    "early stopping": (
        vae,
        {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 60, "learning_rate": 0.05},
        {},
        [],
    ),
    "weights, validation rows": (
        vae,
        {"early_stopping": True},
        {"sample_weight": WEIGHTS, "X_val": X[:20]},
        [],
    ),
    "callback": (vae, NOISY, {}, [EarlyStopping("elbo", patience=4)]),
    "two callbacks": (
        vae,
        NOISY | {"early_stopping": True},
        {},
        [EarlyStopping("kl", mode="min", patience=9), EarlyStopping("reconstruction", patience=4)],
    ),
    "units": (units, {"latent_generator": Mixture(2, pretraining=2)}, {}, []),
    "units, posteriors of rows": (units, {"inference": "local", "latent_generator": "normal"}, {}, []),
    "units, line searches": (
        units,
        {"inference": "semi_amortized", "e_solver": "cg", "m_solver": "bfgs"},
        {"sample_weight": WEIGHTS},
        [],
    ),
    "units, chains": (units, {"inference": "mcmc", "latent_generator": "normal", "batch_size": None}, {}, []),
    "gan": (gan, {}, {}, []),
    "gan, one batch, encoder": (gan, {"batch_size": 1000, "encoder": True, "ema_decay": 0.9}, {}, []),
    "gan, wasserstein, validation rows": (
        gan,
        {"loss": "wasserstein-gp", "n_critic_steps": 2, "n_iter_no_change": 3, "max_iter": 20},
        {"sample_weight": WEIGHTS, "X_val": X[:60]},
        [],
    ),
    "adversary of a posterior": (adversarial_bayes, {}, {"X_val": X[:20]}, []),
    "mixture": (mixture, {}, {}, []),
    "mixture, weights and prior": (
        mixture,
        {"prior": "conjugate", "covariance_type": "tied"},
        {"sample_weight": WEIGHTS},
        [],
    ),
    "mixture, accelerated": (mixture, {"solver": "em-accelerated", "covariance_type": "diag"}, {}, []),
    "mixture, incremental": (mixture, {"solver": "incremental"}, {}, []),
    "mixture, online": (mixture, {"solver": "online", "batch_size": 20}, {}, [EarlyStopping(patience=5)]),
    "mixture, mcem": (mixture, {"solver": "mcem", "covariance_type": "diag"}, {}, []),
    "mixture, lbfgs": (mixture, {"solver": "gradient"}, {}, []),
    "mixture, bfgs": (mixture, {"solver": "gradient", "gradient_method": "bfgs"}, {}, []),
    "mixture, adam": (mixture, {"solver": "gradient", "gradient_method": "adam", "warm_start": True}, {}, []),
    "mixture, components given up": (
        mixture,
        {"n_components": 4, "weights_init": [1, 0, 0, 0], "means_init": FAR_MEANS, "on_degenerate": "prune"},
        {},
        [],
    ),
    "mixture, components put elsewhere": (
        mixture,
        {"n_components": 4, "weights_init": [1, 0, 0, 0], "means_init": FAR_MEANS},
        {},
        [],
    ),
}


@pytest.mark.filterwarnings(
    "ignore:The best epoch is the last",
    "ignore:Components were left without rows",
    "ignore:Drawn rows come near only",
    "ignore:n_samples = 150 with validation_fraction",
)
@pytest.mark.parametrize("name", CASES)
def test_a_killed_fit_continues_to_the_same_bits(tmp_path, name):
    make, params, data, callbacks = CASES[name]
    whole = clone(make(**params)).set_callbacks(*callbacks).fit(X, **data)
    last = whole.n_iter_
    for epoch in (1, 3, last - 1, last):
        starts = Starts()
        with pytest.raises(Killed):
            clone(make(**params)).set_callbacks(Checkpoint(tmp_path), *callbacks, Kill(epoch)).fit(X, **data)
        again = clone(make(**params)).set_callbacks(*callbacks, Checkpoint(tmp_path), starts).fit(X, **data)
        assert starts.starts == [epoch]
        assert starts.epochs == list(range(epoch + 1, last + 1))
        assert_same_bits(result(again), result(whole))
        assert os.listdir(tmp_path) == []


def test_a_killed_warm_start_continues_from_its_own_start(tmp_path):
    first = vae(warm_start=True).fit(X)
    whole = pickle.loads(pickle.dumps(first)).fit(X)
    other = vae(warm_start=True, random_state=1).fit(X).set_params(random_state=0)
    with pytest.raises(Killed):
        pickle.loads(pickle.dumps(first)).set_callbacks(Checkpoint(tmp_path), Kill(11)).fit(X)
    starts = Starts()
    for model in (other, vae(warm_start=True), pickle.loads(pickle.dumps(first))):
        model.set_callbacks(Checkpoint(tmp_path), starts).fit(X)
    assert starts.starts == [8, 0, 11]
    assert_same_bits(result(model), result(whole))


def test_saving_changes_nothing_and_a_finished_fit_starts_afresh(tmp_path):
    starts = Starts()
    model = vae().set_callbacks(Checkpoint(tmp_path), starts)
    for _ in range(2):
        assert_same_bits(result(model.fit(X)), result(vae().fit(X)))
        assert os.listdir(tmp_path) == []
    assert starts.starts == [0, 0]


def test_every_so_many_epochs_are_saved(tmp_path):
    for killed, saved in [(2, 0), (3, 3), (5, 3), (7, 6)]:
        starts = Starts()
        with pytest.raises(Killed):
            vae().set_callbacks(Checkpoint(tmp_path, every=3), Kill(killed)).fit(X)
        vae().set_callbacks(Checkpoint(tmp_path, every=3), starts).fit(X)
        assert starts.starts == [saved]


def test_ctrl_c_leaves_a_usable_model_that_fit_continues(tmp_path):
    with pytest.warns(match="interrupted in epoch 5"):
        model = vae().set_callbacks(Checkpoint(tmp_path), Interrupt(5)).fit(X)
    assert model.n_iter_ == 4
    assert model.transform(X).shape == (150, 2)
    starts = Starts()
    model.set_callbacks(Checkpoint(tmp_path), starts).fit(X)
    assert starts.starts == [4]
    assert_same_bits(result(model), result(vae().fit(X)))
    assert os.listdir(tmp_path) == []


def test_a_fit_stopped_by_its_time_budget_is_continued(tmp_path):
    model = vae().set_callbacks(TimeBudget(0), Checkpoint(tmp_path))
    assert [model.fit(X).n_iter_ for _ in range(8)] == list(range(1, 9))
    assert_same_bits(result(model), result(vae().fit(X)))
    assert os.listdir(tmp_path) == []
    assert model.fit(X).n_iter_ == 1


def changed(rows):
    rows = rows.copy()
    rows[77, 2] = np.nextafter(rows[77, 2], 9)
    return rows


OTHERS = {
    "parameter": lambda: (vae(learning_rate=2e-3), X, {}, []),
    "max_iter": lambda: (vae(max_iter=9), X, {}, []),
    "seed": lambda: (vae(random_state=1), X, {}, []),
    "spec": lambda: (vae(likelihood=Gaussian(variance="shared")), X, {}, []),
    "class": lambda: (
        type("Other", (VariationalAutoencoder,), {})(**vae().get_params(deep=False)),
        X,
        {},
        [],
    ),
    "one value": lambda: (vae(), changed(X), {}, []),
    "order": lambda: (vae(), X[::-1], {}, []),
    "fold": lambda: (vae(), X[:100], {}, []),
    "dtype": lambda: (vae(), X.astype(np.float32), {}, []),
    "weights": lambda: (vae(), X, {"sample_weight": WEIGHTS}, []),
    "validation rows": lambda: (vae(), X, {"X_val": X[:20]}, []),
    "callback": lambda: (vae(), X, {}, [EarlyStopping("elbo")]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_fit_never_continues_a_checkpoint(tmp_path, name):
    with pytest.raises(Killed):
        vae().set_callbacks(Checkpoint(tmp_path), Kill(3)).fit(X)
    left = os.listdir(tmp_path)
    model, rows, data, callbacks = OTHERS[name]()
    starts = Starts()
    model.set_callbacks(Checkpoint(tmp_path), starts, *callbacks).fit(rows, **data)
    assert starts.starts == [0]
    assert os.listdir(tmp_path) == left


@pytest.mark.parametrize("name", ["skgen.callbacks.__version__", "numpy.__version__", "sklearn.__version__"])
def test_another_version_never_continues_a_checkpoint(tmp_path, monkeypatch, name):
    with pytest.raises(Killed):
        vae().set_callbacks(Checkpoint(tmp_path), Kill(3)).fit(X)
    monkeypatch.setattr(name, "0.0.0")
    starts = Starts()
    vae().set_callbacks(Checkpoint(tmp_path), starts).fit(X)
    assert starts.starts == [0]


def test_another_number_of_threads_never_continues_a_checkpoint(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        vae().set_callbacks(Checkpoint(tmp_path), Kill(3)).fit(X)
    starts = Starts()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 5)
        vae().set_callbacks(Checkpoint(tmp_path), starts).fit(X)
    vae().set_callbacks(Checkpoint(tmp_path), starts).fit(X)
    assert starts.starts == [0, 3]


def test_reporting_may_change_in_between(tmp_path, capsys):
    with pytest.raises(Killed):
        vae().set_callbacks(Checkpoint(tmp_path), Kill(3)).fit(X)
    starts = Starts()
    vae(verbose=True).set_callbacks(Checkpoint(tmp_path), starts).fit(X)
    assert starts.starts == [3]
    assert "epoch 4" in capsys.readouterr().out


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 99])
def test_a_damaged_file_is_ignored_with_a_warning(tmp_path, damage):
    with pytest.raises(Killed):
        vae().set_callbacks(Checkpoint(tmp_path), Kill(3)).fit(X)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    starts = Starts()
    with pytest.warns(UserWarning, match="is damaged and is ignored"):
        model = vae().set_callbacks(Checkpoint(tmp_path), starts).fit(X)
    assert starts.starts == [0]
    assert_same_bits(result(model), result(vae().fit(X)))
    assert os.listdir(tmp_path) == []


def test_training_goes_on_when_a_file_cannot_be_written(tmp_path, monkeypatch):
    def full(path, arrays):
        raise OSError("no space left on device")

    monkeypatch.setattr("skgen.callbacks.write_arrays", full)
    with pytest.warns(UserWarning, match="was not written, training goes on: no space"):
        model = vae().set_callbacks(Checkpoint(tmp_path)).fit(X)
    assert model.n_iter_ == 8


def test_a_fit_that_no_process_can_repeat_is_refused(tmp_path):
    with pytest.raises(ValueError, match="set random_state to an integer"):
        vae(random_state=None).set_callbacks(Checkpoint(tmp_path)).fit(X)


def test_a_search_shares_one_checkpoint_and_one_monitor(tmp_path):
    """Folds and candidates do not resume each other, and what a stopped search left is continued."""
    folder, grid = tmp_path / "checkpoints", {"n_components": [1, 2]}
    plain = GridSearchCV(vae(max_iter=3), grid, cv=2).fit(X)
    monitor, checkpoint = LossMonitor(tmp_path / "losses.jsonl"), Checkpoint(folder)

    def search(*callbacks):
        return GridSearchCV(vae(max_iter=3).set_callbacks(*callbacks), grid, cv=2, n_jobs=2).fit(X)

    def assert_plain(search):
        for name in ("mean_test_score", "std_test_score"):
            np.testing.assert_array_equal(search.cv_results_[name], plain.cv_results_[name])
        assert_same_bits(result(search.best_estimator_), result(plain.best_estimator_))

    assert_plain(search(checkpoint, monitor))
    assert os.listdir(folder) == []
    search(checkpoint, TimeBudget(0))
    assert len(os.listdir(folder)) == 5
    assert_plain(search(checkpoint, monitor))
    # The 5 fits of the first search and of the third; the second chose among models of one epoch.
    logs = monitor.get_logs()
    assert {len(log["history"]["elbo"]) for log in logs} == {3}
    assert len(logs) == 10


def test_equal_fits_at_the_same_time_do_not_disturb_each_other(tmp_path):
    """As in a search over what follows the model: the candidates train the same model, here at once."""
    checkpoint, starts = Checkpoint(tmp_path), Starts()
    models = [vae(max_iter=30).set_callbacks(checkpoint, starts) for _ in range(4)]
    Parallel(n_jobs=4, backend="threading")(delayed(model.fit)(X) for model in models)
    whole = result(vae(max_iter=30).fit(X))
    for model in models:
        assert_same_bits(result(model), whole)
    assert len(starts.starts) == 4
    assert os.listdir(tmp_path) == []


# -- Checkpoint under SIGKILL ----------------------------------------------------------------------

N_KILLS = 20
STAGES = ("half written", "before the rename", "after the rename")


def long_fit(*callbacks):
    """The fit that is killed; with early stopping, so that there are best weights to carry over."""
    model = vae(max_iter=300, batch_size=40, kl_warmup=0.3, early_stopping=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.set_callbacks(*callbacks).fit(X)


def die(stage, n_writes):
    """Arrange for this process to kill itself in its ``n_writes``-th write."""
    savez, replace, count = np.savez, os.replace, iter(range(1, 10**9))

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def half(file, **arrays):
        savez(file, **arrays)
        if stage == "half written" and next(count) == n_writes:
            file.truncate(file.tell() // 2)
            kill()

    def rename(source, target):
        last = stage != "half written" and next(count) == n_writes
        if last and stage == "before the rename":
            kill()
        replace(source, target)
        if last:
            kill()

    np.savez, os.replace = half, rename


def attempt(folder, path, stage=None):
    """Fit in a child process that leaves its result in a file; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if stage is not None:
            die(stage, n_writes=3)
        starts = Starts()
        model = long_fit(Checkpoint(folder), starts)
        skgen._files.write_arrays(path, result(model) | {"start": np.array(starts.starts[0])})
        code = 0
    finally:
        os._exit(code)


def finish(pid):
    """Wait for a child; whether it ended by itself (and well), as opposed to SIGKILL."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.waitstatus_to_exitcode(status) == 0
    return True


def serve(folder):
    """Kill fits at random moments, and inside writes; report what happened.

    Runs in a process of its own with one thread, imports once and forks. Fits that finish before their time has
    come are checked, and start the next round.
    """
    torch.set_num_threads(1)
    path = os.path.join(folder, "result.npz")
    folder = os.path.join(folder, "checkpoints")
    clock = time.monotonic()
    assert finish(attempt(folder, path))
    duration = time.monotonic() - clock
    reference = skgen._files.read_arrays(path)
    moments = random.Random(0)
    finished, unfinished_files = [], 0
    kills = 0
    while kills < N_KILLS:
        pid = attempt(folder, path)
        time.sleep(moments.uniform(0, duration / 12))
        os.kill(pid, signal.SIGKILL)
        if finish(pid):
            finished.append(skgen._files.read_arrays(path))
            continue
        kills += 1
        unfinished_files += sum(name.endswith(skgen._files.SUFFIX) for name in os.listdir(folder))
    for stage in STAGES:
        while finish(attempt(folder, path, stage)):
            finished.append(skgen._files.read_arrays(path))
    assert finish(attempt(folder, path))
    finished.append(skgen._files.read_arrays(path))
    assert finished[-1]["start"] >= 3
    for each in finished:
        each.pop("start")
    reference.pop("start")
    for each in finished:
        assert_same_bits(each, reference)
    report = {"kills": kills, "in writes": unfinished_files, "finished": len(finished)}
    report["left"] = os.listdir(folder)
    sys.stdout.write(json.dumps(report))


@pytest.mark.slow
def test_a_fit_survives_being_killed_at_any_moment(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] == N_KILLS
    assert report["finished"] >= 1
    assert report["left"] == []


if __name__ == "__main__":
    serve(sys.argv[1])
