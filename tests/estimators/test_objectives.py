"""Objectives, the weight of the KL and its schedule as parameters of estimators."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from tests.estimators.configurations import rows, vae

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Values of X that are no whole numbers:UserWarning"
)


def own_iwae(log_weight):
    return torch.logsumexp(log_weight, 0) - math.log(len(log_weight))


def spread(log_weight):
    """Minus the variance of the log-weights: a loss of Richter et al. (2020) that is no bound."""
    return -log_weight.var(0)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs", "hidden_layer_sizes": ()}])
def test_a_function_that_is_the_importance_weighted_bound_learns_what_iwae_learns(options):
    X, options = 3 * rows(), {"n_draws": 6, "precision": "float64"} | options
    ours, theirs = vae(objective=own_iwae, **options).fit(X), vae(objective="iwae", **options).fit(X)
    for name, value in theirs.weights_.items():
        np.testing.assert_allclose(ours.weights_[name], value, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.history_["objective"], theirs.history_["iwae"], rtol=1e-8)
    assert {"elbo", "reconstruction", "kl"} < ours.history_.keys()
    if "early_stopping" in options:
        np.testing.assert_allclose(ours.history_["validation_objective"], theirs.history_["validation_iwae"])


def test_a_function_that_is_no_bound_is_reported_as_it_is_whatever_the_units():
    X = rows()
    histories = [vae(objective=spread, n_draws=4).fit(scale * X).history_ for scale in (1, 1000)]
    np.testing.assert_allclose(*(history["objective"] for history in histories), rtol=1e-3)
    assert max(histories[0]["objective"]) <= 0
    np.testing.assert_allclose(
        *(np.array(history["elbo"]) + 5 * np.log(scale) for history, scale in zip(histories, (1, 1000), strict=True)),
        rtol=1e-3,
        atol=1e-3,
    )


def test_an_estimator_with_a_function_of_a_module_is_cloned_and_pickled():
    estimator = clone(vae(objective=own_iwae, n_draws=2)).fit(rows())
    copy = pickle.loads(pickle.dumps(estimator))
    assert copy.objective is own_iwae
    np.testing.assert_array_equal(copy.score_samples(rows()), estimator.score_samples(rows()))
    copy.partial_fit(rows())


def not_a_number(log_weight):
    return math.nan * log_weight.mean(0)


def test_a_function_that_is_unfit_is_refused_by_name():
    with pytest.raises(ValueError, match="objective must have finite values"):
        vae(objective=not_a_number, n_draws=3).fit(rows())
    X = rows()
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="objective is a function of them: fill the values in"):
        vae(objective=spread, n_draws=3).fit(X)


def weights(**parameters):
    return vae(**{"max_iter": 16, "n_iter_no_change": 100} | parameters).fit(rows()).history_["kl_weight"]


def test_cycles_rise_to_the_final_weight_over_half_their_length():
    cycle = [1.0, 2.0, 2.0, 2.0]
    assert weights(kl_schedule="cyclical", kl_warmup=1.0, beta=2.0) == 4 * cycle
    assert weights(kl_schedule="cyclical", kl_warmup=8) == 16 * [1.0]
    assert weights(kl_schedule="cyclical", kl_warmup=16, max_iter=20) == 4 * [0.5, 1, 1, 1] + 4 * [1.0]
    assert weights(kl_schedule="constant", beta=2.0, kl_warmup=1.0) == 16 * [2.0]


def test_epochs_of_cycles_use_up_no_patience():
    estimator = vae(kl_schedule="cyclical", kl_warmup=24, tol=1e6, n_iter_no_change=3, max_iter=60).fit(rows())
    assert estimator.converged_
    assert estimator.n_iter_ == 24 + 3


@pytest.mark.parametrize(("target", "parameters"), [(0.5, {}), (3.0, {}), (3.0, {"prior": "uniform", "n_draws": 32})])
def test_the_kl_is_held_at_its_target(target, parameters):
    estimator = vae(target_kl=target, beta=20.0, max_iter=150, learning_rate=0.01, n_iter_no_change=150, **parameters)
    estimator.fit(3 * rows(200))
    assert estimator.history_["target_kl"][-1] == target
    assert estimator.history_["target_kl"][0] == pytest.approx(target / 15)
    assert set(estimator.history_["kl_weight"]) == {20.0}
    # Rows differ from the target by the noise of training; their mean is close.
    assert abs(np.mean(estimator.history_["kl"][-10:]) - target) < 0.1 * max(1, target)


def test_a_target_changes_no_score():
    X = rows()
    fitted = vae(target_kl=2.0, max_iter=2).fit(X)
    plain = vae(max_iter=2).fit(X)
    plain.weights_, plain._score_seed = fitted.weights_, fitted._score_seed
    plain = pickle.loads(pickle.dumps(plain))
    np.testing.assert_array_equal(plain.score_samples(X), fitted.score_samples(X))


@pytest.mark.parametrize("parameters", [{"kl_schedule": "cyclical"}, {"target_kl": 1.0}])
def test_nothing_is_warmed_up_again_by_a_fit_that_continues(parameters):
    estimator = vae(warm_start=True, max_iter=6, kl_warmup=1.0, **parameters).fit(rows())
    estimator.fit(rows())
    assert set(estimator.history_["kl_weight"][6:]) == {1.0}
    if "target_kl" in parameters:
        assert estimator.history_["target_kl"][6:] == 6 * [1.0]


def test_a_function_of_incomplete_validation_rows_is_in_their_units():
    X, X_val = 7 * rows(), 7 * rows(20)
    X_val[::2, 0] = np.nan

    def value(objective):
        estimator = vae(objective=objective, n_draws=4, learning_rate=0.0, max_iter=1).fit(X, X_val=X_val)
        return next(value[0] for name, value in estimator.history_.items() if name.startswith("validation_"))

    assert value(lambda log_weight: torch.logsumexp(log_weight, 0) - math.log(4)) == pytest.approx(
        value("iwae"), rel=1e-5
    )
