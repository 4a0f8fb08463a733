"""How fits run: weights of rows, validation rows, stopping, warnings, warm starts."""

import gc
import warnings
import weakref
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skgen import VariationalAutoencoder
from skgen.estimators._networks import NetworkEstimator
from skgen.estimators._training import TrainingRun
from skgen.likelihoods import Gaussian
from skgen.training.graphs import GraphedStep
from skgen.training.steps import GradientStep
from tests.estimators.configurations import IMPLICIT, MACHINES, NETWORKS, ROUNDED, configured, rows, vae

pytestmark = [pytest.mark.filterwarnings(each) for each in ("ignore::sklearn.exceptions.ConvergenceWarning", ROUNDED)]

every = pytest.mark.parametrize("name", NETWORKS)


class Calls:
    """A callback that hands every epoch's run to a function."""

    def __init__(self, function):
        self.function = function

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **hooks):
        pass

    def on_fit_task_end(self, estimator, context, **hooks):
        if context.task_name == "epoch":
            self.function(estimator._runtime.run)


def first_gradient(estimator, monkeypatch, X, sample_weight=None):
    """Gradient of each batch of the first epoch, at the starting weights."""
    gradients = []
    start = NetworkEstimator._start

    def spy(self, *arguments, **options):
        run = start(self, *arguments, **options)
        for batch in run.batches.epoch(run.order, run.generator):
            run.parameters.gradient.zero_()
            with torch.no_grad():
                run.loss(batch, run.generator)
            gradients.append(run.parameters.gradient.double().numpy().copy())
        return run

    with monkeypatch.context() as patch:
        patch.setattr(NetworkEstimator, "_start", spy)
        estimator.fit(X, sample_weight=sample_weight)
    return np.stack(gradients)


@pytest.fixture
def on_a_gpu(monkeypatch):
    """A function that is called with each run as it would be with its batches on a GPU; set its entry."""
    look = {}
    begin = TrainingRun.__init__

    def spy(self, model, parameters, loss, batches, **options):
        begin(self, model, parameters, loss, batches, **options)
        places = SimpleNamespace(device=torch.device("cuda"), batch_size=10, n_rows=40)
        again = object.__new__(TrainingRun)
        begin(again, model, parameters, loss, places, **options)
        look["at"](again)

    monkeypatch.setattr(TrainingRun, "__init__", spy)
    return look


def test_a_run_on_a_gpu_records_its_steps_and_ends_with_the_last_reference_to_it(on_a_gpu):
    runs = []

    def look(run):
        assert isinstance(run.step, GraphedStep)
        assert run.step.key() == tuple(run.loss.scheduled.values())
        runs.append(weakref.ref(run))

    on_a_gpu["at"] = look
    gc.disable()
    try:
        vae().fit(rows())
        assert runs[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "estimator",
    [
        vae(network=lambda n, m: nn.Sequential(nn.Linear(n, m), nn.Dropout(0.1))),
        configured("rbm-gaussian-relu"),
        vae(hidden_layer_sizes=(), solver="lbfgs"),
    ],
    ids=["module", "machine", "line-search"],
)
def test_steps_that_wait_for_values_are_not_recorded(estimator, on_a_gpu):
    kinds = []
    on_a_gpu["at"] = lambda run: kinds.append(type(run.step))
    estimator.fit(rows())
    assert kinds == [GradientStep]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("error:The device could not record")
def test_a_gpu_learns_what_it_records():
    for name, batch_size in product([*NETWORKS, *MACHINES], [16, 100]):
        model = configured(name, device="cuda")
        model = model if "lbfgs" in name else model.set_params(batch_size=batch_size)
        assert np.isfinite(model.fit(rows()).score(rows())), (name, batch_size)


@pytest.mark.parametrize("name", NETWORKS)
def test_integer_weights_are_repetitions_and_zero_weights_absences(name):
    X = rows(25)
    times = np.random.default_rng(0).integers(0, 4, size=25)
    weighted = configured(name).fit(X, sample_weight=times)
    repeated = configured(name).fit(np.repeat(X, times, axis=0))
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-6)
    for key, values in repeated.history_.items():
        np.testing.assert_allclose(weighted.history_[key], values, rtol=1e-6, err_msg=key)
    for key in ("kl_per_component_", "n_active_units_", "noise_variance_"):
        if getattr(repeated, key, None) is not None:
            np.testing.assert_allclose(getattr(weighted, key), getattr(repeated, key), rtol=1e-6, err_msg=key)


