"""The course of a fit, shown on an estimator of one number that EM learns: nothing here knows networks."""

import io
import json
import logging
import os
import pickle
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from skgen.callbacks import Checkpoint, EarlyStopping, LossMonitor, TimeBudget
from skgen.estimators._data import weighted_rows
from skgen.estimators._density import DensityEstimator
from skgen.estimators._iterative import IterativeEstimator
from skgen.estimators._run import Run
from skgen.estimators._sklearn import _fit_context
from skgen.training.stopping import Plateau

pytestmark = pytest.mark.filterwarnings("ignore:EM has not converged")


class ShareRun(Run):
    """EM for the share of the second of two known densities; a record is the log-likelihood at the new share."""

    monitored = "log_likelihood"
    device = torch.device("cpu")

    def __init__(self, densities, weight, *, tol, n_epochs):
        super().__init__(Plateau(tol, 1), n_epochs)
        self.densities, self.weight = densities, weight
        self.share = torch.tensor([0.5], dtype=torch.float64)

    def _records(self):
        for _ in range(self.epoch, self.last):
            joint = self.share * self.densities[1]
            self.share = torch.atleast_1d(self._mean(joint / self.likelihood()))
            yield {"log_likelihood": float(self._mean(torch.log(self.likelihood())))}

    def likelihood(self):
        return (1 - self.share) * self.densities[0] + self.share * self.densities[1]

    def _mean(self, values):
        return (values * self.weight).mean()

    def _values(self):
        return self.share.clone()

    def _restore(self, values):
        self.share.copy_(values)


class Share(DensityEstimator, IterativeEstimator):
    """Mixture of N(0, I) and N(1, I), of which the share of the second is learnt."""

    def __init__(self, *, max_iter=200, tol=1e-10, warm_start=False, random_state=0, verbose=0):
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None):
        return self._fit(X, y, {"sample_weight": sample_weight})

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, sample_weight=None):
        return self._partial_fit(X, {"sample_weight": sample_weight})

    def _validate_params(self):
        """All parameters are taken as they are."""

    def _prepare(self, X, metadata, *, fresh):
        X = validate_data(self, X, reset=fresh, dtype=np.float64)
        return X, metadata, weighted_rows(X, metadata["sample_weight"])

    def _start(self, data, *, fresh, partial=False):
        X, weight = data
        weight = torch.ones(len(X)) if weight is None else torch.tensor(weight)
        n_epochs = 1 if partial else self.max_iter
        run = ShareRun(self._densities(X), weight.double(), tol=self.tol, n_epochs=n_epochs)
        if not fresh:
            run.share.fill_(self.share_)
            run.follow(self)
        return run

    def _learnt(self, run):
        return {"share_": float(run.share)}

    def _describe_data(self, data):
        self.n_rows_ = len(data[0])

    def _doubts(self, run):
        if not run.converged and not run.interrupted:
            yield f"EM has not converged in {run.epoch} iterations."

    @staticmethod
    def _densities(X):
        x = torch.tensor(X, dtype=torch.float64)
        constant = 0.5 * np.log(2 * np.pi) * X.shape[1]
        return [torch.exp(-0.5 * (x - mean).square().sum(1) - constant) for mean in (0.0, 1.0)]

    def score_samples(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        first, second = self._densities(X)
        return torch.log((1 - self.share_) * first + self.share_ * second).numpy()


def rows(n_rows=80, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n_rows, 2)) + (random.uniform(size=(n_rows, 1)) < 0.3)


class At:
    """Do something when a task with a name begins or ends."""

    def __init__(self, name="iteration", *, begin=None, end=None):
        self.name, self.begin, self.end = name, begin, end

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if self.begin and context.task_name == self.name:
            self.begin(estimator._runtime.run)

    def on_fit_task_end(self, estimator, context):
        return bool(self.end and context.task_name == self.name and self.end(estimator._runtime.run))


class Killed(BaseException):
    """Stands for the end of the process."""


def raising(error, epoch):
    def check(run):
        if run.epoch == epoch:
            raise error

    return check


def caught(function):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function()
    return [(str(warning.message), warning.category, warning.filename) for warning in found]


