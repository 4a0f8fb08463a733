"""Variational autoencoders whose prior is a mixture: its start, clusters, and what they share with mixtures."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skgen import GaussianMixture
from skgen.callbacks import Checkpoint
from skgen.estimators._prior_components import PriorComponents
from skgen.priors import Mixture
from tests.estimators.configurations import rows, vae

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def clusters(n_rows=90, seed=0):
    """Rows of three clusters far apart, and which."""
    random = np.random.default_rng(seed)
    labels = np.arange(n_rows) % 3
    return 6 * np.eye(3, 5)[labels] + 0.5 * random.normal(size=(n_rows, 5)), labels


def clustering(n_components=3, **parameters):
    parameters = {"max_iter": 60, "learning_rate": 0.01, "batch_size": 30, "n_iter_no_change": 100} | parameters
    return vae(prior=Mixture(n_components), **parameters)


@pytest.fixture(scope="module")
def fitted():
    return clustering(max_iter=120).set_params(prior__pretraining=0.5).fit(clusters()[0])


def test_clusters_far_apart_are_found(fitted):
    X, labels = clusters()
    found = fitted.predict(X)
    assert all(len(np.unique(found[labels == k])) == 1 for k in range(3))
    assert len(np.unique(found)) == 3


def test_probabilities_add_up_and_do_not_depend_on_other_rows(fitted):
    X = clusters(seed=1)[0]
    shares = fitted.predict_proba(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(fitted.predict_proba(X[40:43]), shares[40:43], rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(fitted.predict(X), shares.argmax(axis=1))


def test_rows_of_a_component_are_drawn_in_its_cluster(fitted):
    for component in range(3):
        X, labels = fitted.sample(50, random_state=1, component=component, return_labels=True)
        assert (labels == component).all()
        assert (fitted.predict(X) == component).mean() > 0.9
    X, labels = fitted.sample(300, random_state=1, return_labels=True)
    np.testing.assert_array_equal(X, fitted.sample(300, random_state=1))
    assert (fitted.predict(X) == labels).mean() > 0.9


@pytest.mark.parametrize(
    ("prior", "arguments", "message"),
    [
        ("normal", {"component": 0}, "prior='mixture'"),
        ("normal", {"return_labels": True}, "prior='mixture'"),
        ("mixture", {"component": 10}, "below 10"),
        ("mixture", {"component": -1}, "component"),
        ("mixture", {"component": 0.0}, "component"),
    ],
)
def test_components_that_there_are_not_are_refused(prior, arguments, message):
    estimator = vae(prior=prior, max_iter=1).fit(rows())
    with pytest.raises(ValueError, match=message):
        estimator.sample(2, **arguments)


def test_only_a_mixture_prior_has_clusters():
    for name in ("predict", "predict_proba", "fit_predict"):
        assert hasattr(clustering(), name)
        assert hasattr(vae(prior="mixture"), name)
        assert not hasattr(vae(), name)
    assert not hasattr(vae(prior="unknown"), "predict")
    assert not hasattr(vae(max_iter=1).fit(rows()), "prior_mixture_")


def test_the_parameter_of_the_prior_may_have_another_name():
    class Generated(PriorComponents):
        _prior_parameter = "generator"

        def __init__(self, generator):
            self.generator = generator

    for prior in ("mixture", "categorical", Mixture(3)):
        assert hasattr(Generated(prior), "predict")
        assert hasattr(Generated(prior), "fit_predict")
    assert not hasattr(Generated("normal"), "predict")


def test_labels_are_never_seen():
    X, labels = clusters()
    plain, labelled = clustering(max_iter=10).fit(X), clustering(max_iter=10).fit(X, labels)
    np.testing.assert_array_equal(plain.score_samples(X), labelled.score_samples(X))
    np.testing.assert_array_equal(clustering(max_iter=10).fit_predict(X, labels), plain.predict(X))


def test_the_prior_is_a_mixture_of_latent_rows(fitted):
    mixture = fitted.prior_mixture_
    assert isinstance(mixture, GaussianMixture)
    X = clusters()[0]
    z = fitted.transform(X)
    # The posteriors are narrow next to the clusters.
    np.testing.assert_array_equal(mixture.predict(z), fitted.predict(X))


def test_the_kl_counts_from_the_epoch_in_which_the_mixture_is_fitted():
    X = clusters()[0]
    estimator = clustering(max_iter=20, kl_warmup=4).set_params(prior__pretraining=0.25).fit(X)
    np.testing.assert_allclose(estimator.history_["kl_weight"][:10], [0] * 5 + [0.25, 0.5, 0.75, 1, 1])
    unstarted = estimator.set_params(prior__pretraining=20).fit(X)
    assert not unstarted.weights_["prior.started"]
    assert (unstarted.history_["kl_weight"][-1], np.ptp(unstarted.weights_["prior.mean"])) == (0, 0)


def test_the_mixture_starts_where_the_encoded_rows_are():
    X = clusters()[0]
    estimator = clustering(max_iter=1, learning_rate=0).set_params(prior__pretraining=0).fit(X)
    z, std = estimator.encode(X, return_std=True)
    mixture = estimator.prior_mixture_
    np.testing.assert_allclose(mixture.weights_ @ mixture.means_, z.mean(axis=0), rtol=1e-3, atol=1e-4)
    second = mixture.weights_ @ (mixture.covariances_ + mixture.means_**2)
    np.testing.assert_allclose(second, (z**2 + std**2).mean(axis=0), rtol=2e-3)


def test_a_fit_continued_keeps_its_mixture():
    X = clusters()[0]
    for continued in (
        lambda estimator: estimator.set_params(warm_start=True, learning_rate=0, max_iter=3).fit(X),
        lambda estimator: estimator.set_params(learning_rate=0).partial_fit(X),
    ):
        estimator = clustering(max_iter=10).fit(X)
        before = estimator.weights_
        continued(estimator)
        for name in ("logits", "mean", "raw", "started"):
            np.testing.assert_array_equal(before[f"prior.{name}"], estimator.weights_[f"prior.{name}"])


@pytest.mark.parametrize("n_rows", [1, 2, 5, 30])
def test_chunks_of_any_size_start_it(n_rows):
    X = clusters()[0]
    estimator = clustering()
    for start in range(0, 90, n_rows)[:5]:
        estimator.partial_fit(X[start : start + n_rows])
    assert estimator.weights_["prior.started"]
    assert np.isfinite(estimator.score(X))


def test_a_fit_that_was_killed_goes_on_bit_for_bit(tmp_path):
    X = clusters()[0]
    whole = clustering(max_iter=12).set_params(prior__pretraining=5).fit(X)
    for stopped in (3, 5, 8):
        path = tmp_path / f"{stopped}.h5"
        halted = clustering(max_iter=12).set_params(prior__pretraining=5).set_callbacks(Halting(path, stopped))
        with pytest.raises(RuntimeError, match="killed"):
            halted.fit(X)
        resumed = clone(halted).set_callbacks(Checkpoint(path)).fit(X)
        np.testing.assert_array_equal(whole.score_samples(X), resumed.score_samples(X))


class Halting(Checkpoint):
    """A checkpoint after which the process dies."""

    def __init__(self, path, epoch):
        super().__init__(path)
        self.epoch = epoch

    def on_fit_task_end(self, estimator, context, **arguments):
        ended = super().on_fit_task_end(estimator, context, **arguments)
        if context.task_name == "epoch" and context.task_id == self.epoch - 1:
            raise RuntimeError("killed")
        return ended


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "iwae", "n_draws": 3},
        {"beta": 2.0, "free_bits": 0.1, "n_draws": 2},
        {"solver": "lbfgs", "hidden_layer_sizes": (), "max_iter": 20},
        {"likelihood": "bernoulli", "early_stopping": True},
        {"batch_size": 1000, "precision": "float64"},
    ],
    ids=str,
)
def test_every_objective_and_solver_learns_with_it(parameters):
    X = rows(200)
    estimator = clustering(**{"max_iter": 30} | parameters).fit(X)
    monitored = estimator.history_["iwae" if "objective" in parameters else "elbo"]
    assert np.mean(monitored[-3:]) > np.mean(monitored[:3])
    assert estimator.kl_per_component_ is None
    # Posteriors have several modes here, which chains of annealed importance sampling reach from any of them.
    value, error = estimator.log_likelihood(
        X[:10], method="ais", n_draws=8, n_temperatures=50, return_std=True, random_state=0
    )
    assert abs(estimator.score_samples(X[:10]).mean() - value.mean()) < 0.3 + 5 * error.mean()
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(again.score_samples(X), estimator.score_samples(X))