@every
def test_equal_weights_are_no_weights(name):
    weighted, plain = configured(name).fit(rows(), sample_weight=np.full(40, 3.5)), configured(name).fit(rows())
    np.testing.assert_array_equal(weighted.transform(rows()), plain.transform(rows()))


def test_weights_of_minibatches_give_the_gradient_of_all_rows_in_expectation(monkeypatch):
    X = rows(60)
    times = np.random.default_rng(0).integers(1, 5, size=60)
    # A learning rate of 0 leaves the starting weights; the seed draws them.
    options = {"max_iter": 1, "learning_rate": 0.0, "precision": "float64"}
    full = vae(batch_size=300, n_draws=8, **options)
    # Noise shared by the rows of one batch is drawn many times for the expectation.
    batches = vae(batch_size=10, **options)
    exact = first_gradient(full, monkeypatch, np.repeat(X, times, axis=0))
    weighted_full = first_gradient(full, monkeypatch, X, times)
    np.testing.assert_allclose(weighted_full, exact, rtol=1e-9, atol=1e-12)

    means = []
    start = NetworkEstimator._start

    def spy(self, *arguments, **options):
        run = start(self, *arguments, **options)
        for _ in range(400):
            run.parameters.gradient.zero_()
            with torch.no_grad():
                for batch in run.batches.epoch(run.order, run.generator):
                    run.loss(batch, run.generator)
            means.append(run.parameters.gradient.numpy() / run.batches.n_batches)
        return run

    def estimate(estimator, X, sample_weight=None):
        means.clear()
        with monkeypatch.context() as patch:
            patch.setattr(NetworkEstimator, "_start", spy)
            estimator.fit(X, sample_weight=sample_weight)
        values = np.stack(means)
        return values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))

    value, error = estimate(batches, X, times)
    truth, truth_error = estimate(full, X, times)
    assert (np.abs(value - truth) <= 5 * np.hypot(error, truth_error) + 1e-12).all()


@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_a_weighted_score_is_that_of_repeated_rows(name):
    times = np.random.default_rng(0).integers(0, 4, size=40)
    estimator = configured(name).fit(rows())
    repeated = estimator.score(np.repeat(rows(), times, axis=0))
    assert estimator.score(rows(), sample_weight=times) == pytest.approx(repeated, rel=1e-12)
    with pytest.raises(ValueError, match="weight"):
        estimator.score(rows(), sample_weight=-times)


def test_a_row_of_every_weight_zero_is_refused():
    with pytest.raises(ValueError, match="weight"):
        vae().fit(rows(), sample_weight=np.zeros(40))
    with pytest.raises(ValueError, match="weight"):
        vae().fit(rows(), sample_weight=-np.ones(40))


@every
def test_validation_rows_replace_the_fraction_and_are_recorded(name):
    bound = {"vae-iwae": "iwae", "vae-dreg": "iwae"}.get(name, "reconstruction" if "autoencoder" in name else "elbo")
    bound = "bound" if name in IMPLICIT else bound
    monitored = f"validation_{bound}"
    plain, watched = configured(name, early_stopping=False), configured(name, early_stopping=False)
    plain.fit(rows())
    watched.fit(rows(), X_val=rows(20, seed=9))
    assert len(watched.history_[monitored]) == watched.n_iter_
    np.testing.assert_array_equal(plain.transform(rows()), watched.transform(rows()))
    stopped = configured(name, early_stopping=True).fit(rows(), X_val=rows(20, seed=9))
    # No row is held out: training saw what it saw without validation.
    assert stopped.n_samples_seen_ == 40
    assert stopped.history_[monitored][: watched.n_iter_] == watched.history_[monitored]


