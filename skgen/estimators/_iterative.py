"""What every estimator that learns step by step shares: the course of ``fit``, whatever a step is."""

import logging
import sys
from abc import abstractmethod
from contextlib import contextmanager

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning

from skgen.estimators._warnings import warn_user

logger = logging.getLogger("skgen")


class Runtime:
    """What an estimator holds besides its state: models by dtype and the run in progress. Never pickled."""

    def __init__(self, run=None):
        self.run = run
        self.models = {}


@contextmanager
def _messages(verbose):
    """Show the package's messages on standard output for the time of a verbose fit."""
    if not verbose or logger.handlers:
        yield
        return
    handler, level = logging.StreamHandler(sys.stdout), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _all_or_nothing(estimator):
    """Leave an estimator as it was where training it fails: half of its attributes would belong to another model.

    What the dict that is handed out holds by then takes the place of what was before.
    """
    before, instead = vars(estimator).copy(), {}
    try:
        yield instead
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(instead or before)
        raise


class IterativeEstimator(CallbackSupportMixin, BaseEstimator):
    """Base of the estimators that learn by epochs, or by iterations of EM.

    A subclass has the parameters ``max_iter``, ``warm_start`` and ``verbose``, and a public ``fit`` that says what it
    takes and returns ``self._fit(X, y, metadata)``. It prepares rows, starts a :class:`~skgen.estimators._run.Run`,
    and turns what the run has learnt into attributes; all the rest is here.
    """

    _task_name = "iteration"
    """What one record of a run is, for callbacks and messages: "iteration" or "epoch"."""

    @abstractmethod
    def _prepare(self, X, metadata, *, fresh):
        """Checked rows and metadata, as callbacks see them, and the data that ``_start`` takes.

        ``metadata`` are the other arguments of ``fit`` by name. ``fresh`` says that no fit is continued.
        """

    @abstractmethod
    def _start(self, data, *, fresh, partial=False):
        """A run ready for its first record; with ``partial`` it is one pass over a chunk of rows."""

    @abstractmethod
    def _learnt(self, run):
        """The fitted attributes that hold what a run has learnt so far, as new arrays and plain values by name.

        Callbacks ask for them after any record.
        """

    def _describe_data(self, data):
        """Set the fitted attributes that need the learnt ones and the data."""

    def _doubts(self, run):
        """What a user should be warned of after a fit."""
        return ()

    def _message_interval(self):
        """Number of records from one message to the next, where ``verbose`` asks for messages."""
        return self.verbose

    def _most_tasks(self):
        """Largest number of tasks that a fit consists of."""
        return self.max_iter

    # -- the course of a fit --------------------------------------------------------------------------------------

    def _fit(self, X, y, metadata):
        """The body of ``fit``."""
        context = self._init_callback_context(max_subtasks=self._most_tasks())
        with _all_or_nothing(self) as instead, _messages(self.verbose):
            fresh = not (self.warm_start and self.__sklearn_is_fitted__())
            X, metadata, data = self._prepare(X, metadata, fresh=fresh)
            run = self._start(data, fresh=fresh)
            self._runtime = Runtime(run)
            metadata = {name: value for name, value in metadata.items() if value is not None}
            context.call_on_fit_task_begin(estimator=self, X=X, y=y, metadata=metadata)
            # When a task has ended, callbacks hand its metadata to scorers, which take weights at most.
            weights = {name: value for name, value in metadata.items() if name == "sample_weight"}
            hooks = {"estimator": self, "X": X, "y": y, "metadata": weights}
            try:
                self._iterate(run, context, hooks)
            except FloatingPointError:
                instead |= self._salvaged(run, data)
                raise
            self._conclude(run, data)
        context.call_on_fit_task_end(**hooks, reconstruction_attributes=dict)
        return self

    def _salvaged(self, run, data):
        """All attributes that an estimator is left with whose fit diverged; none: those that it had before."""
        return {}

    def _conclude(self, run, data):
        """Become what a run has learnt, and say what is doubtful about it."""
        self._store(run)
        self._describe_data(data)
        for doubt in self._doubts(run):
            warn_user(doubt, ConvergenceWarning)
        if not self.warm_start:
            del self.training_state_

    def _partial_fit(self, X, metadata):
        """The body of ``partial_fit``, which runs no callbacks."""
        with _all_or_nothing(self):
            fresh = not self.__sklearn_is_fitted__()
            _, _, data = self._prepare(X, metadata, fresh=fresh)
            run = self._start(data, fresh=fresh, partial=True)
            run.complete()
            self._store(run)
            self._describe_data(data)
        return self

    def _iterate(self, run, context, hooks):
        """Take the records of a run until it or a callback ends it; Ctrl-C keeps what there is."""
        try:
            self._take_records(run, context, hooks)
        except KeyboardInterrupt:
            run.interrupted = True
            warn_user(
                f"fit was interrupted in {self._task_name} {run.epoch + 1}; the model keeps the parameters so far.",
                ConvergenceWarning,
            )
        run.keep_best()

    def _take_records(self, run, context, hooks):
        records = run.records()
        while not run.finished:
            task = context.subcontext(task_name=self._task_name).call_on_fit_task_begin(**hooks)
            record = next(records)
            if self.verbose and run.epoch % self._message_interval() == 0:
                terms = ", ".join(f"{name} {value:.4g}" for name, value in record.items())
                logger.info("%s %s %d: %s", type(self).__name__, self._task_name, run.epoch, terms)
            if task.call_on_fit_task_end(**hooks, reconstruction_attributes=lambda: self._snapshot(run)):
                return

    # -- fitted state ---------------------------------------------------------------------------------------------

    def _snapshot(self, run):
        """Attributes of an estimator as if training had ended now."""
        return self._learnt(run) | {
            "history_": {name: list(values) for name, values in run.history.items()},
            "n_iter_": run.epoch,
            "best_iter_": run.best_epoch,
            "converged_": run.converged,
            "training_state_": run.training_state(),
            "_runtime": Runtime(),
        }

    def _store(self, run):
        for name, value in self._snapshot(run).items():
            setattr(self, name, value)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_iter_")

    def __getstate__(self):
        state = super().__getstate__().copy()
        state.pop("_runtime", None)
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        self._runtime = Runtime()
