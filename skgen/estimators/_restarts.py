"""Fits that start several times and keep the best: what learns by gradients ends where it started near."""

import json
import math
import warnings

import numpy as np
from sklearn.utils import check_random_state

from skgen.estimators._arrays import resolve_device, seed_from
from skgen.estimators._iterative import IterativeEstimator

RESTART = "restart"
"""Name of the task that a restart is, and of the entry with its number, from 1, in what callbacks see of a history."""


class Restarts:
    """Runs of one fit that begin anew, each with its own seed, seen as one by ``fit`` and by callbacks.

    It offers what :class:`~skgen.estimators._run.Run` does. Stopping is each run's own. Of the runs that have ended the
    best alone is held.

    Parameters
    ----------
    n_runs : int
        Number of runs.
    begin : callable
        The run of a number from 0, ready for its first record.
    device : torch.device
        Where they learn.

    Attributes
    ----------
    scores : list of float
        What each run that has ended came to, in the units of its monitored value.
    best, current : Run or None
        The best run that has ended, and the one in progress.
    interrupted, cut : bool
        Whether a callback or Ctrl-C ended the fit before its time, and whether that was within a run.
    """

    def __init__(self, n_runs, begin, device):
        self.n_runs, self.begin, self.device = n_runs, begin, device
        self.scores, self.past = [], []
        self.best = self.current = None
        self.watches = {}
        self.interrupted = self.cut = False

    # -- their course -------------------------------------------------------------------------------------------------

    @property
    def index(self):
        """Number of runs that have ended."""
        return len(self.scores)

    def begin_run(self):
        """Begin the next run, unless it was already."""
        if self.current is None:
            self.current = self.begin(self.index)
            for name, settings in self.watches.items():
                self.current.watch(name, **settings)

    def end_run(self):
        """End the run in progress, and keep it if it is the best so far."""
        self.keep_best()
        score = self.current.outcome
        if self.best is None or score > max(self.scores):
            self.best = self.current
        self.scores.append(score)
        self.past.append(self.current.history)
        self.current = None

    def conclude(self):
        """The best run; one in progress counts, whatever has ended it, if it has learnt anything."""
        self.cut = self.current is not None and not self.current.finished
        if self.current is not None and (self.current.epoch > 0 or self.best is None):
            self.end_run()
        return self.best

    def records(self):
        """The records of the run in progress."""
        return self.current.records()

    @property
    def finished(self):
        """Whether there is no epoch left, in the run in progress or, where there is none, at all."""
        if self.current is not None:
            return self.current.finished
        return self.index == self.n_runs and not self.cut

    def keep_best(self):
        """Go back to the parameters of the best epoch of the run in progress, where they were kept."""
        if self.current is not None:
            self.current.keep_best()

    def watch(self, name, **settings):
        """Stop each run when an entry of its history has ceased to rise."""
        self.watches.setdefault(name, settings)

    # -- what there is to see -----------------------------------------------------------------------------------------

    @property
    def chosen(self):
        """The run that the fit would end with now."""
        if self.current is None or (self.best is not None and self.current.outcome <= max(self.scores)):
            return self.best
        return self.current

    @property
    def histories(self):
        """Those of all runs so far."""
        return self.past if self.current is None else [*self.past, self.current.history]

    @property
    def epoch(self):
        """Number of epochs so far, over all runs."""
        return len(self.history[RESTART])

    @property
    def history(self):
        """The records of all runs, one after the other."""
        joined = {RESTART: []}
        for number, history in enumerate(self.histories, 1):
            joined[RESTART] += [float(number)] * max(map(len, history.values()), default=0)
            for name, values in history.items():
                joined.setdefault(name, []).extend(values)
        return joined

    # -- state --------------------------------------------------------------------------------------------------------

    def state(self):
        """The whole state after an epoch, as arrays by name."""
        progress = {"scores": self.scores, "past": self.past}
        state = {"described": np.frombuffer(json.dumps(progress).encode(), dtype=np.uint8)}
        for name in ("best", "current"):
            run = getattr(self, name)
            if run is not None:
                state |= {f"{name}/{key}": value for key, value in run.state().items()}
        return state

    def load(self, state):
        """Continue from :meth:`state`."""
        described = json.loads(bytes(state["described"]).decode())
        self.scores, self.past = described["scores"], described["past"]
        parts = {}
        for key, value in state.items():
            name, _, rest = key.partition("/")
            parts.setdefault(name, {})[rest] = value
        if "best" in parts:
            self.best = self.begin(int(np.argmax(self.scores)))
            self.best.load(parts["best"])
        if "current" in parts:
            self.begin_run()
            self.current.load(parts["current"])


class Restarting(IterativeEstimator):
    """Mixin of the estimators with the parameter ``n_init``, which learn by gradients."""

    def _most_tasks(self):
        return self.n_init if self._will_restart() else super()._most_tasks()

    def _will_restart(self):
        return self.n_init > 1 and not (self.warm_start and self.__sklearn_is_fitted__())

    def _start(self, data, *, fresh, partial=False):
        if self.n_init == 1 or not fresh or partial:
            return super()._start(data, fresh=fresh, partial=partial)
        random_state = check_random_state(self.random_state)
        split = self._split(data, random_state, partial=False)
        seeds = [seed_from(random_state) for _ in range(self.n_init)]

        def begin(number):
            with warnings.catch_warnings():
                if number:  # what the rows give reason for was said the first time
                    warnings.simplefilter("ignore")
                source = np.random.RandomState(seeds[number])
                run = self._training_run(split, source, fresh=True, validation_seed=seeds[0])
            self._score_seed = seeds[0]
            return run

        return Restarts(self.n_init, begin, resolve_device(self.device))

    def _take_records(self, run, context, hooks):
        if not isinstance(run, Restarts):
            super()._take_records(run, context, hooks)
            return
        while run.index < run.n_runs:
            run.begin_run()
            task = context.subcontext(task_name=RESTART, max_subtasks=self.max_iter)
            super()._take_records(run, task.call_on_fit_task_begin(**hooks), hooks)
            if run.interrupted:
                return
            run.end_run()
            if task.call_on_fit_task_end(**hooks, reconstruction_attributes=lambda: self._snapshot(run)):
                return

    def _conclude(self, run, data):
        chosen = run.conclude() if isinstance(run, Restarts) else run
        super()._conclude(chosen, data)
        self.init_scores_ = _scores(run)

    def _snapshot(self, run):
        chosen = run.chosen if isinstance(run, Restarts) else run
        return super()._snapshot(chosen) | {"init_scores_": _scores(run)}


def _scores(run):
    """What each run that has ended came to, or the only one has come to so far."""
    scores = run.scores if isinstance(run, Restarts) else [run.outcome]
    return np.array([score for score in scores if math.isfinite(score)])
