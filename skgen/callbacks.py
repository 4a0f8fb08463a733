"""Callbacks for scikit-learn's ``set_callbacks``: records of losses, two reasons to stop, and checkpoints.

They follow ``sklearn.callback.FitCallback`` and are set on the estimator that trains, wherever it stands:
``clone`` hands one callback to all copies of an estimator, so what belongs to a single fit is kept apart from
what the user set, and is not pickled. ``partial_fit`` runs no callbacks.

Where a model learns by expectation maximisation, an epoch is an iteration, and the weights are the parameters.
"""

import json
import os
import time
import uuid
import warnings
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import numpy as np
import sklearn
import torch

from skgen._files import digest, read_arrays, remove_abandoned, write_arrays
from skgen._spec import check_choice, check_count, check_number
from skgen._version import __version__

__all__ = ["Checkpoint", "EarlyStopping", "LossMonitor", "TimeBudget"]


STEPS = ("epoch", "iteration")
"""Names of the tasks that a fit consists of: epochs of gradient steps, or iterations of EM."""
STAGES = ("layer", "fine-tuning", "pretraining", "restart")
"""Names of the tasks that steps may be parts of, where a fit has several stages."""


class _Callback:
    """What callbacks share: hooks that do nothing, and a place for what belongs to a fit in progress."""

    def __init__(self):
        self._fits = {}

    def setup(self, estimator, context):
        """Do nothing before a fit."""

    def teardown(self, estimator, context):
        """Forget a fit that has ended, in whatever way."""
        self._fits.pop(id(context), None)

    def on_fit_task_begin(self, estimator, context):
        """Do nothing before a task."""

    def on_fit_task_end(self, estimator, context):
        """Do nothing after a task."""

    def _run(self, estimator):
        run = getattr(getattr(estimator, "_runtime", None), "run", None)
        if run is None:
            raise TypeError(
                f"{type(self).__name__} works on an estimator of skgen that learns by epochs or iterations, got "
                f"{type(estimator).__name__}. Set it on the estimator itself, not on what contains it."
            )
        return run

    def _of(self, context):
        """What was kept for the fit that a task belongs to, or is."""
        while id(context) not in self._fits:
            context = context.parent
        return self._fits[id(context)]

    def __getstate__(self):
        return self.__dict__ | {"_fits": {}}


def _is_fit(context):
    """Whether a task is a fit, not a step or a stage of one."""
    return context.task_name not in STEPS + STAGES


class LossMonitor(_Callback):
    """Record the history of every fit, epoch by epoch, also while it runs and when it fails.

    Parameters
    ----------
    path : str or path-like, default=None
        File that each epoch is appended to, as one line of JSON in a single write. Processes may share it,
        which is how fits of ``GridSearchCV(n_jobs=2)`` are recorded: ``logs_`` holds those of its own process
        only. Lines of earlier runs stay.

    Attributes
    ----------
    logs_ : dict of str to dict
        For each fit of this process, by a random name: ``estimator`` (class name), ``task`` (the names and
        numbers of the tasks that lead to the fit, such as the split of a search) and ``history``, which has
        the entries of the estimator's ``history_``. A fit that continues another has its epochs too.

    See Also
    --------
    sklearn.callback.ScoringMonitor : Records scores, which needs y.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import Autoencoder
    >>> from skgen.callbacks import LossMonitor
    >>> monitor = LossMonitor()
    >>> model = Autoencoder(hidden_layer_sizes=8, max_iter=3).set_callbacks(monitor).fit(load_iris().data)
    >>> monitor.get_logs()[0]["history"] == model.history_
    True
    """

    def __init__(self, path=None):
        super().__init__()
        self.path = None if path is None else os.path.abspath(path)
        self.logs_ = {}

    def on_fit_task_begin(self, estimator, context):
        """Open the log of a fit."""
        if not _is_fit(context):
            return
        self._run(estimator)
        tasks = [context]
        while tasks[0].parent is not None:
            tasks.insert(0, tasks[0].parent)
        task = [[each.source_estimator_name or each.estimator_name, each.task_name, each.task_id] for each in tasks]
        name = uuid.uuid4().hex
        self._fits[id(context)] = name
        self.logs_[name] = {"estimator": type(estimator).__name__, "task": task, "history": {}}

    def on_fit_task_end(self, estimator, context):
        """Record what the history has gained."""
        run = estimator._runtime.run
        history = estimator.history_ if run is None else run.history
        name = self._of(context)
        log = self.logs_[name]
        seen = {entry: len(values) for entry, values in log["history"].items()}
        gained = {entry: values[seen.get(entry, 0) :] for entry, values in history.items()}
        if not any(gained.values()):
            return
        for entry, values in gained.items():
            log["history"].setdefault(entry, []).extend(values)
        if self.path is not None:
            _append(self.path, json.dumps({"fit": name} | log | {"history": gained}))

    def get_logs(self):
        """Return the logs of all fits in the order in which they began.

        Returns
        -------
        logs : list of dict
            As in ``logs_``; with ``path`` those of every process that wrote to it, read from the file.
        """
        if self.path is None or not os.path.exists(self.path):
            return deepcopy(list(self.logs_.values()))
        logs = {}
        for number, line in enumerate(Path(self.path).read_text().splitlines(), 1):
            try:
                record = json.loads(line)
            except ValueError:
                warnings.warn(f"Line {number} of {self.path} is no record and is left out.", UserWarning, stacklevel=2)
                continue
            log = logs.setdefault(record.pop("fit"), record | {"history": {}})
            for entry, values in record["history"].items():
                log["history"].setdefault(entry, []).extend(values)
        return list(logs.values())

    def __getstate__(self):
        return super().__getstate__() | {"logs_": deepcopy(dict(self.logs_))}