@parametrize_with_checks([Share()])
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_likelihood_never_falls_and_the_fit_ends_at_its_maximum():
    model = Share(tol=1e-13, max_iter=2000).fit(rows())
    history = np.array(model.history_["log_likelihood"])
    # A mean of 80 logarithms near -3 is rounded to about 1e-15.
    assert (np.diff(history) >= -1e-14).all()
    assert model.converged_
    assert model.n_iter_ == len(history)
    assert model.best_iter_ <= model.n_iter_
    assert model.score(rows()) == pytest.approx(history[-1], abs=1e-14)
    for share in (model.share_ - 1e-3, model.share_ + 1e-3):
        other = clone(model).fit(rows())
        other.share_ = share
        assert other.score(rows()) < model.score(rows())


def test_weights_are_repetitions_and_zero_weights_absences():
    times = np.random.default_rng(1).integers(0, 4, size=80)
    weighted = Share().fit(rows(), sample_weight=times)
    repeated = Share().fit(np.repeat(rows(), times, axis=0))
    assert weighted.share_ == pytest.approx(repeated.share_, rel=1e-12)
    assert weighted.n_rows_ == (times > 0).sum()


def test_each_iteration_is_a_task_between_those_of_fit():
    seen = []

    def noting(name):
        return At(name, begin=lambda run: seen.append(f"begin {name}"), end=lambda run: seen.append(f"end {name}"))

    callbacks = [noting(name) for name in ("fit", "iteration", "epoch")]
    Share(max_iter=2, tol=0).set_callbacks(*callbacks).fit(rows())
    step = ["begin iteration", "end iteration"]
    assert seen == ["begin fit", *step, *step, "end fit"]


def test_the_stop_of_a_callback_ends_fit():
    model = Share().set_callbacks(At(end=lambda run: run.epoch == 3)).fit(rows())
    assert model.n_iter_ == 3
    assert not model.converged_


@pytest.mark.parametrize("weight", [None, np.linspace(0, 2, 80)])
def test_a_callback_of_scikit_learn_scores_the_model_after_every_iteration(weight):
    def score(estimator, X, y, **metadata):
        assert metadata.keys() == (set() if weight is None else {"sample_weight"})
        return {"score": estimator.score(X, **metadata)}

    monitor = ScoringMonitor(scoring=score)
    model = Share(max_iter=4, tol=0).set_callbacks(monitor).fit(rows(), np.zeros(80), sample_weight=weight)
    scores = {(row["task_name"], row["task_id"]): row["score"] for row in monitor.get_logs().data}
    values = model.history_["log_likelihood"]
    expected = {("iteration", i): value for i, value in enumerate(values)} | {("fit", 0): values[-1]}
    assert scores == pytest.approx(expected, rel=1e-12)


