"""Fits that start several times."""

import os
import pickle
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skgen.callbacks import Checkpoint, EarlyStopping, LossMonitor, TimeBudget
from tests.estimators.configurations import configured, rows, vae

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FITS = {
    "plain": {},
    "validated": {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 3},
    "lbfgs": {"solver": "lbfgs", "hidden_layer_sizes": ()},
}


def restarted(n_init=3, **parameters):
    return vae(n_init=n_init, **{"max_iter": 6} | parameters)


@pytest.mark.parametrize("name", FITS)
def test_the_fit_with_the_best_bound_is_kept(name):
    estimator = restarted(**FITS[name]).fit(rows())
    assert estimator.init_scores_.shape == (3,)
    assert len(set(estimator.init_scores_)) == 3 or name == "lbfgs"
    name = "validation_elbo" if "validation_elbo" in estimator.history_ else "elbo"
    values = estimator.history_[name]
    assert len(values) == estimator.n_iter_
    if name == "validation_elbo":
        assert values[estimator.best_iter_ - 1] == estimator.init_scores_.max()
    else:
        recent = values[-1:] if estimator.solver == "lbfgs" else values[-10:]
        assert np.mean(recent) == pytest.approx(estimator.init_scores_.max())


def test_restarts_have_validation_rows_in_common_and_more_of_them_are_never_worse():
    settings = FITS["validated"]
    few, more = (restarted(n, **settings).fit(rows()) for n in (2, 5))
    # The first runs have seeds that do not depend on how many there are.
    np.testing.assert_array_equal(more.init_scores_[:2], few.init_scores_)
    assert more.init_scores_.max() >= few.init_scores_.max()


def test_the_score_is_that_of_the_validation_rows_given():
    X_val = rows(30, seed=4)
    estimator = restarted(early_stopping=True).fit(rows(), X_val=X_val)
    assert abs(estimator.elbo(X_val)["elbo"].mean() - estimator.init_scores_.max()) < 0.5


def test_labels_have_no_say():
    X, y = rows(60), np.arange(60) % 2
    clusters = configured("vae-clusters", n_init=2)
    one, other = clusters.fit(X, y).predict(X), clusters.fit(X, 1 - y).predict(X)
    np.testing.assert_array_equal(one, other)


def test_a_single_fit_has_its_score_too():
    estimator = vae(max_iter=6).fit(rows())
    np.testing.assert_allclose(estimator.init_scores_, [np.mean(estimator.history_["elbo"])])


def test_equal_seeds_give_equal_fits_and_pickles():
    one, other = (restarted().fit(rows()) for _ in range(2))
    np.testing.assert_array_equal(one.init_scores_, other.init_scores_)
    np.testing.assert_array_equal(one.score_samples(rows()), other.score_samples(rows()))
    copy = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(copy.transform(rows()), one.transform(rows()))


def test_a_fit_that_goes_on_and_a_chunk_start_nothing_anew():
    estimator = restarted(warm_start=True).fit(rows())
    best = estimator.history_["elbo"]
    estimator.fit(rows())
    assert estimator.n_iter_ == 12
    assert estimator.history_["elbo"][:6] == best
    assert estimator.init_scores_.shape == (1,)
    estimator.partial_fit(rows(5))
    assert estimator.n_iter_ == 13
    assert restarted().partial_fit(rows()).n_iter_ == 1


def test_monitors_see_all_restarts():
    monitor = LossMonitor()
    estimator = restarted(2).set_callbacks(monitor).fit(rows())
    history = monitor.get_logs()[0]["history"]
    assert history["restart"] == [1.0] * 6 + [2.0] * 6
    chosen = int(np.argmax(estimator.init_scores_))
    assert history["elbo"][6 * chosen : 6 * chosen + 6] == estimator.history_["elbo"]
    assert "restart" not in estimator.history_


def test_watches_stop_each_restart_by_itself():
    estimator = restarted(3, max_iter=40, learning_rate=0.3)
    monitor = LossMonitor()
    estimator.set_callbacks(EarlyStopping(patience=2), monitor).fit(rows())
    lengths = np.bincount(np.array(monitor.get_logs()[0]["history"]["restart"], dtype=int))[1:]
    assert len(lengths) == 3
    assert (lengths < 40).all()
    assert estimator.init_scores_.max() == max(estimator.history_["elbo"])


@pytest.mark.parametrize("name", ["plain", "validated"])
def test_a_fit_that_was_cut_anywhere_goes_on_bit_for_bit(name, tmp_path):
    parameters = {"max_iter": 3} | FITS[name]
    whole = restarted(**parameters).fit(rows())
    cut = restarted(**parameters).set_callbacks(Checkpoint(tmp_path), TimeBudget(0))
    for _ in range(50):
        cut.fit(rows())
        if not os.listdir(tmp_path):
            break
    assert cut.history_ == whole.history_
    np.testing.assert_array_equal(cut.init_scores_, whole.init_scores_)
    np.testing.assert_array_equal(cut.score_samples(rows()), whole.score_samples(rows()))


def test_an_interrupted_fit_is_the_best_so_far():
    class Interrupt(LossMonitor):
        """Ctrl-C in the second epoch of the second restart."""

        def on_fit_task_end(self, estimator, context):
            super().on_fit_task_end(estimator, context)
            if estimator._runtime.run is not None and estimator._runtime.run.epoch == 8:
                raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        estimator = restarted().set_callbacks(Interrupt()).fit(rows())
    assert estimator.init_scores_.shape == (2,)
    assert estimator.n_iter_ == (6 if np.argmax(estimator.init_scores_) == 0 else 2)
    assert np.isfinite(estimator.score(rows()))


def test_what_is_said_of_the_rows_is_said_once():
    X = rows()
    X[:, 1] = 0.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restarted().fit(X)
    assert sum("Constant column" in str(each.message) for each in caught) == 1


@pytest.mark.parametrize("n_init", [0, 1.5])
def test_a_number_of_restarts_is_a_positive_integer(n_init):
    with pytest.raises(ValueError, match="The 'n_init' parameter"):
        restarted(n_init).fit(rows())
