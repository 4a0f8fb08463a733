"""What estimators of latent-variable models say of their latent variables."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skgen.likelihoods import Gaussian
from tests.estimators.configurations import configured, rows, vae
from tests.oracles import process_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PARTS = ["vae", "vae-bernoulli", "vae-clusters", "vae-vamp", "vae-uniform"]
NATS = ("elbo", "reconstruction", "kl", "mutual_information", "aggregated_kl")


@pytest.fixture(scope="module")
def linear():
    """A linear Gaussian model near its optimum, where q(z | x) is the posterior."""
    estimator = vae(2, likelihood=Gaussian("shared"), hidden_layer_sizes=(), solver="lbfgs", max_iter=500, tol=1e-9)
    return estimator.fit(load_iris().data)


def test_active_units_are_a_mask_that_is_counted():
    estimator = vae(3).fit(rows())
    variance = estimator.transform(rows()).var(axis=0)
    np.testing.assert_array_equal(estimator.active_units_, variance > 0.01)
    assert estimator.n_active_units_ == estimator.active_units_.sum()


def test_information_of_a_linear_model_is_that_of_normal_vectors(linear):
    """Posteriors share their covariance S, and their means have covariance I - S, so that I is -1/2 log det S."""
    X = linear.sample(5000, random_state=0)
    report = linear.report(X)
    _, std = linear.encode(X[:1], return_std=True)
    exact = -np.log(std).sum()
    # Means of 2000 values with a standard deviation of about a nat; the mixture of 2000 posteriors errs by less.
    assert abs(report["mutual_information"] - exact) < 5 / math.sqrt(2000) + 0.05
    assert abs(report["aggregated_kl"]) < 5 / math.sqrt(2000) + 0.05


@pytest.mark.parametrize("name", PARTS)
def test_the_parts_of_the_kl_add_up_and_information_is_below_the_log_of_the_rows(name):
    estimator = configured(name, max_iter=30).fit(rows())
    assert 0 <= estimator.mutual_information_ <= math.log(40) + 1e-9
    kl = estimator.elbo(rows())["kl"].mean()
    # Both are means over 64 draws of each of 40 rows, of values that vary by a few nats.
    assert abs(estimator.mutual_information_ + estimator.aggregated_kl_ - kl) < 0.3


def test_a_weight_counts_as_a_repeated_row():
    X, times = rows(12), np.arange(12) % 3 + 1
    weighted = vae(max_iter=3).fit(X, sample_weight=times.astype(float))
    repeated = vae(max_iter=3).fit(np.repeat(X, times, axis=0))
    for name in ("mutual_information_", "aggregated_kl_"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), abs=1e-6)


def test_many_rows_are_represented_by_some():
    X = np.repeat(rows(30), 40, axis=0)
    estimator = vae(max_iter=3).fit(X)
    assert estimator.mutual_information_ <= math.log(30) + 1e-9


def test_a_report_of_rows_is_what_the_methods_say(linear):
    X = load_iris().data
    report = linear.report(X, random_state=0)
    value, std, ess = linear.log_likelihood(X, n_draws=1000, random_state=0, return_std=True, return_ess=True)
    assert report["score"] == pytest.approx(value.mean())
    assert report["score_std"] == pytest.approx(math.sqrt((std**2).sum()) / len(X))
    assert report["ess"] == pytest.approx(np.median(ess))
    for name, values in linear.elbo(X).items():
        assert report[name] == pytest.approx(values.mean())
    np.testing.assert_allclose(report["kl_per_component"], linear.kl_per_component_, rtol=1e-5)
    assert (report["collapsed"], report["n_active_units"], report["pareto_k_share"]) == (False, 2, 0.0)
    np.testing.assert_array_equal(report["noise_variance"], linear.noise_variance_)


def test_a_report_without_rows_is_that_of_the_fit(linear):
    report = linear.report()
    for name in ("mutual_information", "aggregated_kl", "n_active_units", "kl_per_component"):
        np.testing.assert_array_equal(report[name], getattr(linear, f"{name}_"))
    assert report["elbo"] == linear.history_["elbo"][linear.best_iter_ - 1]
    assert "score" not in report


@pytest.mark.parametrize("name", PARTS)
def test_a_report_can_be_read(name):
    estimator = configured(name).fit(rows())
    for report in (estimator.report(), estimator.report(rows())):
        text = str(report)
        for key in report.keys() - {"warnings"}:
            assert f"\n{key} " in f"\n{text}"
        assert all(math.isfinite(report[key]) for key in NATS)
        assert isinstance(report, dict)


def test_a_fit_by_resemblance_has_a_report_of_what_it_has():
    X = np.random.default_rng(0).random((40, 256))
    estimator = vae(reconstruction="ssim", image_shape=(1, 16, 16), likelihood="bernoulli").fit(X)
    assert "elbo" not in estimator.report()
    assert math.isfinite(estimator.report(X)["elbo"])


def test_collapse_is_reported():
    estimator = vae(beta=1000.0, kl_warmup=0, max_iter=150, learning_rate=0.01).fit(rows())
    report = estimator.report(rows())
    assert report["collapsed"]
    assert "warning: Posterior collapse" in str(report)
    assert report["mutual_information"] < 0.05


def test_heavy_tails_and_unused_variables_are_reported():
    estimator = vae(4, likelihood=Gaussian("feature", min_variance=0.3), max_iter=300, learning_rate=0.01).fit(rows(60))
    report = estimator.report(rows(60))
    unused = 4 - report["n_active_units"]
    assert (f"{unused} of 4 latent variables are not in use" in str(report)) == (0 < unused < 4)
    assert ("Importance weights have too heavy a tail" in str(report)) == (report["pareto_k_share"] > 0)


def test_global_state_is_untouched(linear):
    before = process_state()
    linear.report(load_iris().data)
    assert process_state() == before


class Interrupting:
    """A callback that interrupts a fit before its first epoch."""

    max_estimator_depth = None

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if context.parent is not None:
            raise KeyboardInterrupt

    def on_fit_task_end(self, estimator, context):
        pass


@pytest.mark.parametrize("n_init", [1, 2])
def test_a_fit_that_was_interrupted_before_its_first_epoch_has_a_report(n_init):
    estimator = vae(n_init=n_init).set_callbacks(Interrupting())
    with pytest.warns(ConvergenceWarning, match="was interrupted in epoch 1"):
        estimator.fit(rows())
    assert estimator.n_iter_ == 0
    assert "elbo" not in estimator.report()
    assert "elbo" in estimator.report(rows())
    assert np.isfinite(estimator.score(rows()))
