"""A fit in progress, whatever learns: its history, its stopping, and its state as arrays."""

import json
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch

from skgen.estimators._arrays import as_array
from skgen.training.stopping import Plateau


@dataclass
class Watch:
    """A history entry that a callback follows, and the parameters of its best epoch where they are kept."""

    plateau: Plateau
    monitor: str | None
    sign: int
    keep: bool
    values: torch.Tensor | None = None

    @property
    def settings(self):
        """What a continued run needs besides the parameters, as plain values."""
        return {name: value for name, value in vars(self).items() if name not in ("plateau", "values")}


class Run(ABC):
    """What ``fit`` and the callbacks know of a fit in progress. One record is one epoch, or one iteration of EM.

    A subclass yields records by ``_records``, copies its parameters by ``_values`` and ``_restore``, and names
    ``monitored`` and ``device``. Where a later call needs more than the parameters, such as an optimiser's moments, it
    has ``training_state`` and ``load_training_state``.

    Parameters
    ----------
    plateau : Plateau
        Decides when the monitored value has ceased to rise.
    n_epochs : int
        Largest number of records of this run.
    keep : bool
        Whether the run ends with the parameters of its best epoch.

    Attributes
    ----------
    history : dict of str to list of float
        All records so far, those of the fit that this one continues included.
    start, epoch, last : int
        Number of records before this run, so far, and at most.
    interrupted : bool
        Whether a callback or Ctrl-C ended the run before its time.
    """

    def __init__(self, plateau, n_epochs, *, keep=False):
        self.plateau, self.keep = plateau, keep
        self.history = {}
        self.epoch, self.start, self.last = 0, 0, n_epochs
        self.best = None
        self.watches = {}
        self.interrupted = False

    # -- what learns ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _records(self):
        """Yield a record, a dict of floats, after each epoch, for as long as the run is not ``finished``.

        The first epoch has the number ``self.epoch``. At each yield the parameters are those that the epoch ends with,
        and they are whole at any moment at which Ctrl-C may come.
        """

    @abstractmethod
    def _values(self):
        """A copy of the parameters, as one vector."""

    @abstractmethod
    def _restore(self, values):
        """Set the parameters from such a vector, on whatever device it is."""

    @property
    @abstractmethod
    def monitored(self):
        """Name of the history entry that progress is measured by; higher is better."""

    @property
    @abstractmethod
    def device(self):
        """The torch device that computes."""

    def training_state(self):
        """Arrays that a later call continues from, besides the parameters."""
        return {}

    def load_training_state(self, state):
        """Continue from :meth:`training_state`."""
        return

    def _counts(self):
        """Whether the epoch in progress can use up patience."""
        return True

    def _progress(self):
        """The monitored value of the epoch in progress."""
        return self.history[self.monitored][-1]

    # -- its course -----------------------------------------------------------------------------------------------

    def records(self):
        """Yield the record of each epoch until the last or the plateau; state is consistent at each yield."""
        if self.finished:
            return
        for record in self._records():
            self.take(record)
            yield record
            if self.finished:
                return

    def complete(self):
        """Run to the end, whatever the records are."""
        for _ in self.records():
            pass

    def take(self, record):
        """Add the record of an epoch to the history, and judge it."""
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)
        improved = self.plateau.update(self._progress(), self.epoch, counting=self._counts())
        for watch in self.watches.values():
            self._follow_watch(watch)
        self.epoch += 1
        if improved and self.keep:
            self.best = self._values()

    def follow(self, estimator):
        """Carry on after the fit before: its history, and what else it left."""
        self.history = {name: list(values) for name, values in estimator.history_.items()}
        self.start = self.epoch = estimator.n_iter_
        self.last += self.start
        self.load_training_state(getattr(estimator, "training_state_", {}))

    @property
    def outcome(self):
        """The monitored value of the parameters that the run ends with; -inf before the first epoch."""
        if self.epoch == self.start:
            return -math.inf
        if self._kept is None and not self.keep:
            return self._progress()
        return self.history[self.monitored][self.best_epoch - 1]

    @property
    def converged(self):
        """Whether the monitored value, or one that a callback watches, has ceased to rise."""
        return self.plateau.reached or any(watch.plateau.reached for watch in self.watches.values())

    @property
    def finished(self):
        """Whether there is no epoch left to run."""
        return self.epoch >= self.last or self.converged

    # -- watches, and what to keep --------------------------------------------------------------------------------

    def watch(self, name, *, monitor, sign, tol, patience, keep):
        """Stop when an entry of the history times ``sign`` has ceased to rise; the last watch to keep values wins.

        The state of the run includes its watches, so a continued run stops where the first would have.
        """
        self.watches.setdefault(name, Watch(Plateau(tol, patience), monitor, sign, keep))

    def _follow_watch(self, watch):
        monitor = watch.monitor
        if monitor is None:
            monitor = next((name for name in self.history if name.startswith("validation_")), self.monitored)
        if monitor not in self.history:
            raise ValueError(f"monitor must be one of {sorted(self.history)}, got {monitor!r}.")
        value = watch.sign * self.history[monitor][-1]
        if watch.plateau.update(value, self.epoch, counting=self._counts()) and watch.keep:
            watch.values = self._values()

    @property
    def _kept(self):
        """The watch whose parameters the run ends with, or None."""
        return next((watch for watch in reversed(self.watches.values()) if watch.values is not None), None)

    def keep_best(self):
        """Go back to the parameters of the best epoch, where a watch or else the run itself kept them."""
        best = self.best if self._kept is None else self._kept.values
        if best is not None:
            self._restore(best)

    @property
    def best_epoch(self):
        """Number of the best epoch, from 1: of the value whose best parameters the run ends with."""
        plateau = self.plateau if self._kept is None else self._kept.plateau
        return plateau.best_epoch + 1 if math.isfinite(plateau.best) else self.epoch

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self):
        """The whole state after an epoch, as arrays by name."""
        plateau = {name: value for name, value in vars(self.plateau).items() if name not in ("tol", "patience")}
        # Before the first epoch nothing depends on watches, nor on the order in which callbacks begin.
        begun = self.watches if self.epoch > self.start else {}
        watches = {name: [vars(watch.plateau), watch.settings] for name, watch in begun.items()}
        progress = {"history": self.history, "epoch": self.epoch, "plateau": plateau, "watches": watches}
        described = json.dumps(progress)
        state = self.training_state() | {
            "parameters": as_array(self._values()),
            "described": np.frombuffer(described.encode(), dtype=np.uint8),
        }
        state |= {f"kept.{name}": as_array(w.values) for name, w in begun.items() if w.values is not None}
        return state if self.best is None else state | {"best": as_array(self.best)}

    def load(self, state):
        """Continue from :meth:`state`."""
        described = json.loads(bytes(state["described"]).decode())
        self.history, self.epoch = described["history"], described["epoch"]
        for name, value in described["plateau"].items():
            setattr(self.plateau, name, value)
        self._restore(torch.tensor(state["parameters"]))
        self.best = torch.tensor(state["best"]) if "best" in state else None
        for name, (plateau, settings) in described["watches"].items():
            values = state.get(f"kept.{name}")
            values = None if values is None else torch.tensor(values)
            self.watches[name] = Watch(Plateau(**plateau), **settings, values=values)
        self.load_training_state(state)