@every
def test_early_stopping_keeps_the_weights_of_the_best_epoch(name):
    kept = []
    estimator = configured(name, early_stopping=True, n_iter_no_change=3, tol=0.0, max_iter=60)
    if not estimator._searches_lines:
        estimator.set_params(learning_rate=0.3)
    estimator.set_callbacks(Calls(lambda run: kept.append(run.parameters.value.clone())))
    estimator.fit(rows(), X_val=rows(20, seed=9))
    values = next(values for key, values in estimator.history_.items() if key.startswith("validation_"))
    assert estimator.best_iter_ == 1 + int(np.argmax(values))
    best = kept[estimator.best_iter_ - 1]
    assert len({tuple(weights.tolist()) for weights in kept}) > 1
    parameters = {key for key, _ in estimator._module(np.float64).named_parameters()}
    for key, value in estimator.weights_.items():
        if key in parameters and key.startswith(("encoder.", "decoder.")):
            assert np.isin(value, best.numpy()).all(), key


def test_validation_is_weighted_as_the_rows_are():
    X = rows(30)
    X[:15] += 3
    options = {"early_stopping": True, "validation_fraction": 0.5, "learning_rate": 0.0, "max_iter": 2}
    heavy = vae(**options).fit(X, sample_weight=np.where(np.arange(30) < 15, 1000, 1))
    light = vae(**options).fit(X)
    assert heavy.history_["validation_elbo"] != light.history_["validation_elbo"]


def caught(estimator, *arguments, **options):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        estimator.fit(*arguments, **options)
    return [str(warning.message) for warning in found if issubclass(warning.category, ConvergenceWarning)]


def test_stopping_before_the_warm_up_ended_is_a_warning():
    messages = caught(vae(kl_warmup=10, max_iter=5), rows())
    assert any("before the warm-up of the KL ended" in message for message in messages)
    assert not any("warm-up" in message for message in caught(vae(kl_warmup=5, max_iter=5), rows()))


def test_the_last_epoch_being_the_best_is_a_warning():
    estimator = vae(early_stopping=True, max_iter=4, learning_rate=1e-4)
    messages = caught(estimator, rows(300))
    assert estimator.best_iter_ == 4
    assert any("best epoch is the last, 4" in message for message in messages)
    flat = vae(early_stopping=True, max_iter=10, learning_rate=0.0)
    assert not any("best epoch" in message for message in caught(flat, rows(300)))


def test_warning_points_at_the_call_of_fit():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        vae(kl_warmup=10, max_iter=5).fit(rows())
        X = rows()
        X[:, 1] = 0.5
        vae().fit(X)
    assert len(found) > 1
    assert {warning.filename for warning in found} == {__file__}


@pytest.mark.parametrize("length", [np.int64(4), 4, 0.4, np.float64(0.4)])
def test_the_warm_up_is_a_number_of_epochs_or_a_share(length):
    weights = vae(kl_warmup=length, max_iter=10, beta=np.float32(2.0)).fit(rows()).history_["kl_weight"]
    np.testing.assert_allclose(weights, [0.5, 1.0, 1.5] + [2.0] * 7, rtol=1e-6)
    assert {type(weight) for weight in weights} == {float}


def test_the_plateau_stops_training_after_the_warm_up():
    estimator = vae(learning_rate=0.0, kl_warmup=6, max_iter=50, n_iter_no_change=3).fit(rows(), X_val=rows())
    assert estimator.converged_
    # The noise of training is not progress beyond this tolerance.
    estimator = vae(learning_rate=0.0, kl_warmup=6, max_iter=50, n_iter_no_change=3, tol=100.0).fit(rows())
    assert estimator.n_iter_ == 9
    assert vae(learning_rate=0.0, tol=100.0, n_iter_no_change=np.inf, max_iter=12).fit(rows()).n_iter_ == 12