def _append(path, line):
    """Append a line in one write, so that lines of several processes do not mix."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)


class EarlyStopping(_Callback):
    """Stop a fit when an entry of its history has ceased to improve, with the weights of its best epoch.

    It works beside the estimator's own stopping, which goes on: whichever comes first ends the fit. Where
    both keep weights (``restore_best=True`` here and ``early_stopping=True`` there) those of the callback are
    the final ones, and of several callbacks those of the last; ``best_iter_`` is the epoch that they are
    from. As in the estimator, epochs in which the weight of the KL still rises use up no patience, and
    ``converged_`` is True after a stop.

    Parameters
    ----------
    monitor : str, default=None
        Entry of ``history_`` to follow. None takes the validation entry where there are validation rows, and
        otherwise what the estimator follows itself.
    mode : {"max", "min"}, default="max"
        Whether higher or lower is better. All bounds, likelihoods and reconstructions are better when higher.
    patience : int or inf, default=10
        Epochs without progress after which training stops.
    tol : float, default=0.0
        Smallest improvement that counts as progress, in the units of the entry.
    restore_best : bool, default=True
        Whether the fit ends with the weights of the best epoch, however it ends.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import Autoencoder
    >>> from skgen.callbacks import EarlyStopping
    >>> model = Autoencoder(hidden_layer_sizes=8, learning_rate=0.1, random_state=0)
    >>> model = model.set_callbacks(EarlyStopping(patience=3)).fit(load_iris().data)
    >>> model.n_iter_ - model.best_iter_, model.converged_
    (3, True)
    """

    def __init__(self, monitor=None, *, mode="max", patience=10, tol=0.0, restore_best=True):
        super().__init__()
        check_choice(mode, ("max", "min"), "mode")
        check_number(patience, "patience", least=1)
        check_number(tol, "tol", least=0)
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.tol = tol
        self.restore_best = restore_best

    @property
    def settings(self):
        """What decides when and with which weights training stops, as text."""
        return json.dumps([self.monitor, self.mode, self.patience, self.tol, self.restore_best])

    def on_fit_task_begin(self, estimator, context):
        """Tell the run what to watch: it stops itself, and its checkpoints know how far patience has gone."""
        if _is_fit(context):
            self._run(estimator).watch(
                self.settings,
                monitor=self.monitor,
                sign=1 if self.mode == "max" else -1,
                tol=self.tol,
                patience=self.patience,
                keep=self.restore_best,
            )


class TimeBudget(_Callback):
    """Stop a fit at the end of the epoch in which its time is over.

    Every fit has the whole budget, counted by a monotonic clock from the first epoch's start. A fit that is
    stopped leaves its :class:`Checkpoint` in place: the next ``fit`` continues it, with a new budget.

    Parameters
    ----------
    seconds : float
        Time per fit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgen import Autoencoder
    >>> from skgen.callbacks import TimeBudget
    >>> model = Autoencoder(hidden_layer_sizes=8).set_callbacks(TimeBudget(0)).fit(load_iris().data)
    >>> model.n_iter_
    1
    """

    def __init__(self, seconds):
        super().__init__()
        check_number(seconds, "seconds", least=0)
        self.seconds = seconds

    def on_fit_task_begin(self, estimator, context):
        """Start the clock of a fit."""
        if _is_fit(context):
            self._run(estimator)
            self._fits[id(context)] = time.monotonic()

    def on_fit_task_end(self, estimator, context):
        """Whether the time is over."""
        if context.task_name not in STEPS or time.monotonic() - self._of(context) < self.seconds:
            return False
        self._run(estimator).interrupted = True
        return True


class Checkpoint(_Callback):
    """Save the state of training, and continue from it after the process was killed.

    Kill the process at any moment and call ``fit`` again with the same folder: training continues after the
    last epoch saved. On a CPU, on the same machine, the result is that of an uninterrupted fit bit for bit. A
    fit that comes to its end removes its file, so that a later ``fit`` starts afresh; one ended by Ctrl-C or
    :class:`TimeBudget` keeps it, to be continued.

    A file belongs to one fit. Its name is a digest of the estimator's class and parameters (``verbose``
    apart), of the rows, weights and validation rows, of the state that training starts from (which with
    ``warm_start`` comes from the fit before), of the settings of :class:`EarlyStopping`, of the versions of
    skgen, torch, numpy and scikit-learn, and of the device and number of threads: another model, fold or data
    set never resumes it, and all fits of a search can share one folder. Other callbacks are not part of it
    and start anew when a fit is continued.

    Files are complete or not there: they are written under another name, flushed to disk and renamed. They
    hold arrays without pickles. One that is damaged is ignored with a warning. When a file cannot be written,
    training goes on with a warning.

    Parameters
    ----------
    folder : str or path-like
        Where to save; made if it is not there.
    every : int, default=1
        Epochs between saves.

    Raises
    ------
    ValueError
        By ``fit`` of an estimator with ``random_state=None``, which no second process can repeat.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skgen import Autoencoder
    >>> from skgen.callbacks import Checkpoint, TimeBudget
    >>> X = load_iris().data
    >>> folder = tempfile.mkdtemp()
    >>> model = Autoencoder(hidden_layer_sizes=8, max_iter=3, random_state=0)
    >>> _ = model.set_callbacks(Checkpoint(folder), TimeBudget(0))
    >>> [model.fit(X).n_iter_ for _ in range(3)], os.listdir(folder)
    ([1, 2, 3], [])
    """

    def __init__(self, folder, *, every=1):
        super().__init__()
        check_count(every, "every")
        self.folder = os.path.abspath(folder)
        self.every = every

    def setup(self, estimator, context):
        """Refuse an estimator whose fit cannot be repeated."""
        if getattr(estimator, "random_state", 0) is None:
            raise ValueError(
                "Checkpoint needs a fit that another process can repeat: set random_state to an integer, "
                "got random_state=None."
            )

    def on_fit_task_begin(self, estimator, context, *, X=None, metadata=None):
        """Continue a fit from its file, if there is one."""
        if not _is_fit(context):
            return
        run = self._run(estimator)
        os.makedirs(self.folder, exist_ok=True)
        remove_abandoned(self.folder)
        path = os.path.join(self.folder, f"checkpoint-{_identity(estimator, run, X, metadata)}.npz")
        self._fits[id(context)] = run, path
        state = read_arrays(path)
        if state is not None:
            run.load(state)

    def on_fit_task_end(self, estimator, context):
        """Save the state after an epoch, or remove the file of a fit that has ended."""
        run, path = self._of(context)
        if context.task_name in STEPS and run.epoch % self.every == 0:
            self._save(path, run.state())
        if _is_fit(context) and (run.finished or not run.interrupted):
            with suppress(FileNotFoundError):
                os.remove(path)

    def _save(self, path, state):
        try:
            write_arrays(path, state)
        except OSError as error:
            warnings.warn(f"{path} was not written, training goes on: {error}", UserWarning, stacklevel=2)


def _identity(estimator, run, X, metadata):
    """Digest of all that the course of a fit depends on."""
    params = estimator.get_params(deep=False)
    params.pop("verbose", None)
    versions = [__version__, torch.__version__, np.__version__, sklearn.__version__]
    callbacks = [each.settings for each in getattr(estimator, "_skl_callbacks", ()) if isinstance(each, EarlyStopping)]
    arrays = {name: None if value is None else np.asarray(value) for name, value in metadata.items()}
    machine = [str(run.device), torch.get_num_threads(), torch.get_float32_matmul_precision()]
    return digest([type(estimator), params, X, arrays, run.state(), callbacks, versions, machine])