def test_progress_bars_count_iterations(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    Share(max_iter=3, tol=0).set_callbacks(ProgressBar()).fit(rows())
    assert "100%" in capsys.readouterr().out


def test_the_callbacks_of_the_package_work_on_iterations(tmp_path):
    monitor = LossMonitor(tmp_path / "losses.jsonl")
    model = Share().set_callbacks(monitor, EarlyStopping(patience=2, tol=1e-3)).fit(rows())
    assert [log["history"] for log in monitor.get_logs()] == [model.history_]
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == model.n_iter_
    assert json.loads((tmp_path / "losses.jsonl").read_text().splitlines()[0])["estimator"] == "Share"
    assert model.converged_
    assert model.n_iter_ < Share().fit(rows()).n_iter_
    # The watch keeps the best: EM never falls, so that is the last.
    assert model.best_iter_ == model.n_iter_
    assert Share().set_callbacks(TimeBudget(0)).fit(rows()).n_iter_ == 1


@pytest.mark.parametrize("weight", [None, np.linspace(0, 2, 80)])
def test_a_killed_fit_continues_to_the_same_bits(tmp_path, weight):
    whole = Share().fit(rows(), sample_weight=weight)
    for epoch in (1, 5, whole.n_iter_ - 1, whole.n_iter_):
        killer = At(end=raising(Killed, epoch))
        with pytest.raises(Killed):
            Share().set_callbacks(Checkpoint(tmp_path), killer).fit(rows(), sample_weight=weight)
        starts = []
        begin = At("fit", begin=lambda run, starts=starts: starts.append(run.epoch))
        again = Share().set_callbacks(Checkpoint(tmp_path), begin).fit(rows(), sample_weight=weight)
        assert starts == [epoch]
        assert (again.share_, again.history_, again.n_iter_) == (whole.share_, whole.history_, whole.n_iter_)
        assert os.listdir(tmp_path) == []


def test_ctrl_c_keeps_the_parameters_so_far():
    model = Share().set_callbacks(At(begin=raising(KeyboardInterrupt, 4)))
    ((message, category, place),) = caught(lambda: model.fit(rows()))
    assert message == "fit was interrupted in iteration 5; the model keeps the parameters so far."
    assert category is ConvergenceWarning
    assert place == __file__
    assert model.n_iter_ == 4
    assert model.share_ == Share(max_iter=4).fit(rows()).share_


def test_doubts_are_warnings_at_the_call_of_fit():
    ((message, category, place),) = caught(lambda: Share(max_iter=3).fit(rows()))
    assert message == "EM has not converged in 3 iterations."
    assert (category, place) == (ConvergenceWarning, __file__)
    assert caught(lambda: Share(max_iter=500).fit(rows())) == []


@pytest.mark.parametrize("fitted", [False, True])
def test_a_fit_that_fails_changes_nothing(fitted):
    model = Share(warm_start=True, max_iter=6)
    if fitted:
        model.fit(rows())
    model.set_callbacks(At(end=raising(ZeroDivisionError("broken"), 8 if fitted else 2)))
    before = vars(model).copy()
    with pytest.raises(ZeroDivisionError):
        model.fit(rows(seed=1))
    after = vars(model).copy()
    for changing in ("_callback_fit_ctx",):
        assert before.pop(changing, None) is None or changing in after
        after.pop(changing, None)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_a_warm_start_continues_and_a_cold_one_starts_afresh():
    whole = Share(max_iter=12, tol=0).fit(rows())
    halves = Share(max_iter=6, tol=0, warm_start=True).fit(rows())
    first = halves.share_
    halves = pickle.loads(pickle.dumps(halves)).fit(rows())
    assert (halves.share_, halves.history_, halves.n_iter_) == (whole.share_, whole.history_, 12)
    assert hasattr(halves, "training_state_")
    cold = halves.set_params(warm_start=False).fit(rows())
    assert (cold.share_, cold.n_iter_) == (first, 6)
    assert not hasattr(cold, "training_state_")


def test_partial_fit_is_one_iteration_that_starts_or_continues():
    model = Share().partial_fit(rows())
    assert model.n_iter_ == 1
    model.partial_fit(rows(40, seed=1)).partial_fit(rows())
    assert model.n_iter_ == len(model.history_["log_likelihood"]) == 3
    twice = Share().partial_fit(rows()).partial_fit(rows())
    assert twice.share_ == Share(max_iter=2).set_callbacks(At()).fit(rows()).share_


def test_nothing_of_a_fit_in_progress_is_pickled():
    states = []
    model = Share(max_iter=3)
    model.set_callbacks(At(end=lambda run: states.append(model.__getstate__()))).fit(rows())
    model.set_callbacks()
    assert all("_runtime" not in state for state in states)
    assert len(states) == 3
    assert model._runtime.run is None
    assert pickle.loads(pickle.dumps(model)).score(rows()) == model.score(rows())


def test_a_verbose_fit_reports_every_so_many_iterations_and_leaves_the_logger_as_it_was():
    logger = logging.getLogger("skgen")
    before = logger.level, list(logger.handlers)
    shown = io.StringIO()
    with redirect_stdout(shown):
        model = Share(max_iter=5, tol=0, verbose=2).fit(rows())
    values = model.history_["log_likelihood"]
    assert shown.getvalue().splitlines() == [f"Share iteration {n}: log_likelihood {values[n - 1]:.4g}" for n in (2, 4)]
    assert (logger.level, list(logger.handlers)) == before