@pytest.mark.parametrize("name", ["vae", "vae-linear-lbfgs", "vae-linear-bfgs", "vae-sgd", "autoencoder"])
def test_a_warm_start_continues_and_a_cold_one_starts_afresh(name):
    options = {"n_iter_no_change": np.inf, "learning_rate_schedule": "constant"}
    if name == "vae-linear-bfgs":
        name, options = "vae-linear-lbfgs", options | {"solver": "bfgs"}
    if name.startswith("vae"):
        options["kl_warmup"] = 0
    whole = configured(name, max_iter=8, **options).fit(rows())
    halves = configured(name, max_iter=4, warm_start=True, **options).fit(rows())
    first = halves.transform(rows())
    halves.fit(rows())
    assert halves.n_iter_ == 8
    np.testing.assert_allclose(halves.transform(rows()), whole.transform(rows()), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(halves.history_["reconstruction"], whole.history_["reconstruction"], rtol=1e-7)
    cold = halves.set_params(warm_start=False).fit(rows())
    np.testing.assert_array_equal(cold.transform(rows()), first)
    assert cold.n_iter_ == 4


def test_more_parameters_than_bfgs_takes_are_refused_and_change_nothing():
    estimator = vae(max_iter=3, warm_start=True, hidden_layer_sizes=(400,)).fit(rows())
    before = estimator.transform(rows())
    with pytest.raises(ValueError, match=r"'bfgs' keeps a matrix .* at most n = 5000 parameters, got \d+: .*'lbfgs'"):
        estimator.set_params(solver="bfgs").fit(rows())
    np.testing.assert_array_equal(estimator.transform(rows()), before)
    assert estimator.n_iter_ == 3


def routed(**parameters):
    step = vae(**parameters).set_fit_request(X_val=True)
    return Pipeline([("scale", StandardScaler()), ("vae", step)], transform_input=["X_val"])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_a_pipeline_scales_the_validation_rows():
    X, X_val = rows(), rows(20, seed=9)
    scale = StandardScaler().fit(X)
    expected = vae().fit(scale.transform(X), X_val=scale.transform(X_val))
    assert routed().fit(X, X_val=X_val)["vae"].history_ == expected.history_


@pytest.mark.usefixtures("routing")
def test_a_pipeline_with_routing_has_a_score():
    # scikit-learn hands a final step's score its sample_weight, None included.
    X = rows()
    pipeline = routed().fit(X)
    assert pipeline.score(X) == pipeline["vae"].score(pipeline["scale"].transform(X))


@pytest.mark.usefixtures("routing")
def test_validation_rows_reach_a_middle_step():
    X, X_val = rows(), rows(20, seed=9)
    steps = [*routed().steps, ("classify", LogisticRegression())]
    pipeline = Pipeline(steps, transform_input=["X_val"]).fit(X, X[:, 0] > 0.5, X_val=X_val)
    assert pipeline["vae"].history_ == routed().fit(X, X_val=X_val)["vae"].history_
    assert pipeline.predict(X).shape == (40,)


@pytest.mark.usefixtures("routing")
def test_validation_rows_reach_every_fit_of_a_grid_search():
    X, X_val = rows(), rows(20, seed=9)
    search = GridSearchCV(routed(), {"vae__n_components": [1, 2]}, cv=2, error_score="raise").fit(X, X_val=X_val)
    assert len(search.best_estimator_["vae"].history_["validation_elbo"]) == 5
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_divergence_in_the_last_update_of_a_fit_is_an_error():
    """The last update is reported by no later batch: the weights themselves are looked at."""
    X = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    steep = Gaussian(variance="fixed", noise_variance=1e-6)
    model = VariationalAutoencoder(
        2, likelihood=steep, hidden_layer_sizes=(4,), solver="sgd", learning_rate=1e38, max_iter=1, random_state=0
    )
    with pytest.raises(FloatingPointError, match="epoch 1: a weight is not finite"):
        model.fit(X)


def test_progress_on_sampled_values_is_that_of_a_recent_mean():
    """Where the values are a sample of batches or noise, one lucky epoch must not end training."""
    X = rows(60)
    seen = []
    model = vae(max_iter=30).set_callbacks(Calls(lambda run: seen.append(run.plateau.best)))
    model.fit(X)
    elbo = np.array(model.history_["elbo"])
    means = [elbo[max(0, i - 9) : i + 1].mean() for i in range(len(elbo))]
    np.testing.assert_allclose(seen, np.maximum.accumulate(means), rtol=1e-12)
