"""A bound on mutual information as a part of training."""

import numpy as np
import pytest
from sklearn.base import clone

from tests.estimators.configurations import rows, vae

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Posterior collapse")


def information(estimator, X):
    """I(x; z) of the rows in nats: the mean KL from each posterior to their mean, by draws."""
    mean, std = estimator.encode(X, return_std=True)
    z = mean + std * np.random.default_rng(0).normal(size=(200, *mean.shape))
    log_q = -0.5 * (((z[:, :, None] - mean) / std) ** 2 + 2 * np.log(std)).sum(-1)
    own = np.einsum("kii->ki", log_q)
    return (own - np.logaddexp.reduce(log_q, axis=-1) + np.log(len(X))).mean()


def collapsing(**parameters):
    return vae(beta=30.0, max_iter=100, learning_rate=3e-3, n_iter_no_change=100, batch_size=50, **parameters)


def test_the_weight_keeps_information_that_a_large_beta_drives_out():
    X = rows(150)
    without, with_weight = (collapsing(mutual_information_weight=weight).fit(X) for weight in (0.0, 30.0))
    assert information(without, X) < 0.05
    assert information(with_weight, X) > 0.5
    bound = np.mean(with_weight.history_["mutual_information_bound"][-10:])
    assert bound > 0.3
    assert "mutual_information_bound" not in without.history_


@pytest.mark.parametrize("shared", [True, False], ids=["one batch", "batches"])
def test_an_interrupted_training_goes_on_as_if_it_were_not(shared):
    X = rows(60)
    options = {"mutual_information_weight": 1.0, "batch_size": 100 if shared else 20, "kl_warmup": 0}
    whole = vae(**options, max_iter=6).fit(X)
    halves = vae(**options, max_iter=3, warm_start=True).fit(X).fit(X)
    # Sums over memory of another alignment may round differently.
    for name, values in whole.history_.items():
        np.testing.assert_allclose(halves.history_[name], values, rtol=1e-12, atol=1e-12)
    for name, value in whole.weights_.items():
        np.testing.assert_allclose(halves.weights_[name], value, rtol=1e-12, atol=1e-12)


def test_what_is_reported_of_the_bound_of_the_model_is_free_of_the_weight():
    X = rows()
    estimator = vae(mutual_information_weight=1.0, learning_rate=0.0, max_iter=3, early_stopping=True).fit(X)
    plain = clone(estimator).set_params(mutual_information_weight=0.0).fit(X)
    np.testing.assert_array_equal(estimator.history_["validation_elbo"], plain.history_["validation_elbo"])
    np.testing.assert_array_equal(estimator.score_samples(X), plain.score_samples(X))


def test_the_bound_does_not_depend_on_the_units():
    bounds = [
        vae(mutual_information_weight=1.0).fit(scale * rows()).history_["mutual_information_bound"]
        for scale in (1.0, 1024.0)
    ]
    np.testing.assert_allclose(*bounds, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "parameters",
    [
        {"prior": "uniform"},
        {"prior": "vamp"},
        {"objective": "dreg", "n_draws": 3},
        {"likelihood": "bernoulli"},
        {"precision": "bfloat16", "batch_size": 10},
    ],
    ids=str,
)
def test_other_parts_go_with_it(parameters):
    X = rows()
    estimator = vae(mutual_information_weight=0.5, **parameters).fit(X, sample_weight=np.linspace(0.5, 2, len(X)))
    assert np.isfinite(estimator.history_["mutual_information_bound"]).all()
    assert np.isfinite(estimator.score(X))
    estimator.partial_fit(X)


def test_missing_entries_are_no_obstacle():
    X = rows()
    X[::3, 1] = np.nan
    estimator = vae(mutual_information_weight=0.5).fit(X)
    assert np.isfinite(estimator.history_["mutual_information_bound"]).all()
