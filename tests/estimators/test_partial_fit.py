"""Learning from chunks."""

import pickle

import numpy as np
import pytest

from skgen.estimators._arrays import RunningMoments
from skgen.likelihoods import Gaussian
from tests.estimators.configurations import NETWORKS, ROUNDED, configured, rows, vae

pytestmark = [pytest.mark.filterwarnings(each) for each in ("ignore:Constant column:UserWarning", ROUNDED)]

every = pytest.mark.parametrize("name", NETWORKS)
GAUSSIAN = ["vae", "vae-shared", "vae-fixed", "vae-network", "vae-iwae", "vae-gated-dropout", "autoencoder"]


@every
def test_chunks_may_have_any_size(name):
    X = rows(200)
    estimator = configured(name, batch_size=16)
    for size in (1, 2, 40, 1, 156):
        chunk, X = X[:size], X[size:]
        assert estimator.partial_fit(chunk) is estimator
        assert np.isfinite(estimator.score_samples(chunk)).all()
        assert np.isfinite(estimator.transform(chunk)).all()
    assert estimator.n_samples_seen_ == 200
    assert estimator.n_iter_ == 5
    assert {len(values) for values in estimator.history_.values()} == {5}


@every
def test_learning_in_chunks_raises_the_score(name):
    X = np.round(rows(400)) if "bernoulli" in name or "dynamic" in name else rows(400)
    estimator = configured(name, learning_rate=0.02)
    before = estimator.partial_fit(X).score(X)
    for _ in range(5):
        for chunk in np.array_split(X, 4):
            estimator.partial_fit(chunk)
    assert estimator.score(X) > before


@pytest.mark.parametrize("seed", range(5))
def test_running_moments_are_those_of_all_rows(seed):
    random = np.random.default_rng(seed)
    X = random.normal(size=(300, 4)) * [1, 1e-6, 1e6, 0] + [0, 1e3, -1e6, 7]
    weight = random.uniform(0.1, 3, size=300)
    cuts = np.sort(random.choice(300, size=8, replace=False))
    plain, weighted = RunningMoments.empty(4), RunningMoments.empty(4)
    for part in np.split(np.arange(300), cuts):
        if len(part):
            plain, weighted = plain.updated(X[part]), weighted.updated(X[part], weight[part])
    np.testing.assert_allclose(plain.mean, X.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(plain.scale, np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 0), rtol=1e-6)
    mean = np.average(X, axis=0, weights=weight)
    np.testing.assert_allclose(weighted.mean, mean, rtol=1e-12, atol=1e-12)
    spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    np.testing.assert_allclose(weighted.scale, np.where(np.ptp(X, axis=0) > 0, spread, 0), rtol=1e-6)
    assert plain.constant.tolist() == [False, False, False, True]


@every
def test_the_standardisation_in_chunks_is_that_of_all_rows(name):
    X = rows(300) ** 2
    whole, parts = configured(name).partial_fit(X), configured(name)
    for chunk in np.array_split(X, 7):
        parts.partial_fit(chunk)
    for key in ("shift", "scale", "input_scale", "input_ratio"):
        np.testing.assert_allclose(parts.weights_[key], whole.weights_[key], rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", GAUSSIAN)
def test_a_moving_scale_leaves_the_learnt_function_alone(name):
    X = rows(60)
    estimator = configured(name, precision="float64").fit(X)
    decoded = estimator.inverse_transform(estimator.transform(X))
    scores, moments = estimator.score_samples(X), estimator.weights_["scale"].copy()
    # Rows far away move shift and scale; without a learning rate nothing else changes.
    estimator.set_params(learning_rate=0.0).partial_fit(2 + 8 * rows(60, seed=4))
    assert (np.abs(estimator.weights_["scale"] / moments - 1) > 1).all()
    np.testing.assert_allclose(estimator.inverse_transform(estimator.transform(X)), decoded, rtol=1e-9, atol=1e-9)
    if name in ("vae-shared", "vae-network", "vae", "vae-iwae", "vae-gated-dropout"):
        # The floor of a variance is a share of the scale and moves with it; where it binds, nothing can be kept.
        assert np.isfinite(estimator.score_samples(X)).all()
    else:
        np.testing.assert_allclose(estimator.score_samples(X), scores, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("variance", ["shared", "feature", "network"])
def test_a_moving_scale_leaves_the_density_alone_above_the_floor(variance):
    X = rows(60)
    estimator = vae(likelihood=Gaussian(variance, min_variance=1e-12), precision="float64").fit(X)
    scores, drawn = estimator.score_samples(X), estimator.sample(50)
    estimator.set_params(learning_rate=0.0).partial_fit(2 + 8 * rows(60, seed=4))
    # The floor, 1e-12 of a variance that grows a thousandfold, is the difference.
    np.testing.assert_allclose(estimator.score_samples(X), scores, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(estimator.sample(50), drawn, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_a_column_that_was_constant_comes_alive(name):
    X = rows(200) * [1, 10, 100, 1000, 1]
    first = X[:50].copy()
    first[:, 2] = first[0, 2]
    estimator = configured(name, learning_rate=0.03).partial_fit(first)
    for _ in range(60):
        estimator.partial_fit(X)
    assert np.isfinite(estimator.score_samples(X)).all()
    decoded = estimator.inverse_transform(estimator.transform(X))
    # It is reconstructed, not only its mean.
    assert np.corrcoef(decoded[:, 2], X[:, 2])[0, 1] > 0.5


@pytest.mark.parametrize("name", GAUSSIAN)
def test_nothing_is_taken_from_chunks_without_spread(name):
    X = rows(100) * 1000
    one, other = configured(name).partial_fit(X[:1]).partial_fit(X[1:]), configured(name).partial_fit(X)
    if getattr(one, "noise_variance_", None) is not None:
        # Both start at a tenth of the column's variance and have made one step.
        np.testing.assert_allclose(one.noise_variance_, other.noise_variance_, rtol=0.1)
    np.testing.assert_allclose(one.weights_["scale"], other.weights_["scale"], rtol=1e-12)


@every
def test_storing_in_between_changes_nothing(name):
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


@every
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_partial_fit_follows_fit_and_fit_starts_afresh(name):
    X = rows(60)
    estimator = configured(name).fit(X)
    epochs = estimator.n_iter_
    fresh = estimator.transform(X)
    assert estimator.partial_fit(X[:20]).n_iter_ == epochs + 1
    assert (estimator.transform(X) != fresh).any()
    np.testing.assert_array_equal(estimator.fit(X).transform(X), fresh)


def test_the_kl_has_its_full_weight():
    estimator = vae(kl_warmup=50, beta=2.0).partial_fit(rows())
    assert estimator.history_["kl_weight"] == [2.0]


def test_training_goes_on_where_random_numbers_come_from_another_kind_of_generator():
    estimator = vae().partial_fit(rows())
    # The state of a CUDA generator, which has a seed and an offset: what a model fitted on a GPU holds.
    estimator.training_state_["generator"] = np.zeros(16, dtype=np.uint8)
    assert estimator.partial_fit(rows()).n_iter_ == 2
